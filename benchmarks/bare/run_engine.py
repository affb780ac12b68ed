"""The RunEngine of a profile alone: the same plans and the same interruptions, no server.

Arguments: directory of the profile, what to measure (noop, count, control), how often. Prints JSON: for the plans the
seconds from start to start, for control the seconds of each pause, resume and abort.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from load_profile import load  # type: ignore[import-not-found]  # beside this program

_DEADLINE = 20.0


def plans(namespace: dict[str, Any], what: str, times: int) -> list[float]:
    """Seconds from the start of one plan to the start of the next."""
    engine = namespace["RE"]
    starts = []
    for _ in range(times + 1):
        starts.append(time.perf_counter())
        engine(namespace["noop"]() if what == "noop" else namespace["count"]([namespace["det"]], num=1))
    return [later - earlier for earlier, later in pairwise(starts)]


def control(namespace: dict[str, Any], times: int) -> dict[str, list[float]]:
    """Pause a counting plan, resume it, pause it again and abort it."""
    from bluesky.utils import RunEngineInterrupted

    engine = namespace["RE"]
    seconds: dict[str, list[float]] = {"pause": [], "resume": [], "abort": []}

    def pause_when_running(key: str, asked: float) -> None:
        _wait(lambda: engine.state == "running")
        if key:
            seconds[key].append(time.perf_counter() - asked)
        time.sleep(0.2)
        asked = time.perf_counter()
        engine.request_pause()
        _wait(lambda: engine.state == "paused")
        seconds["pause"].append(time.perf_counter() - asked)

    def run(key: str, call: Any) -> None:
        helper = threading.Thread(target=pause_when_running, args=(key, time.perf_counter()))
        helper.start()
        with contextlib.suppress(RunEngineInterrupted):
            call()
        helper.join()

    for _ in range(times):
        run("", lambda: engine(namespace["count"]([namespace["det"]], num=3000, delay=0.02)))
        run("resume", engine.resume)
        start = time.perf_counter()
        engine.abort()
        seconds["abort"].append(time.perf_counter() - start)
    return seconds


def _wait(condition: Any) -> None:
    deadline = time.monotonic() + _DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.0005)


def main() -> None:
    """Measure; what plans print goes nowhere."""
    directory, what, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    with contextlib.redirect_stdout(io.StringIO()):
        namespace = load(directory)
        result = control(namespace, times) if what == "control" else plans(namespace, what, times)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
