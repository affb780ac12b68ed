"""Shapes of plan and device descriptions, and the check that data from outside really has them.

A worker describes what its startup code defined; manager, clients and the file of existing plans and devices pass the
descriptions on as plain JSON. Source: plans-and-permissions 2.1 and 2.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter
from typing import Any, NotRequired, Required, TypedDict

READABLE = "__READABLE__"
MOVABLE = "__MOVABLE__"
FLYABLE = "__FLYABLE__"
DEVICE = "__DEVICE__"
PLAN = "__PLAN__"
PLAN_OR_DEVICE = "__PLAN_OR_DEVICE__"
CALLABLE = "__CALLABLE__"

BUILTIN_TYPE_NAMES = frozenset({READABLE, MOVABLE, FLYABLE, DEVICE, PLAN, PLAN_OR_DEVICE, CALLABLE})
"""Type names that an annotation may use without declaring them; plans-and-permissions 4."""

MAX_DEVICE_DEPTH = 50
"""Levels of nested devices accepted in a description; real devices have fewer than ten."""

_PARAMETER_KINDS = (
    Parameter.POSITIONAL_ONLY,
    Parameter.POSITIONAL_OR_KEYWORD,
    Parameter.VAR_POSITIONAL,
    Parameter.KEYWORD_ONLY,
    Parameter.VAR_KEYWORD,
)
_DEVICE_FLAGS = ("is_readable", "is_movable", "is_flyable")


class DescriptionError(ValueError):
    """A plan or device description does not have the expected shape."""


class KindDescription(TypedDict):
    """Kind of a parameter, as ``inspect`` names and numbers it."""

    name: str
    value: int


class AnnotationDescription(TypedDict, total=False):
    """Type of a parameter: a type expression and the lists of names that it declares."""

    type: Required[str]
    devices: dict[str, list[str]]
    plans: dict[str, list[str]]
    enums: dict[str, list[str]]


class ParameterDescription(TypedDict):
    """One parameter of a plan. ``default``, ``min``, ``max`` and ``step`` are Python literals written as text."""

    name: str
    kind: KindDescription
    description: NotRequired[str]
    annotation: NotRequired[AnnotationDescription]
    convert_device_names: NotRequired[bool]
    convert_plan_names: NotRequired[bool]
    eval_expressions: NotRequired[bool]
    default: NotRequired[str]
    default_defined_in_decorator: NotRequired[bool]
    min: NotRequired[str]
    max: NotRequired[str]
    step: NotRequired[str]


class PlanDescription(TypedDict):
    """One plan."""

    name: str
    parameters: list[ParameterDescription]
    module: NotRequired[str]
    description: NotRequired[str]
    properties: NotRequired[dict[str, Any]]


class DeviceDescription(TypedDict):
    """One device or component of a device.

    ``excluded`` occurs only in lists of allowed devices: the node itself may not be used, one of its components may.
    """

    is_readable: bool
    is_movable: bool
    is_flyable: bool
    classname: str
    module: str
    components: NotRequired[dict[str, DeviceDescription]]
    excluded: NotRequired[bool]


def check_plans(plans: object) -> dict[str, PlanDescription]:
    """Return *plans* when it maps names to plan descriptions, else raise `DescriptionError`."""
    checked = _mapping(plans, "the list of plans")
    for name, plan in checked.items():
        _check_plan(name, plan)
    return checked


def check_devices(devices: object) -> dict[str, DeviceDescription]:
    """Return *devices* when it maps names to device descriptions, else raise `DescriptionError`."""
    checked = _mapping(devices, "the list of devices")
    for name, device in checked.items():
        _check_device(name, device, depth=1)
    return checked


def _check_plan(name: str, plan: object) -> None:
    where = f"plan {name!r}"
    description = _mapping(plan, where)
    if description.get("name") != name:
        raise DescriptionError(f"{where}: key 'name' must be {name!r}, it is {description.get('name')!r}")
    parameters = description.get("parameters")
    if not isinstance(parameters, list):
        raise DescriptionError(f"{where}: key 'parameters' must be a list of parameter descriptions")
    seen: set[str] = set()
    for parameter in parameters:
        parameter_name = _check_parameter(where, parameter)
        if parameter_name in seen:
            raise DescriptionError(f"{where}: parameter {parameter_name!r} is described twice")
        seen.add(parameter_name)


def _check_parameter(where: str, parameter: object) -> str:
    description = _mapping(parameter, f"a parameter of {where}")
    name = description.get("name")
    if not isinstance(name, str):
        raise DescriptionError(f"{where}: each parameter needs a 'name' that is a string")
    where = f"{where}, parameter {name!r}"
    kind = _mapping(description.get("kind"), f"{where}, key 'kind'")
    if type(kind.get("value")) is not int or kind["value"] not in _PARAMETER_KINDS:
        raise DescriptionError(f"{where}: 'kind.value' must be one of {[int(kind) for kind in _PARAMETER_KINDS]}")
    for key in ("default", "min", "max", "step"):
        if not isinstance(description.get(key, ""), str):
            raise DescriptionError(f"{where}: key {key!r} must be a string with a Python literal")
    if "annotation" in description:
        _check_annotation(where, description["annotation"])
    return name


def _check_annotation(where: str, annotation: object) -> None:
    description = _mapping(annotation, f"{where}, key 'annotation'")
    if not isinstance(description.get("type"), str):
        raise DescriptionError(f"{where}: the annotation needs a key 'type' that is a string")
    for key in ("devices", "plans", "enums"):
        for type_name, names in _mapping(description.get(key, {}), f"{where}, key {key!r}").items():
            if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
                raise DescriptionError(f"{where}: type {type_name!r} in {key!r} must be a list of strings")


def _check_device(name: str, device: object, *, depth: int) -> None:
    if depth > MAX_DEVICE_DEPTH:
        raise DescriptionError(f"device {name!r}: more than {MAX_DEVICE_DEPTH} levels of components")
    description = _mapping(device, f"device {name!r}")
    for flag in _DEVICE_FLAGS:
        if type(description.get(flag)) is not bool:
            raise DescriptionError(f"device {name!r}: key {flag!r} must be true or false")
    for component, child in _mapping(description.get("components", {}), f"components of device {name!r}").items():
        _check_device(f"{name}.{component}", child, depth=depth + 1)


def _mapping(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise DescriptionError(f"{where}: a mapping is expected, not {type(value).__name__!r}")
    for key in value:
        if not isinstance(key, str):
            raise DescriptionError(f"{where}: names must be strings, {key!r} is not")
    return value  # type: ignore[return-value]
