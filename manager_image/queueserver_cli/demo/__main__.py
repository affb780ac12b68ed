"""`python -m queueserver_cli.demo`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.text import Text

from queueserver_cli.client import ManagerClient
from queueserver_cli.demo import scenario
from queueserver_cli.demo.errors import DemoError
from queueserver_cli.demo.manager_process import ManagerProcess
from queueserver_cli.demo.progress import Progress
from queueserver_cli.demo.session import Session
from queueserver_cli.demo.views import view_for
from queueserver_cli.tables import history_table

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130

_WHAT_NEXT = """\
What to try next:
  make run                                a manager of your own, with the same simulated profile
and, in another terminal:
  .venv/bin/qserver status
  .venv/bin/qserver environment open
  .venv/bin/qserver queue add plan '{"name": "scan", "args": [["det"], "motor", -5, 5, 21]}'
  .venv/bin/qserver queue start
  .venv/bin/qserver history get
  .venv/bin/qserver-console-monitor       what the plans print, as they run
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration and return the exit code."""
    options = _parser().parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    return _show(ManagerProcess(options.manager_program), Console(highlight=False))


def _show(manager: ManagerProcess, console: Console) -> int:
    keep_data = False
    try:
        history = _run(manager, console)
    except DemoError as error:
        keep_data = True
        console.print(Text(f"The demonstration failed. {error}", style="red"), soft_wrap=True)
        return EXIT_FAILED
    except KeyboardInterrupt:
        console.print("Interrupted: stopping the manager and deleting its data ...")
        return EXIT_INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave the manager behind
        manager.stop()
        if not keep_data:
            manager.remove_data()
    console.print(Text("History", style="bold"))
    console.print(history_table(history, uids=False))
    console.print(Text(_WHAT_NEXT), soft_wrap=True)
    return EXIT_OK


def _run(manager: ManagerProcess, console: Console) -> list[dict[str, object]]:
    """Play the scenario; returns the history that the manager then has."""
    progress = Progress(scenario.steps())
    with view_for(console, progress) as view:
        view.say(f"Starting a manager at {manager.control_address}, its data in {manager.directory} ...")
        if not manager.usual_ports:
            view.say("(The usual ports are in use, so this one listens at files.)")
        manager.start()
        session = Session(manager, progress, view.update)
        try:
            scenario.play(session, progress, view)
        finally:
            session.close()
    with ManagerClient(manager.control_address) as client:
        items: list[dict[str, object]] = client.request("history_get")["items"]
    return items


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m queueserver_cli.demo",
        description="Start a manager with simulated devices, run a short queue of plans and show its progress. "
        "Takes about half a minute and leaves nothing behind.",
    )
    parser.add_argument(
        "--manager-program",
        type=Path,
        metavar="PATH",
        help="the start-re-manager to run (default: the one beside this Python)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
