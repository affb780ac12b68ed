"""Kinds of values that settings have: how they are written on a command line and in YAML, and what they must be.

A kind reads a value with `from_text` (command line, environment) or `from_yaml` and raises ValueError with the rest
of a sentence that starts with the name of the setting: "must be an integer, not 'abc'".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_Z85_DIGITS = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#")
_ADDRESS = re.compile(r"tcp://(?:\*|\[[0-9A-Fa-f:.%\w]+\]|[^:/\s*\[\]]+):(?P<port>\d{1,5}|\*)|ipc://\S.*")
_LISTEN = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:/\s\[\]]+):(?P<port>\d{1,5})")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SIZE = re.compile(r"(?P<number>\d+)\s*(?P<unit>[KMG]i?B?|B)?", re.IGNORECASE)
_UNITS = {"": 1, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30}


class Kind(Protocol):
    """How a value is read and what stands for it in the help."""

    @property
    def metavar(self) -> str:
        """Placeholder of the value in the help."""

    def from_text(self, text: str) -> object:
        """Read a value from the command line or the environment."""

    def from_yaml(self, value: object) -> object:
        """Check a value from a configuration file."""


def _only_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text (put it in quotes), not {value!r}")
    return value


@dataclass(frozen=True, slots=True)
class Text:
    """Any text that is not empty."""

    metavar: str = "TEXT"

    def from_text(self, text: str) -> str:
        """The text itself."""
        if not text.strip():
            raise ValueError("must not be empty")
        return text

    def from_yaml(self, value: object) -> str:
        """The text itself."""
        return self.from_text(_only_text(value))


@dataclass(frozen=True, slots=True)
class FilePath:
    """A path; `~` is expanded and a relative path starts at the current directory."""

    metavar: str = "PATH"

    def from_text(self, text: str) -> Path:
        """The absolute path."""
        if not text.strip():
            raise ValueError("must be a path, not empty")
        if "\0" in text:
            raise ValueError("must be a path, which cannot hold a NUL character")
        try:
            return Path(text).expanduser().absolute()
        except RuntimeError:
            raise ValueError(f"names the home directory of a user who does not exist: {text!r}") from None

    def from_yaml(self, value: object) -> Path:
        """The absolute path."""
        return self.from_text(_only_text(value))


@dataclass(frozen=True, slots=True)
class OnOff:
    """A switch: ON or OFF on the command line, true or false in YAML."""

    metavar: str = "{ON,OFF}"

    def from_text(self, text: str) -> bool:
        """True for ON, False for OFF."""
        try:
            return {"ON": True, "OFF": False}[text.upper()]
        except KeyError:
            raise ValueError(f"must be ON or OFF, not {text!r}") from None

    def from_yaml(self, value: object) -> bool:
        """YAML's true or false, which may be written as on and off."""
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, not {value!r}")
        return value


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words; the case does not matter."""

    words: tuple[str, ...]

    @property
    def metavar(self) -> str:
        """The words, as argparse shows choices."""
        return "{" + ",".join(self.words) + "}"

    def from_text(self, text: str) -> str:
        """The word as it is declared."""
        for word in self.words:
            if text.casefold() == word.casefold():
                return word
        raise ValueError(f"must be {_alternatives(self.words)}, not {text!r}")

    def from_yaml(self, value: object) -> str:
        """The word as it is declared."""
        if not isinstance(value, str):
            raise ValueError(f"must be {_alternatives(self.words)}, not {value!r}")
        return self.from_text(value)


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer between two limits."""

    minimum: int
    maximum: int | None = None
    metavar: str = "N"

    @property
    def _rule(self) -> str:
        if self.maximum is None:
            return f"must be an integer of at least {self.minimum}"
        return f"must be an integer from {self.minimum} to {self.maximum}"

    def from_text(self, text: str) -> int:
        """The number."""
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"{self._rule}, not {text!r}") from None
        return self.from_yaml(number)

    def from_yaml(self, value: object) -> int:
        """The number."""
        # YAML's true and false are integers for Python.
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{self._rule}, not {value!r}")
        if value < self.minimum or (self.maximum is not None and value > self.maximum):
            raise ValueError(f"{self._rule}, not {value}")
        return value


