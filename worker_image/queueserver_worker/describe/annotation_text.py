"""Write the annotations of a plan's signature as text (plans-and-permissions 2.1).

The text is what clients see and what the grammar of `queueserver_common.annotations` reads back. Protocols of bluesky
become the built-in type names; an annotation that has no such text is left out, and its parameter accepts anything.
"""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any

from queueserver_common.annotations import AnnotationError, parse_annotation
from queueserver_common.descriptions import CALLABLE, DEVICE, FLYABLE, MOVABLE, READABLE

_PROTOCOL_NAMES = {
    "Readable": READABLE,
    "Movable": MOVABLE,
    "NamedMovable": MOVABLE,
    "Flyable": FLYABLE,
} | dict.fromkeys(
    (
        "Checkable", "Collectable", "Configurable", "EventCollectable", "EventPageCollectable", "HasHints", "HasName",
        "HasParent", "Locatable", "Pausable", "Preparable", "Stageable", "Stoppable", "Subscribable", "Triggerable",
        "WritesExternalAssets", "WritesStreamAssets",
    ),
    DEVICE,
)  # fmt: skip
"""Type names for the protocols that devices implement, by their name in `bluesky.protocols`."""


class _NoTextError(Exception):
    """A type that clients have no name for."""


def annotation_text(annotation: Any) -> str | None:
    """Text of a resolved annotation, or None when it has none."""
    if annotation is inspect.Parameter.empty:
        return None
    try:
        text = _text(annotation)
        parse_annotation(text)
    except (_NoTextError, AnnotationError, RecursionError):
        return None
    return text


def resolved_annotation(annotation: Any, function: Callable[..., Any]) -> Any:
    """The annotation itself where it was written as a string; `empty` when its names mean nothing.

    Strings are expressions of the startup code, in files with `from __future__ import annotations` all of them.
    """
    if not isinstance(annotation, str):
        return annotation

    def holder() -> None: ...

    holder.__annotations__ = {"value": annotation}
    try:
        return typing.get_type_hints(holder, getattr(function, "__globals__", {}), include_extras=True)["value"]
    except Exception:  # the expression is the user's, it may raise anything
        return inspect.Parameter.empty


def _text(annotation: Any) -> str:
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is ...:
        return "..."
    for wrapped in ("__supertype__", "__value__"):  # NewType, and aliases made with the `type` statement
        if hasattr(annotation, wrapped) and not isinstance(annotation, type):
            return _text(getattr(annotation, wrapped))
    origin = typing.get_origin(annotation)
    if origin is None:
        return _plain(annotation)
    return _generic(annotation, origin, typing.get_args(annotation))


def _plain(annotation: Any) -> str:
    if annotation is typing.Any:
        return "typing.Any"
    if annotation is collections.abc.Callable:
        return CALLABLE
    if annotation is collections.abc.Iterable:
        return "collections.abc.Iterable[typing.Any]"  # as clients have always seen it
    if not isinstance(annotation, type):
        raise _NoTextError
    if annotation.__module__ == "bluesky.protocols":
        return _protocol(annotation)
    return _class_name(annotation)


def _generic(annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> str:
    if origin is collections.abc.Callable:
        return CALLABLE
    if origin is types.UnionType:
        return _alternatives(arguments)
    if origin is typing.Union:
        return _union(annotation, arguments)
    if origin is typing.Annotated:
        return _text(arguments[0])
    if origin is typing.Literal:
        return f"typing.Literal[{_list(arguments, repr)}]"
    if isinstance(origin, type) and origin.__module__ == "bluesky.protocols":
        return _protocol(origin)
    name = _class_name(origin) if isinstance(annotation, types.GenericAlias) else f"typing.{annotation.__name__}"
    return f"{name}[{_list(arguments, _text)}]" if arguments else name


def _union(annotation: Any, arguments: tuple[Any, ...]) -> str:
    """As Python writes it: up to 3.13 `typing.Optional[int]` and `int | None` are different types."""
    if not repr(annotation).startswith("typing."):
        return _alternatives(arguments)
    if len(arguments) == 2 and arguments[1] is type(None):
        return f"typing.Optional[{_text(arguments[0])}]"
    return f"typing.Union[{_list(arguments, _text)}]"


def _alternatives(arguments: tuple[Any, ...]) -> str:
    # Different kinds of callables have the same name.
    return " | ".join(dict.fromkeys(map(_text, arguments)))


def _protocol(protocol: type) -> str:
    try:
        return _PROTOCOL_NAMES[protocol.__name__]
    except KeyError:
        raise _NoTextError from None


def _class_name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _list(values: Iterable[Any], text: Callable[[Any], str]) -> str:
    return ", ".join(map(text, values))
