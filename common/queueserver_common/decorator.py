"""The decorator that tells more about the parameters of a plan than its header can. Source: plans-and-permissions 4."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from copy import deepcopy
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")

ANNOTATION_ATTRIBUTE = "_custom_parameter_annotation_"
"""Attribute of a decorated function that holds the annotation."""


class DecoratorError(ValueError):
    """The annotation passed to the decorator does not follow the schema or does not fit the function."""


def parameter_annotation_decorator(annotation: Mapping[str, Any]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Attach descriptions, types, limits and defaults to the parameters of a plan.

    *annotation* is ``{"description": str, "parameters": {name: {...}}}``; the keys per parameter are ``description``,
    ``annotation``, ``devices``, ``plans``, ``enums``, ``default``, ``min``, ``max``, ``step``, ``convert_plan_names``
    and ``convert_device_names``. Raises `DecoratorError` when it does not fit the schema or the decorated function. The
    function itself is left as it is, so one plan may be decorated in several ways.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        validate_decorator_annotation(annotation, inspect.signature(function))
        wrapper = _wrap(function)
        setattr(wrapper, ANNOTATION_ATTRIBUTE, deepcopy(dict(annotation)))
        return wrapper

    return decorate


def validate_decorator_annotation(annotation: object, signature: inspect.Signature) -> None:
    """Check *annotation* against the schema and the parameters of a function; raises `DecoratorError`."""
    if not isinstance(annotation, Mapping):
        raise DecoratorError(f"Parameter annotation must be a dictionary, not {type(annotation).__name__!r}")
    _refuse_other_keys("Parameter annotation", annotation, ("description", "parameters"))
    if not isinstance(annotation.get("description", ""), str):
        raise DecoratorError("Parameter annotation: 'description' must be a string")
    parameters = annotation.get("parameters", {})
    if not isinstance(parameters, Mapping):
        raise DecoratorError("Parameter annotation: 'parameters' must be a dictionary of parameter names")
    unknown = [name for name in parameters if name not in signature.parameters]
    if unknown:
        raise DecoratorError(
            f"Parameter annotation: {', '.join(map(repr, unknown))} not in the signature of the function, "
            f"which has {', '.join(map(repr, signature.parameters)) or 'no parameters'}"
        )
    for name, description in parameters.items():
        _check_parameter(name, description, signature.parameters[name])


def _check_parameter(name: str, description: object, parameter: inspect.Parameter) -> None:
    where = f"Parameter annotation, parameter {name!r}"
    if not isinstance(description, Mapping):
        raise DecoratorError(f"{where}: a dictionary is expected, not {type(description).__name__!r}")
    _refuse_other_keys(where, description, tuple(_KEYS))
    for key, value in description.items():
        expected, accepts = _KEYS[key]
        if not accepts(value):
            raise DecoratorError(f"{where}: {key!r} must be {expected}, it is {value!r}")
    if "default" in description and parameter.default is inspect.Parameter.empty:
        raise DecoratorError(f"{where}: 'default' is allowed only for a parameter that has a default in the header")


def _refuse_other_keys(where: str, mapping: Mapping[Any, Any], known: tuple[str, ...]) -> None:
    others = [key for key in mapping if key not in known]
    if others:
        raise DecoratorError(
            f"{where}: {', '.join(map(repr, others))} not supported. Supported: {', '.join(map(repr, known))}"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_declaration(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str)
        and name.isidentifier()
        and isinstance(items, list | tuple)
        and all(isinstance(item, str) for item in items)
        for name, items in value.items()
    )


_KEYS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "description": ("a string", lambda value: isinstance(value, str)),
    "annotation": ("a string with a type expression", lambda value: isinstance(value, str)),
    "devices": ("a mapping of type names to lists of strings", _is_declaration),
    "plans": ("a mapping of type names to lists of strings", _is_declaration),
    "enums": ("a mapping of type names to lists of strings", _is_declaration),
    "default": ("a value", lambda value: True),
    "min": ("a number", _is_number),
    "max": ("a number", _is_number),
    "step": ("a number", _is_number),
    "convert_plan_names": ("True or False", lambda value: isinstance(value, bool)),
    "convert_device_names": ("True or False", lambda value: isinstance(value, bool)),
}


def _wrap(function: Callable[P, R]) -> Callable[P, R]:
    if inspect.isgeneratorfunction(function):
        # A generator function has to stay one: that is how plans are recognised.
        @wraps(function)
        def generator(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, Any]:
            return (yield from function(*args, **kwargs))

        return cast("Callable[P, R]", generator)

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)

    return wrapper
