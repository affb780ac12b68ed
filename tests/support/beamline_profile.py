"""Startup code of the QueueServers that tests in a cluster drive: plans that go on until the test lets them.

It is mounted into the worker as the only file of its profile.
"""

import os
import time
from pathlib import Path

import bluesky.plan_stubs as bps
from bluesky import RunEngine

RE = RunEngine({})

_LET_GO = Path("/tmp")
_DIARY = Path.home() / "diary"


def _note(text):
    """Add a line to a file that outlives the worker: what really ran can be told afterwards."""
    with _DIARY.open("a") as file:
        file.write(f"{text}\n")


def hold(name: str = "plan"):
    """Run until the test lets this name go; every moment can be resumed from."""
    _note(f"{name} started")
    try:
        yield from bps.open_run()
        while not (_LET_GO / name).exists():
            yield from bps.checkpoint()
            yield from bps.sleep(0.05)
        yield from bps.close_run()
    finally:
        _note(f"{name} left")


def mark(name: str = "mark"):
    """Say that it ran."""
    _note(f"{name} started")
    yield from bps.null()


def last(seconds: float):
    """Go on for some time."""
    _note("last started")
    yield from bps.sleep(seconds)


def take_memory(mebibytes: int = 4096):
    """Take more and more memory, and keep it."""
    taken = []
    yield from bps.open_run()
    for _ in range(mebibytes):
        taken.append(os.urandom(2**20))
        yield from bps.null()
    yield from bps.close_run()


def block(seconds: float = 3600):
    """Keep the interpreter's main thread busy, deaf to every request."""
    yield from bps.null()
    time.sleep(seconds)
