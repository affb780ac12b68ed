"""The worker's program: `python -m queueserver_worker --config FILE|- [--preload MODULE ...]`."""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from queueserver_common.link.worker_config import WorkerConfig
from queueserver_worker.runtime.console import Console
from queueserver_worker.runtime.exit_codes import ExitCode
from queueserver_worker.runtime.log import set_up_log
from queueserver_worker.runtime.threads import STDERR
from queueserver_worker.runtime.warm import Preloaded
from queueserver_worker.warm_modules import expand_warm_modules

ACTIVE_VARIABLE = "_QSERVER_RE_WORKER_ACTIVE"
"""Environment variable by which startup code tells that it runs in a worker (plans-and-permissions 1)."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a worker; ends the process with one of `ExitCode`."""
    started_ns = time.time_ns()
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    options = _parser().parse_args(argv)
    os.environ[ACTIVE_VARIABLE] = "1"
    faulthandler.enable(STDERR)
    console = Console()
    console.install()
    set_up_log()
    warm = Preloaded(started_ns)
    if options.preload:
        _preload(warm, options.preload, console)
    config = _configuration(options.config, console)
    if changed := warm.changed_file():
        _exit(console, ExitCode.STALE_INTERPRETER, f"'{changed}' has changed since this interpreter imported it.")
    # Its end tells who sent the configuration that it is taken.
    _leave_standard_input()
    importlib.invalidate_caches()
    _run(config, console)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="queueserver_worker", description="Worker of the queue server.")
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE",
        help="the worker's configuration, one line of JSON; '-': from standard input",
    )
    parser.add_argument(
        "--preload",
        nargs="+",
        default=[],
        metavar="MODULE",
        help="import these modules before reading the configuration; 'safe' and 'simulated' stand for lists",
    )
    return parser


def _preload(warm: Preloaded, names: Sequence[str], console: Console) -> None:
    try:
        # The worker's own modules are needed by every worker.
        warm.load(["queueserver_worker.runtime.process", *expand_warm_modules(names)])
    except Exception as error:
        _exit(console, ExitCode.STALE_INTERPRETER, f"A module cannot be imported ahead of time: {error!r}")


def _configuration(source: str, console: Console) -> WorkerConfig:
    try:
        text = _read_standard_input() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        _exit(console, ExitCode.UNUSABLE_CONFIGURATION, f"The worker's configuration cannot be read: {error}")
    if source == "-" and not text:
        # Started ahead of time and not needed.
        _exit(console, ExitCode.IN_ORDER)
    try:
        return WorkerConfig.from_json(text)
    except ValueError as error:
        _exit(console, ExitCode.UNUSABLE_CONFIGURATION, str(error))


def _read_standard_input() -> str:
    line = b""
    while not line.endswith(b"\n") and (data := os.read(0, 65536)):
        line += data
    return line.decode("utf-8")


def _leave_standard_input() -> None:
    """Startup code that reads standard input finds nothing there."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _run(config: WorkerConfig, console: Console) -> NoReturn:
    # Imported here, because a configuration that cannot be used should be told at once.
    from queueserver_worker.runtime.process import ConfigurationError, WorkerProcess
    from queueserver_worker.runtime.threads import crash

    try:
        process = WorkerProcess(config, console)
    except ConfigurationError as error:
        _exit(console, ExitCode.UNUSABLE_CONFIGURATION, str(error))
    try:
        process.run()
    except BaseException:
        console.flush()
        crash("the main thread")
    raise AssertionError("a worker ends its process itself")


def _exit(console: Console, code: ExitCode, reason: str = "") -> NoReturn:
    if reason:
        sys.stderr.write(f"{reason}\n")
    console.flush()
    os._exit(code)
