"""The documentation hangs together: every link leads somewhere and every page can be found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs" / "explanations" / "decisions").glob("[0-9]*.md"))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def links(page: Path) -> list[str]:
    """Targets of the links of a page to files of the repository, without the part after #."""
    targets = (target.split("#")[0] for target in LINK.findall(page.read_text()))
    return [target for target in targets if target and "://" not in target and not target.startswith("mailto:")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path):
    assert [target for target in links(page) if not (page.parent / target).exists()] == []


def test_every_page_can_be_reached_from_the_readme():
    reached: set[Path] = set()
    waiting = [ROOT / "README.md", ROOT / "CHANGELOG.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            waiting += [(page.parent / target).resolve() for target in links(page) if target.endswith(".md")]
    assert sorted(set(PAGES) - reached) == []


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_every_decision_record_has_the_form_of_the_template(page: Path):
    text = page.read_text()
    assert text.startswith(f"# {page.name[:4]}. ")
    headings = ["\nStatus: ", "\n## Context\n", "\n## Decision\n", "\n## Consequences\n"]
    positions = [text.find(heading) for heading in headings]
    assert -1 not in positions
    assert positions == sorted(positions)


def test_decision_records_are_numbered_without_gaps():
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(len(DECISIONS)))
