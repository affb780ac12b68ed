from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from queueserver_manager.api.console import Console, configure_logging

PROGRAM = """
import asyncio, logging, sys
from queueserver_manager.api.console import Console, configure_logging
from queueserver_manager.api.terminal import TerminalWriter

console = Console(TerminalWriter() if sys.argv[1] == "ON" else None)
console.start()
configure_logging(logging.INFO)
texts = []

async def main():
    console.connect(lambda text, time: texts.append(text))
    logging.getLogger("bluesky_queueserver.manager.manager").info("hello %s", "world")
    logging.getLogger("bluesky_queueserver.manager.manager").debug("not shown")
    print("printed")
    print("to stderr", file=sys.stderr)
    console.show_worker_text("worker text\\n")
    await asyncio.get_running_loop().run_in_executor(None, print, "from a thread")
    await asyncio.sleep(0)

if len(sys.argv) > 3:
    while True:
        sys.stdout.flush()
        print("x" * 1000)
        sys.stdout.flush()
        if console._terminal._gone:
            break
asyncio.run(main())
console.stop()
if len(sys.argv) > 2:
    open(sys.argv[2], "w").write("".join(texts))
"""


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=30, check=False, **options
    )


@pytest.fixture
def console() -> Iterator[Console]:
    console = Console(None)
    yield console  # started by the test itself: pytest exchanges the standard streams after the fixtures
    console.stop()


def test_text_goes_to_the_terminal_and_to_the_publisher(tmp_path: Any) -> None:
    result = run("ON", str(tmp_path / "texts"))
    assert result.returncode == 0
    line = r"\[I \d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} bluesky_queueserver\.manager\.manager\] hello world\n"
    assert re.fullmatch(line + "printed\nworker text\nfrom a thread\n", result.stdout)
    assert result.stderr == "to stderr\n"
    published = (tmp_path / "texts").read_text()
    assert re.fullmatch(line + "printed\nto stderr\nfrom a thread\n", published)


def test_with_console_output_off_both_streams_stay_empty_and_text_is_still_published(tmp_path: Any) -> None:
    result = run("OFF", str(tmp_path / "texts"))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert "hello world" in (tmp_path / "texts").read_text()


def test_a_terminal_that_goes_away_ends_nothing(tmp_path: Any) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "ON", str(tmp_path / "texts"), "flood"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b"to stderr\n"
        assert process.wait(30) == 0
    assert "hello world" in (tmp_path / "texts").read_text()


def test_streams_that_were_closed_at_the_start_do_no_harm(tmp_path: Any) -> None:
    command = f'exec "$0" -c "$1" ON "{tmp_path}/texts" >&- 2>&-'
    result = subprocess.run(["/bin/sh", "-c", command, sys.executable, PROGRAM], timeout=30, check=False)
    assert result.returncode == 0
    assert "hello world" in (tmp_path / "texts").read_text()


def test_text_from_another_thread_is_handed_on_in_the_thread_of_the_loop(
    console: Console, loop_thread: Any, wait_until: Any
) -> None:
    console.start()
    seen: list[tuple[str, int]] = []
    loop_thread.call(console.connect, lambda text, time: seen.append((text, threading.get_ident())))
    print("from the test", end="")
    wait_until(lambda: seen)
    assert seen == [("from the test", loop_thread.call(threading.get_ident))]


def test_a_publisher_that_prints_or_fails_does_not_run_in_circles(console: Console, loop_thread: Any) -> None:
    console.start()
    calls = []

    def publish(text: str, time: float) -> None:
        calls.append(text)
        print("inside")
        raise ValueError("broken")

    loop_thread.call(console.connect, publish)
    loop_thread.call(print, "once", end="")
    assert calls == ["once"]


def test_the_standard_streams_are_given_back() -> None:
    before = sys.stdout, sys.stderr
    console = Console(None)
    console.start()
    console.start()
    assert sys.stdout is not before[0]
    assert sys.stdout.fileno() == before[0].fileno()
    assert sys.stdout.isatty() == before[0].isatty()
    console.stop()
    assert (sys.stdout, sys.stderr) == before


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("bluesky_queueserver", "queueserver_manager", "queueserver_common"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_the_level_applies_to_our_loggers_and_other_packages_log_warnings(restored_logging: None) -> None:
    handlers = len(logging.getLogger().handlers)
    configure_logging(logging.DEBUG)
    configure_logging(logging.INFO)
    assert len(logging.getLogger().handlers) == handlers + 1
    assert logging.getLogger("bluesky_queueserver.manager.manager").getEffectiveLevel() == logging.INFO
    assert logging.getLogger("bluesky_queueserver.manager.store").getEffectiveLevel() == logging.INFO
    assert logging.getLogger("asyncio").getEffectiveLevel() == logging.WARNING
    configure_logging(logging.CRITICAL)
    assert logging.getLogger("asyncio").getEffectiveLevel() == logging.CRITICAL


def test_a_traceback_follows_its_line(
    console: Console, loop_thread: Any, wait_until: Any, restored_logging: None
) -> None:
    console.start()
    texts: list[str] = []
    configure_logging(logging.INFO)
    loop_thread.call(console.connect, lambda text, time: texts.append(text))
    try:
        raise FileNotFoundError("no such file")
    except OSError:
        logging.getLogger("bluesky_queueserver.manager.manager").exception("failed")
    wait_until(lambda: texts)
    assert re.match(r"\[E .* bluesky_queueserver\.manager\.manager\] failed\nTraceback ", texts[0])
    assert texts[0].endswith("FileNotFoundError: no such file\n")
