"""`python -m benchmarks`: measure and write the table."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.bench import ROOT, Bench, log
from benchmarks.figures import FIGURES
from benchmarks.samples import Side
from benchmarks.sections import (
    batch,
    console,
    control,
    durability,
    encryption,
    environment,
    history,
    http,
    http_streams,
    plans,
    queue,
    status,
    tasks,
)
from benchmarks.upstream_environment import NoUpstreamError, programs

SECTIONS = {
    "status": status,
    "encryption": encryption,
    "queue": queue,
    "history": history,
    "batch": batch,
    "plans": plans,
    "tasks": tasks,
    "control": control,
    "environment": environment,
    "console": console,
    "http": http,
    "http-streams": http_streams,
    "durability": durability,
}
BUILD = ROOT / "build"
PAGE = ROOT / "docs" / "reference" / "benchmarks.md"
RESULTS = BUILD / "benchmarks.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the chosen sections; 0 when all of them could be measured, whatever the figures are."""
    options = _parser().parse_args(argv)
    if options.list:
        for name, section in SECTIONS.items():
            print(f"{name:12} {(section.__doc__ or '').splitlines()[0]}")
        return 0
    sides = {Side.OURS: Path(sys.executable).parent}
    if not options.without_upstream:
        try:
            sides[Side.UPSTREAM] = programs(BUILD)
        except NoUpstreamError as error:
            print(error, file=sys.stderr)
            return 1
    bench = Bench(sides, quick=options.quick)
    about = report.machine()
    failed = [name for name in options.only or SECTIONS if not _measured(bench, name)]
    table = report.rows(FIGURES, bench.samples)
    BUILD.mkdir(exist_ok=True)
    results = {"machine": about, "load_at_end": os.getloadavg()[0], "figures": bench.samples.as_mapping()}
    RESULTS.write_text(json.dumps(results, indent=1))
    print(report.markdown(table))
    if not (options.only or options.quick or options.without_upstream or failed):
        report.write_page(PAGE, about, table)
        log(f"written: {PAGE.relative_to(ROOT)}")
    log(f"written: {RESULTS.relative_to(ROOT)}")
    return 1 if failed else 0


def _measured(bench: Bench, name: str) -> bool:
    """Measure a section; one that fails does not hide the others."""
    log(f"{name} (load average {os.getloadavg()[0]:.2f})")
    try:
        SECTIONS[name].measure(bench)
    except Exception:
        traceback.print_exc()
        return False
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures this server, upstream's and the bare work in one run, in turns. A complete run writes "
        f"{PAGE.relative_to(ROOT)}; every run writes {RESULTS.relative_to(ROOT)}.",
    )
    parser.add_argument(
        "--only", action="append", choices=SECTIONS, metavar="SECTION", help="measure only this; repeatable"
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: a trial, not a measurement")
    parser.add_argument("--without-upstream", action="store_true", help="measure this server and the floors only")
    parser.add_argument("--list", action="store_true", help="tell the sections and leave")
    return parser


if __name__ == "__main__":
    sys.exit(main())
