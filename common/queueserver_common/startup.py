"""Where a worker's startup code comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

SourceKind = Literal["directory", "script", "module"]


def profile_directory(profile: str | None, ipython_dir: Path | str | None) -> Path:
    """The directory with the startup code of an IPython profile (`default` when none is named)."""
    return Path(ipython_dir or "~/.ipython").expanduser() / f"profile_{profile or 'default'}" / "startup"


@dataclass(frozen=True, slots=True)
class StartupSource:
    """Exactly one source of startup code (plans-and-permissions 1)."""

    kind: SourceKind
    """What `value` names."""
    value: str
    """Path of a directory of `*.py` and `*.ipy` files, path of one script, or dotted name of a module."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(SourceKind):
            raise ValueError(f"startup code comes from a directory, a script or a module, not from {self.kind!r}")
        if not self.value:
            raise ValueError(f"the {self.kind} with the startup code has no name")

    def as_mapping(self) -> dict[str, str]:
        """Form that goes into JSON; `parse` reads it."""
        return {"kind": self.kind, "value": self.value}

    @classmethod
    def parse(cls, mapping: object) -> StartupSource:
        """Read what `as_mapping` wrote; raises ValueError with a sentence when it is not that."""
        if not isinstance(mapping, Mapping) or set(mapping) != {"kind", "value"}:
            raise ValueError(f"a source of startup code has the keys 'kind' and 'value', not {mapping!r}")
        kind, value = mapping["kind"], mapping["value"]
        if not isinstance(value, str):
            raise ValueError(f"startup code is named by a string, not by {value!r}")
        return cls(kind, value)

    def __str__(self) -> str:
        return f"{self.kind} {self.value!r}"
