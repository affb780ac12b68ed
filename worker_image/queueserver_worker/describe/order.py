"""The order in which names are listed: the same for every run, whatever order startup code defined them in."""

from __future__ import annotations

from collections.abc import Iterable


def listed_names(names: Iterable[str]) -> list[str]:
    """Those of *names* by which something can be addressed, without regard to upper and lower case in their order."""
    return sorted(filter(str.isidentifier, names), key=lambda name: (name.casefold(), name))
