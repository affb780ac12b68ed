"""The kinds of words that follow a `qserver` command, and the request parameters that they become (cli.md 1.3).

Each kind takes its words from the front of a list and adds parameters to a mapping. A kind that does not find what
it needs raises `CommandError`; a kind that is optional leaves the words alone.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

Params = dict[str, Any]

_INTEGER = re.compile(r"[+-]?[0-9]+")
_INSTRUCTIONS = {"queue-stop": "queue_stop", "queue_stop": "queue_stop"}


class CommandError(ValueError):
    """The words do not form a command; the text says what is wrong and what would be right."""


@dataclass(frozen=True)
class FileContent:
    """Stands for a parameter that the program reads from a file before it sends the request."""

    path: str
    format: Literal["text", "yaml"]


class Argument(Protocol):
    """One kind of words."""

    @property
    def usage(self) -> str:
        """How the words look in the help text."""

    def take(self, words: list[str], params: Params) -> None:
        """Remove the words of this kind from the front of `words` and add what they mean to `params`."""


@dataclass(frozen=True)
class Choice:
    """One of a few fixed words (or pairs of words), each with the parameters that it stands for."""

    choices: Mapping[str, Params]
    required: bool = False

    @property
    def usage(self) -> str:
        names = " | ".join(self.choices)
        return f"<{names}>" if self.required else f"[{names}]"

    def take(self, words: list[str], params: Params) -> None:
        for name, meaning in self.choices.items():
            expected = name.split()
            if words[: len(expected)] == expected:
                del words[: len(expected)]
                params.update(meaning)
                return
        if self.required:
            found = f"not {words[0]!r}" if words else "but nothing follows"
            raise CommandError(f"one of {_quoted(self.choices)} is expected, {found}")


@dataclass(frozen=True)
class Flags:
    """Any number of fixed words in any order."""

    flags: Mapping[str, Params]

    @property
    def usage(self) -> str:
        return " ".join(f"[{name}]" for name in self.flags)

    def take(self, words: list[str], params: Params) -> None:
        while words and words[0] in self.flags:
            params.update(self.flags[words.pop(0)])


@dataclass(frozen=True)
class Word:
    """Exactly one word, used as it is."""

    parameter: str
    name: str

    @property
    def usage(self) -> str:
        return self.name

    def take(self, words: list[str], params: Params) -> None:
        params[self.parameter] = _next(words, self.name)


@dataclass(frozen=True)
class OptionalWord:
    """At most one word, used as it is."""

    parameter: str
    name: str

    @property
    def usage(self) -> str:
        return f"[{self.name}]"

    def take(self, words: list[str], params: Params) -> None:
        if words:
            params[self.parameter] = words.pop(0)


@dataclass(frozen=True)
class File:
    """The path of a file whose content is the parameter."""

    parameter: str
    name: str
    format: Literal["text", "yaml"]

    @property
    def usage(self) -> str:
        return self.name

    def take(self, words: list[str], params: Params) -> None:
        params[self.parameter] = FileContent(_next(words, self.name), self.format)


@dataclass(frozen=True)
class ItemUid:
    """UID of the item that is to be changed; becomes part of the item."""

    usage: str = "UID"

    def take(self, words: list[str], params: Params) -> None:
        params.setdefault("item", {})["item_uid"] = _next(words, "UID")


@dataclass(frozen=True)
class Item:
    """Description of a plan or function in one word: a Python literal or JSON mapping."""

    item_type: Literal["plan", "function"]
    listed: bool = False
    """The method takes a list of items."""

    @property
    def usage(self) -> str:
        return self.item_type.upper()

    def take(self, words: list[str], params: Params) -> None:
        text = _next(words, self.usage)
        item = parse_literal(text, self.item_type)
        if not isinstance(item, dict):
            raise CommandError(
                f"the {self.item_type} is not a mapping: write it as "
                '\'{"name": "NAME", "args": [...], "kwargs": {...}}\''
            )
        item = {**item, "item_type": self.item_type, **params.get("item", {})}
        params |= {"items": [item]} if self.listed else {"item": item}


@dataclass(frozen=True)
class Instruction:
    """Name of an instruction; a hyphen here is an underscore on the wire."""

    usage: str = "INSTRUCTION"

    def take(self, words: list[str], params: Params) -> None:
        word = _next(words, self.usage)
        if word not in _INSTRUCTIONS:
            raise CommandError(f"unsupported instruction {word!r}: the only instruction is 'queue-stop'")
        params["item"] = {"name": _INSTRUCTIONS[word], "item_type": "instruction", **params.get("item", {})}


@dataclass(frozen=True)
class Source:
    """The item of the queue that is meant: `front`, `back`, an index or a UID."""

    required: bool = False

    @property
    def usage(self) -> str:
        places = "front | back | INDEX | UID"
        return f"<{places}>" if self.required else f"[{places}]"

    def take(self, words: list[str], params: Params) -> None:
        if not words and not self.required:
            return
        word = _next(words, self.usage)
        position = _position(word)
        params["uid" if position is None else "pos"] = word if position is None else position


@dataclass(frozen=True)
class Destination:
    """A place in the queue: `front`, `back`, an index, `before UID` or `after UID`.

    `following` is the number of words that other kinds need after this one: an optional destination is there only
    if the command has more words than those.
    """

    parameter: str
    required: bool = False
    following: int = 0

    @property
    def usage(self) -> str:
        places = "front | back | INDEX | before UID | after UID"
        return f"<{places}>" if self.required else f"[{places}]"

    def take(self, words: list[str], params: Params) -> None:
        if len(words) <= self.following and not self.required:
            return
        word = _next(words, self.usage)
        if word in ("before", "after"):
            params[f"{word}_uid"] = _next(words, f"UID after '{word}'")
            return
        position = _position(word)
        if position is None:
            raise CommandError(
                f"{word!r} is not a place in the queue: expected 'front', 'back', an integer, 'before UID' "
                "or 'after UID'"
            )
        params[self.parameter] = position


@dataclass(frozen=True)
class ModePairs:
    """Names and values of queue modes: a value is a Python literal, or else a string."""

    usage: str = "NAME VALUE [NAME VALUE ...]"

    def take(self, words: list[str], params: Params) -> None:
        if len(words) % 2:
            raise CommandError(
                f"queue modes are pairs of a name and a value, but {len(words)} words are given: {words}"
            )
        params["mode"] = {name: _mode_value(value) for name, value in zip(words[::2], words[1::2], strict=True)}
        words.clear()


@dataclass(frozen=True)
class HistoryLimit:
    """How much of the history stays: the newest N items, or all that are newer than the item with a UID."""

    usage: str = "[COUNT | UID]"

    def take(self, words: list[str], params: Params) -> None:
        if words:
            word = words.pop(0)
            number = _INTEGER.fullmatch(word)
            params["size" if number else "item_uid"] = int(word) if number else word


@dataclass(frozen=True)
class NamedWords:
    """Any number of names in any order, each with the value that follows it (none: the name itself says true)."""

    names: Mapping[str, tuple[str, Callable[[str], Any] | None]]
    """Parameter and reading of the value, by name."""

    @property
    def usage(self) -> str:
        return " ".join(f"[{name}]" if read is None else f"[{name} VALUE]" for name, (_, read) in self.names.items())

    def take(self, words: list[str], params: Params) -> None:
        while words and words[0] in self.names:
            name = words.pop(0)
            parameter, read = self.names[name]
            params[parameter] = True if read is None else read(_next(words, f"the value of {name!r}"))


def whole_number(word: str) -> int:
    """An integer; raises `CommandError`."""
    if _INTEGER.fullmatch(word) is None:
        raise CommandError(f"{word!r} is not an integer")
    return int(word)


def point_in_time(word: str) -> float:
    """Epoch seconds of a date and time like 2026-03-01T08:30 (local time unless it says otherwise), or of a number."""
    try:
        return float(word)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(word).timestamp()
    except (ValueError, OverflowError, OSError):
        raise CommandError(
            f"{word!r} is not a time: write it like 2026-03-01 or 2026-03-01T08:30, or as seconds since 1970"
        ) from None


@dataclass(frozen=True)
class IgnoredWords:
    """Words without a meaning, which are accepted."""

    usage: str = ""

    def take(self, words: list[str], params: Params) -> None:
        words.clear()


def is_integer(word: str) -> bool:
    """Whether the word is written as an integer."""
    return _INTEGER.fullmatch(word) is not None


def parse_literal(text: str, what: str) -> Any:
    """The value of a Python literal or a JSON text; nothing is evaluated."""
    text = text.strip()
    try:
        return _python_literal(text)
    except _LITERAL_ERRORS as python_error:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as json_error:
            raise CommandError(
                f"Error occurred while parsing the {what}: it is neither a Python literal "
                f"({_reason(python_error)}) nor JSON ({_reason(json_error)})"
            ) from None


_LITERAL_ERRORS = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)


def _python_literal(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's remarks on escapes in a client's strings
        return ast.literal_eval(text)


def _reason(error: Exception) -> str:
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    text = message.splitlines()[0] if message else type(error).__name__
    return re.sub(r"malformed node or string.*", "it holds more than literals", text)


def _mode_value(word: str) -> Any:
    try:
        return _python_literal(word)
    except _LITERAL_ERRORS:
        return word


def _position(word: str) -> str | int | None:
    if word in ("front", "back"):
        return word
    return int(word) if _INTEGER.fullmatch(word) else None


def _next(words: list[str], expected: str) -> str:
    if not words:
        raise CommandError(f"{expected} is missing")
    return words.pop(0)


def _quoted(names: Mapping[str, object]) -> str:
    return ", ".join(repr(name) for name in names)
