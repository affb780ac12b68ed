"""The table of the benchmark in a cluster."""

from __future__ import annotations

from pathlib import Path

from benchmarks.cluster.__main__ import PAGE, markdown, sentence
from benchmarks.cluster.figures import CLOSE, FIGURES, OPEN
from benchmarks.report import rows, write_measured
from benchmarks.samples import Samples, Side


def test_an_opening_is_judged_by_the_floor_of_the_same_run_and_the_rest_by_numbers():
    samples = Samples()
    samples.add(OPEN, Side.FLOOR, 1.5, 1.4, 1.6)
    samples.add(OPEN, Side.OURS, 4.1, 3.9, 4.2)
    samples.add(CLOSE, Side.OURS, 0.9)
    assert markdown(rows(FIGURES, samples)).splitlines()[2:] == [
        "| `environment_open` to idle, image on the node | s | 4.1 | 1.5 | ≤ floor + 2.5 | **missed** by 2% |",
        "| `environment_close` to the pod gone | s | 0.9 | – | ≤ 3 | reached |",
    ]


def test_the_page_keeps_what_people_wrote_above_the_table(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text())
    above = PAGE.read_text().partition("<!--")[0]
    about = {"date": "2030-01-02", "cpus": 2, "cpu": "Abacus", "system": "Linux 6", "kubernetes": "1.36.3", "load": 0.5}
    for table in ("| first |", "| second |"):
        write_measured(page, sentence(about), table)
    assert page.read_text() == (
        f"{above}<!-- below: written by `make bench-cluster` -->\n\n"
        "Measured on 2030-01-02: 2 × Abacus, Linux 6, Kubernetes 1.36.3, which runs on the same machine; "
        "load average 0.5 at the start.\n\n| second |\n"
    )
