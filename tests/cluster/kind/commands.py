"""Programs that this one starts: quiet when they succeed, with the end of their output when they do not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from kind.failure import CannotContinue

Word = str | Path
"""One word of a command."""

LINES_OF_A_FAILURE = 40


def run(
    command: Sequence[Word],
    failure: str,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and return what it wrote to its standard output.

    Raises `CannotContinue` with the sentence `failure` and the end of its output when it does not succeed.
    """
    try:
        answer = subprocess.run(
            [str(word) for word in command],
            cwd=folder,
            env=os.environ | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise CannotContinue(f"{failure}\n{error}") from error
    if answer.returncode != 0:
        lines = (answer.stdout + answer.stderr).strip().splitlines()[-LINES_OF_A_FAILURE:]
        raise CannotContinue("\n".join([failure, f"{command[0]} ended with exit code {answer.returncode}:", *lines]))
    return answer.stdout


def succeeds(command: Sequence[Word], *, environment: Mapping[str, str] | None = None, seconds: float = 60) -> bool:
    """Tell whether a program can be run and succeeds within a time."""
    try:
        answer = subprocess.run(
            [str(word) for word in command],
            env=os.environ | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0
