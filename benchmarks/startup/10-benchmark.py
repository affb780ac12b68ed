# ruff: noqa: INP001 - startup code is no package
# The plans that the benchmark runs on every server, with the imports of an ordinary profile.

import bluesky.plan_stubs as bps
from bluesky import RunEngine
from bluesky.callbacks.best_effort import BestEffortCallback  # noqa: F401 - what it costs to import is part of a profile
from bluesky.plans import count, scan  # noqa: F401 - clients run them
from ophyd.sim import det, motor  # noqa: F401

RE = RunEngine({})


def noop():
    """Do nothing."""
    yield from bps.null()


def print_lines(number: int):
    """Print numbered lines, the first with the time of its printing."""
    import time

    print(f"LINE 0 {time.time()!r}")
    for i in range(1, number):
        print(f"LINE {i}")
    yield from bps.null()


def print_steadily(seconds: int, per_second: int):
    """Print so many numbered lines in each second."""
    ticks = 20
    for tick in range(seconds * ticks):
        for i in range(per_second // ticks):
            print(f"LINE {tick * (per_second // ticks) + i}")
        yield from bps.sleep(1 / ticks)
