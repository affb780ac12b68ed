"""Installed programs, run against the managers of tests."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from running_manager import RunningManager

DEADLINE = 60.0


class Programs:
    """Runs programs for one manager."""

    def __init__(self, manager: RunningManager, **variables: str) -> None:
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("QSERVER_")},
            "QSERVER_ZMQ_CONTROL_ADDRESS": manager.control_address,
            "QSERVER_ZMQ_INFO_ADDRESS": manager.info_address,
            **variables,
        }

    def run(self, program: str, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """The ended program."""
        return subprocess.run(
            [str(Path(sys.executable).with_name(program)), *words],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            env=self._environment,
            check=False,
            **options,
        )

    def start(self, program: str, *words: str) -> subprocess.Popen[str]:
        """The program, running; its output goes into pipes."""
        return subprocess.Popen(
            [str(Path(sys.executable).with_name(program)), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
        )

    def qserver(self, *words: str, code: int = 0) -> dict[str, Any]:
        """The reply that `qserver` prints; checks the lines before it and the exit code."""
        done = self.run("qserver", *words)
        assert (done.returncode, done.stderr) == (code, ""), done.stdout
        first, second, rest = done.stdout.split("\n", 2)
        plain = [
            word for word in words if word not in ("-k", "-a") and words[words.index(word) - 1] not in ("-k", "-a")
        ]
        assert first == f"Arguments: {plain}"
        assert re.fullmatch(r"\d\d:\d\d:\d\d - MESSAGE: ", second)
        reply: dict[str, Any] = ast.literal_eval(rest)
        return reply

    def old_qserver(self, *words: str, code: int = 0) -> dict[str, Any]:
        """The reply that `qserver -c` prints, in one line."""
        done = self.run("qserver", "-c", *words)
        assert (done.returncode, done.stderr) == (code, ""), (words, done.stdout, done.stderr)
        told = re.fullmatch(r"\d\d:\d\d:\d\d - MESSAGE: (.*)\n", done.stdout)
        assert told, done.stdout
        reply: dict[str, Any] = ast.literal_eval(told[1])
        return reply


def uids(items: list[Mapping[str, Any]]) -> list[str]:
    """Their uids."""
    return [item["item_uid"] for item in items]
