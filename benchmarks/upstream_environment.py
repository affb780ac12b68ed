"""Upstream's server in an environment of its own, made when it is first needed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

VERSION = "0.0.25"
HTTP_VERSION = "0.0.14"
"""Of upstream's HTTP server."""
_UNDECLARED = ("pandas", "matplotlib")
"""What upstream's server imports and does not declare."""
_SAME_AS_OURS = ("bluesky", "ophyd", "pyzmq")
"""What both sides use is to be the same on both."""


class NoUpstreamError(Exception):
    """The environment could not be made; the text says what to do."""


def programs(build: Path) -> Path:
    """The folder of upstream's programs, installed by name if they are not there yet."""
    environment = build / f"upstream-{VERSION}"
    complete = environment / "complete"
    wanted = [f"bluesky-queueserver=={VERSION}", f"bluesky-httpserver=={HTTP_VERSION}"]
    wanted += [*_UNDECLARED, *(f"{name}=={version(name)}" for name in _SAME_AS_OURS)]
    if not complete.is_file() or complete.read_text() != "\n".join(wanted):
        _run([sys.executable, "-m", "venv", "--clear", str(environment)])
        _run([str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", *wanted])
        complete.write_text("\n".join(wanted))
    return environment / "bin"


def _run(command: list[str]) -> None:
    if subprocess.run(command, check=False, stdout=sys.stderr).returncode:
        raise NoUpstreamError(
            "Upstream's server could not be installed: the message is above. "
            "With --without-upstream only this server and the floors are measured."
        )
