"""The table that is written into the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.figures import FIGURES, Figure
from benchmarks.report import machine_sentence, markdown, number, rows, write_page
from benchmarks.samples import Samples, Side
from benchmarks.targets import at_least, at_most

ABOUT = {
    "date": "2030-01-02",
    "cpus": 2,
    "cpu": "Abacus",
    "system": "Linux 6",
    "python": "3.14.0",
    "packages": {"bluesky": "1.2"},
    "load": 0.25,
}


def measured() -> Samples:
    samples = Samples()
    samples.add("rate", Side.OURS, 638.4)
    samples.add("rate", Side.UPSTREAM, 2.04)
    samples.add("time", Side.OURS, 0.0166, 0.0164, 9.0)
    samples.add("time", Side.FLOOR, 0.0083)
    samples.add("elsewhere", Side.UPSTREAM, 1.0)
    return samples


TABLE = (
    Figure("rate", "Rate", "/s", at_least(150)),
    Figure("time", "Time", "s", at_most(0.01)),
    Figure("elsewhere", "Not measured on our side", "s", at_most(1)),
)


def test_a_row_shows_all_sides_the_ratio_and_the_verdict():
    assert markdown(rows(TABLE, measured())).splitlines()[2:] == [
        "| Rate | /s | 638 | 2.04 | 313 × | – | ≥ 150 | reached |",
        "| Time | s | 0.0166 | – | – | 0.0083 | ≤ 0.01 | **missed** by 66% |",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0083456, "0.00835"),
        (12.345, "12.3"),
        (123.7, "124"),
        (15812.0, "15,800"),
        (20_000.0, "20,000"),
        (291_900.0, "292,000"),
    ],
)
def test_numbers_have_three_digits_that_mean_something(value: float | None, text: str):
    assert number(value) == text


def test_the_measured_part_of_a_page_is_replaced_and_the_rest_stays(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("# Title\n\nText.\n\n<!-- below: written by `make bench` -->\n\nold\n")
    write_page(page, ABOUT, rows(TABLE, measured()))
    text = page.read_text()
    assert text.startswith("# Title\n\nText.\n\n<!-- below: written by `make bench` -->\n\nMeasured on 2030-01-02: 2 ×")
    assert "old" not in text
    assert text.endswith("|\n")
    assert text.count("| Rate |") == 1


def test_a_page_without_the_mark_is_left_alone(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("# Title\n")
    with pytest.raises(ValueError, match="has no line"):
        write_page(page, ABOUT, [])
    assert page.read_text() == "# Title\n"


def test_the_machine_is_told_in_words():
    assert machine_sentence(ABOUT) == (
        "Measured on 2030-01-02: 2 × Abacus, Linux 6, Python 3.14.0, bluesky 1.2; load average 0.2 at the start."
    )


def test_the_keys_of_the_figures_are_unique():
    assert len({figure.key for figure in FIGURES}) == len(FIGURES)
