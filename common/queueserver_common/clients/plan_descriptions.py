"""What clients do with descriptions of plans: call signatures, validation, texts (plans-and-permissions 7)."""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any, cast

from queueserver_common.annotations import (
    BuiltinName,
    CollectionKind,
    CollectionOf,
    CustomName,
    FixedTuple,
    Literals,
    MappingOf,
    Node,
    OneOf,
    Scalar,
    ScalarKind,
    UnionOf,
    parse_parameter_annotation,
)
from queueserver_common.descriptions import ParameterDescription, PlanDescription
from queueserver_common.literals import LiteralError, parse_literal
from queueserver_common.permissions import GroupLists
from queueserver_common.signature import BindingError, PlanSignature
from queueserver_common.validation import GroupValidator, PlanValidationError

_SCALARS: dict[ScalarKind, Any] = {
    ScalarKind.ANY: Any,
    ScalarKind.NONE: None,
    ScalarKind.BOOL: bool,
    ScalarKind.INT: int,
    ScalarKind.FLOAT: float,
    ScalarKind.COMPLEX: complex,
    ScalarKind.STR: str,
    ScalarKind.BYTES: bytes,
    ScalarKind.HASHABLE: collections.abc.Hashable,
}
_COLLECTIONS: dict[CollectionKind, Any] = {
    CollectionKind.LIST: list,
    CollectionKind.TUPLE: tuple,
    CollectionKind.SET: set,
    CollectionKind.SEQUENCE: collections.abc.Sequence,
    CollectionKind.ITERABLE: collections.abc.Iterable,
}
_LISTS_OF_NAMES = ("devices", "plans", "enums")


def construct_parameters(
    param_list: Sequence[ParameterDescription], *, params_decoded: Mapping[str, Mapping[str, Any]] | None = None
) -> list[inspect.Parameter]:
    """The parameters of a description as `inspect` has them, in their order.

    Annotations become types: devices, plans and callables are strings, of which declared lists are literals.
    `params_decoded` may give the `default` and `annotation` of parameters by name. Raises ValueError for a description
    that cannot be understood.
    """
    parameters = []
    for described in param_list:
        known = (params_decoded or {}).get(described["name"], {})
        try:
            default = known.get("default", inspect.Parameter.empty)
            if "default" not in known and "default" in described:
                default = parse_literal(described["default"])
            annotation = known.get("annotation", inspect.Parameter.empty)
            if "annotation" not in known and "annotation" in described:
                annotation = _as_type(parse_parameter_annotation(described["annotation"]))
        except ValueError as error:
            raise ValueError(f"Parameter '{described['name']}' cannot be understood: {error}") from error
        kind = inspect._ParameterKind(described["kind"]["value"])  # noqa: SLF001 - the public name of no other type
        parameters.append(inspect.Parameter(described["name"], kind, default=default, annotation=annotation))
    return parameters


def bind_plan_arguments(
    *, plan_args: Sequence[Any], plan_kwargs: Mapping[str, Any], plan_parameters: PlanDescription
) -> inspect.BoundArguments:
    """Arguments by the names of the plan's parameters; raises TypeError when they do not fit the signature."""
    description = plan_parameters["parameters"]
    parameters = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in _kinds_only(description)]
    try:
        bound = PlanSignature(description).bind(list(plan_args), dict(plan_kwargs))
    except BindingError as error:
        raise TypeError(str(error)) from None
    return inspect.BoundArguments(inspect.Signature(parameters), cast("Any", bound))


def validate_plan(
    plan: Mapping[str, Any], *, allowed_plans: Mapping[str, PlanDescription] | None, allowed_devices: object = None
) -> tuple[bool, str]:
    """Whether a manager would accept the plan, and if not the text in which it says why.

    Without a list of plans nothing is checked. Devices are part of the descriptions of allowed plans; the second list
    is taken for the sake of existing callers.
    """
    if allowed_plans is None:
        return True, ""
    try:
        GroupValidator(GroupLists(dict(allowed_plans), {})).validate_item(plan)
    except PlanValidationError as error:
        return False, str(error)
    return True, ""


def format_text_descriptions(item_parameters: Mapping[str, Any], *, use_html: bool = False) -> dict[str, Any]:
    """Texts for tool tips: `description` of the plan, and `parameters` with a text for each parameter by its name."""
    bold, faint, end = ("<b>{}</b>", "<i>{}</i>", "<br>") if use_html else ("{}", "{}", "\n")

    def line(label: str, value: object, label_form: str = faint) -> str:
        return f"{label_form.format(f'{label}:')} {bold.format(value)}"

    def text(lines: Iterator[str]) -> str:
        return end.join(one.replace("\n", end) for one in lines if one)

    def of_plan() -> Iterator[str]:
        yield line("Name", item_parameters.get("name", "-"))
        yield item_parameters.get("description", "")

    def of_parameter(parameter: Mapping[str, Any]) -> Iterator[str]:
        annotation = parameter.get("annotation", {})
        yield line("Name", parameter["name"])
        if annotation:
            yield line("Type", annotation["type"])
        for names in _LISTS_OF_NAMES:
            for name, values in annotation.get(names, {}).items():
                label = bold.format(f"{name}:")
                yield f"{label} {tuple(values)}"
        yield line("Default", parameter.get("default", "-"))
        limits = [line(key.capitalize(), parameter[key]) for key in ("min", "max", "step") if key in parameter]
        yield " ".join(limits)
        yield parameter.get("description", "")

    return {
        "description": text(of_plan()),
        "parameters": {one["name"]: text(of_parameter(one)) for one in item_parameters.get("parameters", [])},
    }


def _kinds_only(description: Sequence[ParameterDescription]) -> Iterator[inspect.Parameter]:
    for described in description:
        kind = inspect._ParameterKind(described["kind"]["value"])  # noqa: SLF001 - the public name of no other type
        default = inspect.Parameter.empty
        if "default" in described:
            try:
                default = parse_literal(described["default"])
            except LiteralError as error:
                raise ValueError(f"Default of parameter '{described['name']}': {error}") from error
        yield inspect.Parameter(described["name"], kind, default=default)


def _as_type(node: Node) -> Any:
    match node:
        case Scalar(kind):
            return _SCALARS[kind]
        case BuiltinName() | CustomName():
            return str
        case OneOf(_, values):
            return typing.Literal[values] if values else str
        case Literals(values):
            return typing.Literal[values]
        case CollectionOf(CollectionKind.TUPLE, item):
            return tuple[_as_type(item), ...]  # type: ignore[misc]  # a type that is only known at run time
        case CollectionOf(kind, item):
            return _COLLECTIONS[kind][_as_type(item)]
        case FixedTuple(items):
            return tuple[tuple(_as_type(item) for item in items)]  # type: ignore[misc]
        case MappingOf(key, value):
            return dict[_as_type(key), _as_type(value)]  # type: ignore[misc]
        case UnionOf(members):
            return reduce(or_, [_as_type(member) for member in members])
