"""Startup file with plans that tests direct; it is copied beside the simulated profile and loaded by workers.

A plan that waits goes on when the file `release` exists, so tests decide how long it takes.
"""

import json
from pathlib import Path

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp


def hold(release: str, runs: int = 1):
    """Open a run in which every moment can be resumed from, wait, close it; then the other runs, one after another."""
    for _ in range(runs):
        yield from bps.open_run()
        while not Path(release).exists():
            yield from bps.checkpoint()
            yield from bps.sleep(0.005)
        yield from bps.close_run()


def hold_after_last_checkpoint(release: str):
    """Wait without passing a checkpoint again."""
    yield from bps.checkpoint()
    while not Path(release).exists():
        yield from bps.sleep(0.005)


def hold_without_checkpoint(release: str):
    """Wait at a place that cannot be resumed from."""
    yield from bps.open_run()
    yield from bps.clear_checkpoint()
    while not Path(release).exists():
        yield from bps.sleep(0.005)
    yield from bps.close_run()


def hold_in_nested_runs(release: str):
    """Close an inner run, then wait in the outer one."""
    yield from bpp.set_run_key_wrapper(bps.open_run(), "outer")
    yield from bpp.set_run_key_wrapper(bps.open_run(), "inner")
    yield from bpp.set_run_key_wrapper(bps.close_run(), "inner")
    while not Path(release).exists():
        yield from bps.checkpoint()
        yield from bps.sleep(0.005)
    yield from bpp.set_run_key_wrapper(bps.close_run(), "outer")


def fail(text: str, runs: int = 0):
    """Raise in the plan, after some complete runs."""
    for _ in range(runs):
        yield from bps.open_run()
        yield from bps.close_run()
    yield from bps.null()
    raise RuntimeError(text)


def say(text: str):
    """Print a text as it is."""
    print(text, end="", flush=True)
    yield from bps.null()


def remember_start(path: str):
    """Add a line to a file: how often it ran can be counted."""
    with Path(path).open("a") as file:
        file.write("started\n")
    yield from bps.null()


def write_start_document(path: str):
    """Open and close a run; write its start document as JSON."""
    yield from bps.subscribe("start", lambda _, document: Path(path).write_text(json.dumps(document)))
    yield from bps.open_run()
    yield from bps.close_run()


def forget_plan(name: str):
    """Take a plan out of the environment, which the lists of the manager do not know."""
    globals().pop(name, None)
    yield from bps.null()
