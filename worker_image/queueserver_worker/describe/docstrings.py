"""Descriptions of a plan and its parameters from its docstring.

NumPy style, and the `Args:` block of Google style. Source: plans-and-permissions 2.1.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

_UNDERLINE = re.compile(r"^([-=~])\1{2,}\s*$")
_NUMPY_PARAMETERS = ("parameters", "other parameters", "keyword arguments")
_GOOGLE_PARAMETERS = ("args:", "arguments:", "parameters:", "keyword args:", "keyword arguments:")
_GOOGLE_SECTIONS = (
    *_GOOGLE_PARAMETERS,
    "attributes:", "example:", "examples:", "note:", "notes:", "raises:", "references:", "return:", "returns:",
    "see also:", "todo:", "warning:", "warnings:", "warns:", "yield:", "yields:",
)  # fmt: skip
_GOOGLE_ENTRY = re.compile(r"^(?P<name>\*{0,2}\w+)\s*(\([^)]*(\([^)]*\)[^)]*)*\))?\s*:\s*(?P<text>.*)$")


@dataclass(slots=True)
class Docstring:
    """What a docstring says; texts keep their line breaks and their relative indentation."""

    summary: str = ""
    """The first paragraph."""
    parameters: dict[str, str] = field(default_factory=dict)
    """Description by name of the parameter, without stars; parameters without text are missing."""


def parse_docstring(text: str | None) -> Docstring:
    """Read a docstring; whatever does not fit the style is left out."""
    if not text:
        return Docstring()
    lines = inspect.cleandoc(text).split("\n")
    parsed = Docstring(summary=_summary(lines))
    for heading, body in _sections(lines):
        if heading in _NUMPY_PARAMETERS:
            parsed.parameters |= _numpy_entries(body)
        elif heading in _GOOGLE_PARAMETERS:
            parsed.parameters |= _google_entries(body)
    return parsed


def _summary(lines: list[str]) -> str:
    kept: list[str] = []
    for number, line in enumerate(lines):
        if not line.strip() or _heading(lines, number) is not None:
            break
        kept.append(line.rstrip())
    return "\n".join(kept)


def _sections(lines: list[str]) -> list[tuple[str, list[str]]]:
    """Headings in lower case, each with the lines below it."""
    sections: list[tuple[str, list[str]]] = []
    skip_underline = False
    for number, line in enumerate(lines):
        if skip_underline:
            skip_underline = False
            continue
        heading = _heading(lines, number)
        if heading is not None:
            sections.append((heading, []))
            skip_underline = not heading.endswith(":")
        elif sections:
            sections[-1][1].append(line)
    return sections


def _heading(lines: list[str], number: int) -> str | None:
    line = lines[number]
    text = line.strip().lower()
    if not text or line[0].isspace():
        return None
    if number + 1 < len(lines) and _UNDERLINE.match(lines[number + 1]):
        return text
    return text if text in _GOOGLE_SECTIONS else None


def _numpy_entries(body: list[str]) -> dict[str, str]:
    """Entries `name : type` or `a, b : type` at the margin, each with its indented text below it."""
    entries: dict[str, str] = {}
    names: list[str] = []
    text: list[str] = []
    for line in [*body, "end"]:
        if line and not line[0].isspace():
            description = _join(text)
            if description:
                entries |= dict.fromkeys(names, description)
            head = line.partition(" :")[0] if " :" in line else line.partition(":")[0]
            names = [name.strip().strip("`").lstrip("*\\") for name in head.split(",")]
            text = []
        else:
            text.append(line)
    return entries


def _google_entries(body: list[str]) -> dict[str, str]:
    """Indented entries `name (type): text`, continued by lines that are indented further."""
    entries: dict[str, str] = {}
    margin = min((len(line) - len(line.lstrip()) for line in body if line.strip()), default=0)
    name, first, rest = "", "", list[str]()
    for line in [*body, " " * margin + "end:"]:
        entry = _GOOGLE_ENTRY.match(line[margin:])
        if entry is None:
            rest.append(line)
            continue
        description = "\n".join(part for part in (first, _join(rest)) if part)
        if name and description:
            entries[name] = description
        name, first, rest = entry["name"].lstrip("*"), entry["text"].strip(), []
    return entries


def _join(lines: list[str]) -> str:
    return inspect.cleandoc("\n".join(["", *lines])).rstrip()
