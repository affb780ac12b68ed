"""What is known of the demonstration's plans, from status, history, runs and console output. Nothing is read here."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CONSOLE_LINES = 6

_SCAN = re.compile(r"Transient Scan ID: (\d+)")
_ROW = re.compile(r"\|\s*\d+ \|.*\|\s*(\S+) \|$")
"""A line of the table that bluesky's LiveTable prints for each point."""


@dataclass
class Step:
    """One plan of the demonstration."""

    purpose: str
    item: dict[str, Any]
    points: int | None = None
    """How many points the plan takes, if that is known beforehand."""
    uid: str = ""
    state: str = "waiting"
    """`waiting`, `running`, `paused` or the exit status."""
    reason: str = ""
    seconds: float = 0.0
    scans: list[int] = field(default_factory=list)


@dataclass
class Progress:
    """The state of all steps; views read it, the session and the scenario feed it."""

    steps: list[Step]
    status: Mapping[str, Any] = field(default_factory=dict)
    console: deque[str] = field(default_factory=lambda: deque(maxlen=CONSOLE_LINES))
    _readings: dict[int, list[float]] = field(default_factory=dict)
    _scan: int | None = None
    _unfinished_line: str = ""

    @property
    def current(self) -> Step | None:
        """The step that runs or is paused according to the newest status."""
        uid = self.status.get("running_item_uid")
        return next((step for step in self.steps if step.uid and step.uid == uid), None)

    @property
    def waiting(self) -> int:
        """Number of steps still to be started."""
        return sum(step.state == "waiting" for step in self.steps)

    def readings(self, step: Step) -> list[float]:
        """The last column of every point that the step has taken so far."""
        return [value for scan in step.scans for value in self._readings.get(scan, [])]

    def see_status(self, status: Mapping[str, Any]) -> None:
        """Take the running item and whether it is paused from a status."""
        self.status = status
        if self.current is not None:
            self.current.state = "paused" if status["manager_state"] == "paused" else "running"

    def see_runs(self, runs: Sequence[Mapping[str, Any]]) -> None:
        """Take the scan numbers of the running step from the list of its runs."""
        if self.current is not None and runs:
            self.current.scans = [run["scan_id"] for run in runs]

    def see_history(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Take how steps ended."""
        results = {item.get("item_uid"): item["result"] for item in items}
        for step in self.steps:
            result = results.get(step.uid)
            if result is not None:
                step.state, step.reason = result["exit_status"], result["msg"]
                step.seconds = result["time_stop"] - result["time_start"]
                step.scans = list(result["scan_ids"])

    def see_console(self, text: str) -> None:
        """Take points from console output, which comes in pieces of any length."""
        *lines, self._unfinished_line = (self._unfinished_line + text).split("\n")
        for line in lines:
            scan = _SCAN.search(line)
            if scan is not None:
                self._scan = int(scan[1])
                self._readings[self._scan] = []
            row = _ROW.match(line.strip())
            if row is not None and self._scan is not None:
                self._readings[self._scan].append(_number(row[1]))
            if line.strip():
                self.console.append(line.rstrip())


def sparkline(values: Sequence[float], width: int) -> str:
    """A line of at most `width` bars, each the largest of its share of the values."""
    if not values:
        return ""
    share = max(1, -(-len(values) // width))
    peaks = [max(values[start : start + share]) for start in range(0, len(values), share)]
    low, high = min(peaks), max(peaks)
    bars = "▁▂▃▄▅▆▇█"
    scale = (len(bars) - 1) / (high - low) if high > low else 0.0
    return "".join(bars[round((peak - low) * scale)] for peak in peaks)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
