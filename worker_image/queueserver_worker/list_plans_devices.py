"""The program `qserver-list-plans-devices`: write the file of existing plans and devices (cli 3).

The startup code runs in a process of its own, so that code that ends its process, or never lets it end, cannot take
this program with it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from queueserver_common import loggers
from queueserver_common.lists_file import LISTS_FILE_NAME, ListsFileError, write_lists
from queueserver_common.startup import SourceKind, StartupSource, profile_directory

_LOADING_PROCESS = "from queueserver_worker.list_plans_devices import loading_process; loading_process()"


@dataclass(frozen=True, slots=True)
class _Request:
    """What the loading process is asked to do."""

    startup: StartupSource
    file: Path
    ignore_invalid_plans: bool
    device_max_depth: int
    use_ipython: bool = False
    """The code finds IPython's shell, so magics work."""
    profile_startup: str = ""
    """Directory of a profile whose code goes before, as in a worker's kernel."""

    def to_json(self) -> str:
        return json.dumps(asdict(self) | {"startup": self.startup.as_mapping(), "file": str(self.file)})

    @classmethod
    def from_json(cls, text: str) -> _Request:
        values = json.loads(text)
        return cls(**(values | {"startup": StartupSource.parse(values["startup"]), "file": Path(values["file"])}))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code: 0, 1 when it failed, 2 (from argparse) for a wrong command line."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.startup_dir and (options.startup_profile or options.ipython_dir):
        return _failed("Name one source of startup code: --startup-dir goes with no profile.")
    source = _source(options)
    if source is None:
        return _failed(
            "Name the startup code: one of --startup-dir, --startup-script, --startup-module or --startup-profile is "
            "needed."
        )
    directory = Path(options.file_dir).expanduser().absolute()
    if not directory.is_dir():
        return _failed(f"The directory '{directory}' for the file (--file-dir) does not exist.")
    request = _Request(
        source,
        directory / options.file_name,
        options.ignore_invalid_plans == "ON",
        options.device_max_depth,
        options.use_ipython_kernel == "ON",
        _profile_before(options, source),
    )
    # -P: the directory that the program was started from is not a place to import from.
    process = subprocess.run([sys.executable, "-P", "-c", _LOADING_PROCESS, request.to_json()], check=False)
    if process.returncode < 0:
        return _failed(f"The startup code ended its process with signal {signal.Signals(-process.returncode).name}.")
    if process.returncode not in (0, 1):
        return _failed(f"The startup code ended its process with exit code {process.returncode}.")
    if process.returncode == 0:
        print("The list of existing plans and devices was created successfully.")
    return process.returncode


def loading_process() -> NoReturn:
    """Entry point of the loading process; the request is its argument."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger(loggers.PREFIX).setLevel(logging.INFO)
    code = _write_lists(_Request.from_json(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Control system libraries may keep threads that never end.
    os._exit(code)


def _write_lists(request: _Request) -> int:
    from queueserver_worker.describe import PlanDescriptionError, existing_devices, existing_plans
    from queueserver_worker.profile import StartupError, load_startup

    if request.use_ipython:
        try:
            _make_shell()
        except ImportError as error:
            return _failed(f"IPython cannot be imported ({error}): install it beside the startup code's packages.")
    try:
        namespace = load_startup(request.startup, request.profile_startup)
        devices = existing_devices(namespace, request.device_max_depth)
        plans = existing_plans(namespace, request.ignore_invalid_plans, devices=devices)
        write_lists(request.file, plans, devices)
    except StartupError as error:
        return _failed(f"{error.traceback}\nThe startup code could not be loaded: {error.message}")
    except PlanDescriptionError as error:
        return _failed(f"{error}\nWith --ignore-invalid-plans ON such plans are left out.")
    except ListsFileError as error:
        return _failed(str(error))
    return 0


def _make_shell() -> None:
    """Let the startup code find the shell that it finds in a worker's IPython kernel."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    from queueserver_worker.profile import ipython_stand_in

    os.environ["_QSERVER_RUNNING_IPYTHON_KERNEL"] = "1"
    without_history = Config()
    without_history.HistoryManager.enabled = False  # nobody types here
    ipython_stand_in.use_shell(InteractiveShell.instance(config=without_history))


def _source(options: argparse.Namespace) -> StartupSource | None:
    kinds: tuple[tuple[SourceKind, str | None], ...] = (
        ("directory", options.startup_dir),
        ("script", options.startup_script),
        ("module", options.startup_module),
    )
    if named := next((StartupSource(kind, value) for kind, value in kinds if value), None):
        return named
    profile = _profile(options)
    return StartupSource("directory", profile) if profile else None


def _profile(options: argparse.Namespace) -> str:
    """Directory with the startup code of the profile that is named; empty when none is."""
    if not options.startup_profile and not options.ipython_dir:
        return ""
    return str(profile_directory(options.startup_profile, options.ipython_dir))


def _profile_before(options: argparse.Namespace, source: StartupSource) -> str:
    """Directory of the profile that a kernel loads before a script or module; empty when there is none."""
    is_before = options.use_ipython_kernel == "ON" and source.kind != "directory"
    return _profile(options) if is_before else ""


def _failed(text: str) -> int:
    print(f"Operation failed ...\n{text.strip()}", file=sys.stderr)
    return 1


def _depth(text: str) -> int:
    depth = int(text)
    if depth < 0:
        raise ValueError
    return depth


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qserver-list-plans-devices",
        description="Load startup code and write the list of its plans and devices, from which a manager accepts plans "
        "before an environment was opened for the first time.",
    )
    parser.add_argument("--file-dir", default=".", help="directory of the file (default: the current directory)")
    parser.add_argument("--file-name", default=LISTS_FILE_NAME, help="name of the file (default: %(default)s)")
    parser.add_argument("--startup-profile", metavar="NAME", help="IPython profile whose folder startup holds the code")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--startup-dir", metavar="DIR", help="directory of *.py and *.ipy files, run in name order")
    source.add_argument("--startup-module", metavar="NAME", help="module that is imported")
    source.add_argument("--startup-script", metavar="FILE", help="script that is run")
    parser.add_argument("--ipython-dir", metavar="DIR", help="IPython directory with the profile (default: ~/.ipython)")
    parser.add_argument(
        "--use-ipython-kernel",
        choices=("ON", "OFF"),
        default="OFF",
        help="load the code as a worker with an IPython kernel does, magics included (default: OFF)",
    )
    parser.add_argument(
        "--ignore-invalid-plans",
        choices=("ON", "OFF"),
        default="OFF",
        help="leave out plans that cannot be described instead of failing (default: OFF)",
    )
    parser.add_argument(
        "--device-max-depth",
        type=_depth,
        default=0,
        metavar="N",
        help="levels of devices and components in the list; 0, the default, lists all",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
