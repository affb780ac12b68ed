from __future__ import annotations

import os
import subprocess
import time
from typing import Any

from queueserver_common.link.messages import EnvironmentReady, ExitStatus, ItemStarted, RunItem

Bench = Any

SAYS = """
def says(n: int, text: str = "line"):
    yield from bps.null()
    for i in range(n):
        print(text, i)

def says_bytes():
    yield from bps.null()
    sys.stdout.buffer.write("h\\xe4lf".encode()[:2])
    sys.stdout.buffer.write("h\\xe4lf".encode()[2:] + b"\\xff\\n")
    sys.stderr.write("lone \\ud800 surrogate\\n")
    print("no newline", end="")
"""


def wait_for_line(manager: Any, line: str) -> None:
    manager.wait(lambda: line in "".join(part.text for part in manager.console[-2:]))


def test_a_burst_of_lines_arrives_completely(bench: Bench) -> None:
    manager, worker = bench.open(SAYS)
    manager.tell(RunItem(bench.item("says", n=20_000, text="burst")))
    wait_for_line(manager, "burst 19999\n")
    expected = [f"burst {i}" for i in range(20_000)]
    assert [line for line in manager.console_text.splitlines() if line.startswith("burst")] == expected
    assert sum(part.dropped for part in manager.console) == 0
    assert [line for line in worker.output.splitlines() if line.startswith("burst ")] == expected


def test_text_of_any_kind_arrives(bench: Bench) -> None:
    manager, worker = bench.open(SAYS)
    item = bench.item("says_bytes")
    manager.tell(RunItem(item))
    assert manager.wait_end(bench.uid_of(item)).exit_status is ExitStatus.COMPLETED
    manager.wait(lambda: "no newline" in manager.console_text)
    assert "hälf�\n" in manager.console_text
    assert "lone \\ud800 surrogate\n" in manager.console_text
    assert "no newline" in worker.output


def test_console_text_carries_the_time(bench: Bench) -> None:
    before = time.time()
    manager, _ = bench.open('print("hello from the profile")\n')
    manager.wait(lambda: "hello from the profile" in manager.console_text)
    assert before <= manager.console[0].time <= time.time()


def test_what_nobody_reads_is_dropped_and_counted_and_the_plan_goes_on(bench: Bench) -> None:
    ended = bench.directory / "ended"
    manager, _ = bench.open(
        SAYS + f"\ndef much():\n    yield from says(100_000, 'x' * 100)\n    open({str(ended)!r}, 'w')\n"
    )
    item = bench.item("much")
    manager.tell(RunItem(item))
    manager.wait_event(ItemStarted)
    bench.drop(manager)
    deadline = time.monotonic() + 20
    while not ended.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    successor = bench.manager(epoch=2, stored=1)
    assert successor.wait_end(bench.uid_of(item)).exit_status is ExitStatus.COMPLETED
    wait_for_line(successor, "x 99999\n")
    assert successor.console[0].dropped > 0
    assert sum(len(part.text) for part in successor.console) <= 8 * 1024 * 1024
    assert all(part.dropped == 0 for part in successor.console[1:])


def test_a_reader_of_the_descriptor_that_has_gone_does_not_fail_a_plan(bench: Bench) -> None:
    manager = bench.manager()
    worker = bench.worker(SAYS).start(stdout=subprocess.PIPE)
    manager.wait_event(EnvironmentReady)
    assert worker.process.stdout is not None
    worker.process.stdout.close()
    for _ in range(3):
        item = bench.item("says", n=1000)
        manager.tell(RunItem(item))
        assert manager.wait_end(bench.uid_of(item)).exit_status is ExitStatus.COMPLETED
    manager.wait(lambda: manager.console_text.count("line 999\n") == 3)


def test_a_reader_of_the_descriptor_that_does_not_read_holds_nothing_up(bench: Bench) -> None:
    manager = bench.manager()
    worker = bench.worker(SAYS).start(stdout=subprocess.PIPE)
    manager.wait_event(EnvironmentReady)
    item = bench.item("says", n=50_000)  # far more than a pipe holds
    manager.tell(RunItem(item))
    assert manager.wait_end(bench.uid_of(item)).exit_status is ExitStatus.COMPLETED
    manager.wait(lambda: "line 49999\n" in manager.console_text)
    assert worker.process.stdout is not None
    read = b""
    while b"line 49999\n" not in read:
        read += os.read(worker.process.stdout.fileno(), 1 << 20)
    worker.process.stdout.close()


def test_a_full_disk_does_not_fail_a_plan(bench: Bench) -> None:
    manager = bench.manager()
    full = os.open("/dev/full", os.O_WRONLY)
    bench.worker(SAYS).start(stdout=full)
    os.close(full)
    manager.wait_event(EnvironmentReady)
    item = bench.item("says", n=100)
    manager.tell(RunItem(item))
    assert manager.wait_end(bench.uid_of(item)).exit_status is ExitStatus.COMPLETED
