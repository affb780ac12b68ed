"""Describe one parameter of a plan from its signature, docstring and decorator (plans-and-permissions 2.1 and 4)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from inspect import Parameter
from itertools import chain
from typing import Any

from queueserver_common.annotations import names_in, parse_annotation, parse_parameter_annotation
from queueserver_common.descriptions import (
    CALLABLE,
    DEVICE,
    FLYABLE,
    MOVABLE,
    PLAN,
    PLAN_OR_DEVICE,
    READABLE,
    AnnotationDescription,
    DeviceDescription,
    ParameterDescription,
)
from queueserver_common.literals import LiteralError, parse_literal
from queueserver_common.name_patterns import compile_device_pattern, compile_name_pattern
from queueserver_worker.describe.annotation_text import annotation_text, resolved_annotation

_DEVICE_TYPES = frozenset({READABLE, MOVABLE, FLYABLE, DEVICE, PLAN_OR_DEVICE})
_PLAN_TYPES = frozenset({PLAN, PLAN_OR_DEVICE})


class PlanDescriptionError(ValueError):
    """A plan cannot be described, so clients could not submit it correctly."""


@dataclass(frozen=True, slots=True)
class ExistingNames:
    """What name patterns of decorators are expanded against."""

    plans: Collection[str]
    devices: Mapping[str, DeviceDescription]


def describe_parameter(
    parameter: Parameter,
    function: Callable[..., Any],
    docstring_text: str | None,
    decorator: Mapping[str, Any],
    existing: ExistingNames,
) -> ParameterDescription:
    """Describe *parameter*; *decorator* is what the annotation decorator says of it. Raises PlanDescriptionError."""
    description = ParameterDescription(
        name=parameter.name, kind={"name": parameter.kind.name, "value": int(parameter.kind)}
    )
    text = decorator.get("description") or docstring_text
    if text:
        description["description"] = text
    try:
        _describe_type(description, parameter, function, decorator, existing)
        _describe_default(description, parameter, decorator)
        for limit in ("min", "max", "step"):
            if limit in decorator:
                description[limit] = _literal(decorator[limit], limit)
    except ValueError as error:
        raise PlanDescriptionError(f"Parameter {parameter.name!r}: {error}") from error
    return description


def _describe_type(
    description: ParameterDescription,
    parameter: Parameter,
    function: Callable[..., Any],
    decorator: Mapping[str, Any],
    existing: ExistingNames,
) -> None:
    used: frozenset[str] = frozenset()
    if "annotation" in decorator:
        annotation = _decorator_annotation(decorator, existing)
        parse_parameter_annotation(annotation)  # says what is wrong with it, also that a declared name is not used
        used = names_in(parse_annotation(annotation["type"], _declared(annotation)))
        used -= _declared(annotation)
        description["annotation"] = annotation
    else:
        text = annotation_text(resolved_annotation(parameter.annotation, function))
        if text is not None:
            description["annotation"] = {"type": text}
            used = names_in(parse_annotation(text))
    if used & _DEVICE_TYPES:
        description["convert_device_names"] = True
    if used & _PLAN_TYPES:
        description["convert_plan_names"] = True
    if CALLABLE in used:
        description["eval_expressions"] = True
    if "convert_device_names" in decorator:
        description["convert_device_names"] = bool(decorator["convert_device_names"])
    if "convert_plan_names" in decorator:
        description["convert_plan_names"] = bool(decorator["convert_plan_names"])


def _decorator_annotation(decorator: Mapping[str, Any], existing: ExistingNames) -> AnnotationDescription:
    annotation = AnnotationDescription(type=str(decorator["annotation"]))
    if decorator.get("devices"):
        annotation["devices"] = {
            name: _unique(_expand_devices(texts, existing)) for name, texts in decorator["devices"].items()
        }
    if decorator.get("plans"):
        annotation["plans"] = {
            name: _unique(_expand_plans(texts, existing)) for name, texts in decorator["plans"].items()
        }
    if decorator.get("enums"):
        annotation["enums"] = {name: _unique(texts) for name, texts in decorator["enums"].items()}
    return annotation


def _expand_devices(texts: Collection[str], existing: ExistingNames) -> Iterator[str]:
    """Names as they are, whether they exist or not, and what the patterns among them select."""
    for text in texts:
        pattern = compile_device_pattern(text)
        yield from pattern.select(existing.devices) if ":" in text else (text,)


def _expand_plans(texts: Collection[str], existing: ExistingNames) -> Iterator[str]:
    for text in texts:
        pattern = compile_name_pattern(text)
        yield from filter(pattern.matches, existing.plans) if ":" in text else (text,)


def _unique(texts: Collection[str] | Iterator[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _declared(annotation: AnnotationDescription) -> frozenset[str]:
    return frozenset(chain(annotation.get("devices", ()), annotation.get("plans", ()), annotation.get("enums", ())))


def _describe_default(description: ParameterDescription, parameter: Parameter, decorator: Mapping[str, Any]) -> None:
    if "default" in decorator:
        description["default"] = _literal(decorator["default"], "default value in the decorator")
        description["default_defined_in_decorator"] = True
    elif parameter.default is not Parameter.empty:
        description["default"] = _literal(parameter.default, "default value")


def _literal(value: Any, what: str) -> str:
    """Text of a literal, in the representation that Python gives it. Scalars of numpy count as numbers."""
    numpy = sys.modules.get("numpy")
    text = repr(value.item() if numpy is not None and isinstance(value, numpy.generic) else value)
    try:
        parse_literal(text)
    except LiteralError as error:
        shown = text if len(text) <= 200 else f"{text[:200]}…"
        raise ValueError(
            f"unsupported {what} {shown}: it must be a literal, such as a number, a string, None, or lists and "
            "dictionaries of these. 'parameter_annotation_decorator' can give another default"
        ) from error
    return text
