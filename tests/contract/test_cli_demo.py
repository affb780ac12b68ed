"""The demonstration with a real manager, worker and store."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ports import default_ports

pytestmark = pytest.mark.timeout(150)

DEADLINE_S = 120.0
DEMO = [sys.executable, "-m", "queueserver_cli.demo"]


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary data; checks in the end that the demonstration left nothing there, and no process."""
    with default_ports():
        yield from _temporary(monkeypatch)


def _temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = Path("/tmp") / f"qs{os.getpid()}-{time.monotonic_ns() % 1000000}"  # short: it holds sockets
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []
    folder.rmdir()
    deadline = time.monotonic() + 10
    while left := processes_with(f"QSERVER_DATA_DIR={folder}"):
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.05)


def processes_with(start_of_variable: str) -> list[str]:
    """Command lines of the processes that have a variable of their environment start like this."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
            if any(variable.startswith(start_of_variable.encode()) for variable in variables):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def test_it_runs_the_queue_shows_the_failure_and_the_pause_and_leaves_nothing_behind(temporary: Path) -> None:
    done = subprocess.run(DEMO, capture_output=True, text=True, timeout=DEADLINE_S, env=os.environ, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    told = [re.sub(r"^\[ *[0-9.]+ s\] +", "", line) for line in done.stdout.splitlines()]
    expected = [
        r"The manager answers\.",
        r"Opening the environment",
        r"The environment is open, with \d\d plans and \d\d devices\.",
        r"5 plans are in the queue",
        r"1 of 5  count\(.*: running \(4 waiting\)",
        r"count: \d+ of 5 points",
        r"1 of 5  count\(.*: completed in",
        r"2 of 5  scan\(.*: running",
        r"2 of 5  scan\(.*: completed in",
        r"3 of 5  sim_multirun_plan_nested\(.*: completed in",
        r"4 of 5  move_then_count\(.*: failed in",
        r"A plan failed, so the queue stopped: Plan failed: ",
        r"The manager put 'move_then_count' back at the front",
        r"5 of 5  count\(.*: paused",
        r"Paused after \d+ of 12 points",
        r"Resumed\.",
        r"5 of 5  count\(.*: completed in",
        r"The queue is empty\.",
        r"History",
        r"What to try next:",
    ]
    for pattern in expected:
        while told and re.match(pattern, told[0]) is None:
            told.pop(0)
        assert told, f"{pattern!r} is missing or in the wrong place in:\n{done.stdout}"
    assert re.search(r"scan: \d+ of 400 points", done.stdout)
    history = done.stdout.split("History")[1]
    assert history.count("completed") == 4
    assert len(re.findall(r"move_then_count.* failed ", history)) == 1


def test_on_a_terminal_it_shows_a_table_that_changes_in_place(temporary: Path) -> None:
    ours, theirs = pty.openpty()
    demo = subprocess.Popen(
        DEMO,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "140", "LINES": "50"},
    )
    os.close(theirs)
    output = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        output += piece
    os.close(ours)
    assert demo.wait(20) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.decode())
    assert re.search(r"manager executing_queue +· environment", text)
    assert "400 of 400 points" in text
    assert "█" in text
    assert "paused" in text
    assert "What to try next:" in text


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("Starting a manager", signal.SIGINT),
        ("Opening the environment", signal.SIGTERM),
        ("2 of 5 ", signal.SIGINT),
        ("Paused after", signal.SIGTERM),
    ],
)
def test_interrupted_at_any_moment_it_stops_what_it_started(
    temporary: Path, moment: str, number: signal.Signals
) -> None:
    demo = subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    assert demo.stdout is not None
    told = []
    for line in demo.stdout:
        told.append(line)
        if moment in line:
            break
    demo.send_signal(number)
    out, err = demo.communicate(timeout=DEADLINE_S)
    assert (demo.returncode, err) == (130, ""), "".join([*told, out])
    assert out.rstrip().endswith("Interrupted: stopping the manager and deleting its data ...")


def test_it_listens_at_files_when_the_usual_ports_are_in_use(temporary: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 60625))
        taken.listen()
        demo = subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
        assert demo.stdout is not None
        said = []
        for line in demo.stdout:
            said.append(line)
            if "The manager answers" in line:
                break
        demo.send_signal(signal.SIGINT)
        _, err = demo.communicate(timeout=DEADLINE_S)
    assert (demo.returncode, err) == (130, "")
    assert any("usual ports are in use" in line for line in said)
    assert "60615" not in said[0]