@dataclass(frozen=True, slots=True)
class Seconds:
    """A time of at least 0 seconds."""

    metavar: str = "SECONDS"

    def from_text(self, text: str) -> float:
        """The number of seconds."""
        try:
            number = float(text)
        except ValueError:
            raise ValueError(f"must be a number of seconds, not {text!r}") from None
        return self.from_yaml(number)

    def from_yaml(self, value: object) -> float:
        """The number of seconds."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"must be a number of seconds, not {value!r}")
        if not 0 <= value < float("inf"):
            raise ValueError(f"must be a number of seconds of at least 0, not {value}")
        return float(value)


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes, with or without a unit: 1000000, 512K, 32M, 1G (powers of 1024)."""

    minimum: int
    metavar: str = "SIZE"

    def from_text(self, text: str) -> int:
        """The number of bytes."""
        match = _SIZE.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"must be a number of bytes such as 1000000 or 32M, not {text!r}")
        unit = (match["unit"] or "").upper()[:1]
        return self.from_yaml(int(match["number"]) * _UNITS[unit])

    def from_yaml(self, value: object) -> int:
        """The number of bytes; text with a unit is read as on the command line."""
        if isinstance(value, str):
            return self.from_text(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"must be a number of bytes such as 1000000 or 32M, not {value!r}")
        if value < self.minimum:
            raise ValueError(f"must be at least {self.minimum} bytes, not {value}")
        return value


@dataclass(frozen=True, slots=True)
class Address:
    """A 0MQ address to bind: tcp://*:60615, tcp://127.0.0.1:60615, ipc:///path/of/a/socket."""

    metavar: str = "ADDRESS"

    def from_text(self, text: str) -> str:
        """The address."""
        match = _ADDRESS.fullmatch(text)
        port = match["port"] if match else None
        if match is None or (port is not None and port != "*" and not 0 < int(port) < 65536):
            raise ValueError(f"must be an address such as tcp://*:60615 or ipc:///tmp/control.sock, not {text!r}")
        return text

    def from_yaml(self, value: object) -> str:
        """The address."""
        return self.from_text(_only_text(value))


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where an HTTP server listens: HOST:PORT, HOST an IP address or a name; port 0 is any free one."""

    metavar: str = "HOST:PORT"

    def from_text(self, text: str) -> tuple[str, int]:
        """Host and port."""
        match = _LISTEN.fullmatch(text)
        if match is None or int(match["port"]) > 65535:
            raise ValueError(f"must be HOST:PORT such as 0.0.0.0:8080, not {text!r}")
        return match["host"].strip("[]"), int(match["port"])

    def from_yaml(self, value: object) -> tuple[str, int]:
        """Host and port."""
        return self.from_text(_only_text(value))


@dataclass(frozen=True, slots=True)
class Name:
    """Name of a Kubernetes object as a DNS label."""

    longest: int
    metavar: str = "NAME"

    def from_text(self, text: str) -> str:
        """The name."""
        if len(text) > self.longest or not _DNS_LABEL.fullmatch(text):
            raise ValueError(
                f"must be a name of small letters, digits and -, at most {self.longest} characters, not {text!r}"
            )
        return text

    def from_yaml(self, value: object) -> str:
        """The name."""
        return self.from_text(_only_text(value))


@dataclass(frozen=True, slots=True)
class Words:
    """Several words: separate arguments on the command line, joined by a separator in the environment, a YAML list."""

    separator: str
    metavar: str = "WORD"

    def from_text(self, text: str) -> tuple[str, ...]:
        """The words."""
        return self.from_yaml([word for word in text.split(self.separator) if word])

    def from_yaml(self, value: object) -> tuple[str, ...]:
        """The words of a list, none of them twice."""
        if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
            raise ValueError(f"must be a list of texts, not {value!r}")
        twice = next((word for index, word in enumerate(value) if word in value[:index]), None)
        if twice is not None:
            raise ValueError(f"must not name {twice!r} twice")
        return tuple(value)


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A CURVE key as Z85 text; its value never appears in a message."""

    metavar: str = "KEY"

    def from_text(self, text: str) -> str:
        """The key."""
        if len(text) != 40 or not _Z85_DIGITS.issuperset(text):
            raise ValueError("is an invalid key '***': the key must be a 40 byte z85 encoded string")
        return text

    def from_yaml(self, value: object) -> str:
        """The key."""
        return self.from_text(value if isinstance(value, str) else "")


@dataclass(frozen=True, slots=True)
class SecretText:
    """Text that is not empty and never appears in a message."""

    metavar: str = "SECRET"

    def from_text(self, text: str) -> str:
        """The text."""
        return self.from_yaml(text)

    def from_yaml(self, value: object) -> str:
        """The text."""
        if not isinstance(value, str) or not value:
            raise ValueError("must be text that is not empty")
        return value


def _alternatives(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
