"""`qserver-console` and `qserver-qtconsole`: a Jupyter console of the worker's IPython kernel (cli.md 3)."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from queueserver_cli import client

EXIT_BAD_SETTINGS = 1
"""An address, encoding or key cannot be used."""
EXIT_REFUSED = 2
"""The manager refused to tell, or the options are wrong."""
EXIT_NO_COMMUNICATION = 3
"""No answer within 2 s, or one that cannot be understood."""
EXIT_NO_KERNEL = 5
"""There is no kernel, or the package of the console is not installed."""


@dataclass(frozen=True, slots=True)
class _Program:
    name: str
    module: str
    package: str
    where: str


CONSOLE = _Program("qserver-console", "jupyter_console", "jupyter-console", "a terminal")
QTCONSOLE = _Program("qserver-qtconsole", "qtconsole", "qtconsole", "a window")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `qserver-console`; returns its exit code."""
    return _run(argv, CONSOLE)


def main_qt(argv: Sequence[str] | None = None) -> int:
    """Run `qserver-qtconsole`; returns its exit code."""
    return _run(argv, QTCONSOLE)


def _run(argv: Sequence[str] | None, program: _Program) -> int:
    options = parser(program).parse_args(argv)
    try:
        info = _connection(options)
    except client.SettingsError as error:
        return _failed(program, str(error), EXIT_BAD_SETTINGS)
    except client.CommunicationError as error:
        return _failed(program, str(error), EXIT_NO_COMMUNICATION)
    except _RefusedError as refused:
        return _failed(program, str(refused), EXIT_REFUSED)
    if not info:
        text = "The worker has no IPython kernel: no environment is open, or the manager runs without one"
        return _failed(program, f"{text} (--use-ipython-kernel).", EXIT_NO_KERNEL)
    if importlib.util.find_spec(program.module) is None:
        text = f"The package {program.package} is not installed: pip install {program.package}"
        return _failed(program, text, EXIT_NO_KERNEL)
    with tempfile.TemporaryDirectory(prefix="qserver-") as directory:
        file = Path(directory) / "kernel.json"
        # It holds the key of the kernel.
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            json.dump(info, stream)
        return subprocess.call([sys.executable, "-m", program.module, "--existing", str(file)])


class _RefusedError(Exception):
    """The manager does not tell; the text says why."""


def _connection(options: argparse.Namespace) -> dict[str, Any]:
    """How to connect to the kernel; empty when there is none."""
    address = client.control_address(options.zmq_control_addr)
    encoding, key = client.encoding_name(options.zmq_encoding), client.server_public_key()
    with client.ManagerClient(address, encoding=encoding, public_key=key) as manager:
        reply = manager.request("config_get")
    if not reply.get("success"):
        raise _RefusedError(str(reply.get("msg")))
    info: dict[str, Any] = reply["config"].get("ip_connect_info") or {}
    return info


def _failed(program: _Program, text: str, code: int) -> int:
    print(f"{program.name}: {text}", file=sys.stderr)
    return code


def parser(program: _Program) -> argparse.ArgumentParser:
    """Options of a program."""
    made = argparse.ArgumentParser(
        prog=program.name,
        description=f"Open a console of the worker's IPython kernel in {program.where}. Ctrl-D leaves it; 'quit' "
        "and 'exit' end the kernel, and the worker with it.",
    )
    made.add_argument(
        "--zmq-control-addr",
        metavar="ADDR",
        help="address of the manager's control socket (default: QSERVER_ZMQ_CONTROL_ADDRESS, else "
        f"{client.DEFAULT_CONTROL_ADDRESS})",
    )
    made.add_argument(
        "--zmq-encoding",
        metavar="NAME",
        help="json or msgpack, as the manager is configured (default: QSERVER_ZMQ_ENCODING, else json)",
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
