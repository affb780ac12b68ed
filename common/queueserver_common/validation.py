"""Check of a submitted plan against its description, before it enters the queue and again before it runs.

The order is fixed: name of the plan, arguments against the signature, types, ranges, metadata. Everything that depends
on the description alone is prepared once per plan and group. Source: plans-and-permissions 5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from pydantic_core import SchemaValidator, ValidationError

from queueserver_common.annotation_schema import validator
from queueserver_common.annotations import (
    ANY,
    AnnotationError,
    CollectionKind,
    CollectionOf,
    MappingOf,
    Node,
    Scalar,
    ScalarKind,
    parse_parameter_annotation,
)
from queueserver_common.descriptions import ParameterDescription, PlanDescription
from queueserver_common.literals import LiteralError, parse_literal, parse_number
from queueserver_common.permissions import GroupLists
from queueserver_common.printing import layout, repr_of, text_of
from queueserver_common.signature import BindingError, PlanSignature

_MAX_REPORTED_ERRORS = 20
_MAX_ERROR_CHARACTERS = 4000
_STR = Scalar(ScalarKind.STR)


class PlanValidationError(ValueError):
    """A plan cannot be accepted; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class _Check:
    """What the value of one parameter must satisfy."""

    name: str
    node: Node | None
    exact: SchemaValidator | None
    minimum: int | float
    maximum: int | float
    has_range: bool


class PlanValidator:
    """Validates the arguments of one plan. Raises `PlanValidationError` when the description itself is unusable."""

    def __init__(self, description: PlanDescription) -> None:
        parameters = description["parameters"]
        self._plan_name = description["name"]
        self._signature = PlanSignature(parameters)
        try:
            checks = [_compile(parameter) for parameter in parameters]
        except (AnnotationError, LiteralError) as ex:
            raise PlanValidationError(str(ex)) from ex
        self._checks = [check for check in checks if check.exact is not None or check.has_range]
        self._ranges = [check for check in checks if check.has_range]

    def bind(self, args: Any, kwargs: Any) -> dict[str, Any]:
        """Return the given values by the names of the parameters; raises `PlanValidationError`."""
        if not isinstance(args, list | tuple):
            raise PlanValidationError(f"Plan parameter 'args' must be a list, not {type(args)}")
        if not isinstance(kwargs, Mapping):
            raise PlanValidationError(f"Plan parameter 'kwargs' must be a dictionary, not {type(kwargs)}")
        for name in kwargs:
            if not isinstance(name, str):
                raise PlanValidationError(f"Names in plan parameter 'kwargs' must be strings, {text_of(name)} is not")
        try:
            return self._signature.bind(args, kwargs)
        except BindingError as ex:
            raise PlanValidationError(str(ex)) from ex

    def validate(self, args: Any, kwargs: Any) -> None:
        """Check positional and keyword arguments; raises `PlanValidationError`."""
        bound = self.bind(args, kwargs)
        refused = [check for check in self._checks if check.name in bound and not _is_exact(check, bound[check.name])]
        if refused:
            raise PlanValidationError(self._type_errors(refused, bound))
        out_of_range = [text for check in self._ranges if (text := _range_error(check, bound)) is not None]
        if out_of_range:
            raise PlanValidationError("Argument values are out of range: " + "\n".join(out_of_range))

    def _type_errors(self, refused: list[_Check], bound: dict[str, Any]) -> str:
        """Say why the values are refused: they have the wrong type, or else they would be converted silently."""
        errors: list[str] = []
        conversions: list[str] = []
        count = 0
        for check in refused:
            assert check.node is not None  # only a check of a type refuses
            value = bound[check.name]
            try:
                converted = validator(check.node, exact=False).validate_python(value)
            except ValidationError as ex:
                count += ex.error_count()
                errors += _describe(check.name, ex)
            else:
                conversions.append(
                    f"Incorrect parameter type: key='{check.name}', value='{text_of(value)}' ({type(value)}), "
                    f"interpreted as '{text_of(converted)}' ({type(converted)})"
                )
        if errors:
            head = f"{count} validation error{'s' if count != 1 else ''} for plan {self._plan_name!r}"
            return "\n".join((head, *errors[:_MAX_REPORTED_ERRORS]))
        return "Error in argument types: " + "\n".join(conversions)


class GroupValidator:
    """Validates plan items submitted by a group; each plan is prepared when it is first met."""

    def __init__(self, lists: GroupLists) -> None:
        self._plans = lists.plans
        self._validators: dict[str, PlanValidator | PlanValidationError] = {}

    def validate_item(self, item: Mapping[str, Any]) -> None:
        """Check a plan item.

        Raises `PlanValidationError` with ``Plan validation failed: <reason>`` and, on the next line, ``Plan: <item>``.
        """
        try:
            if "name" not in item:
                raise PlanValidationError("Plan name is not specified")
            plan = self._plan_validator(item["name"])
            plan.validate(item.get("args", ()), item.get("kwargs", {}))
            if "meta" in item:
                check_meta(item["meta"])
        except PlanValidationError as ex:
            raise PlanValidationError(f"Plan validation failed: {ex}\nPlan: {layout(item)}") from ex

    def _plan_validator(self, name: object) -> PlanValidator:
        if not isinstance(name, str) or name not in self._plans:
            raise PlanValidationError(f"Plan '{text_of(name)}' is not in the list of allowed plans.")
        known = self._validators.get(name)
        if known is None:
            try:
                known = PlanValidator(self._plans[name])
            except PlanValidationError as ex:
                known = ex
            self._validators[name] = known
        if isinstance(known, PlanValidationError):
            raise PlanValidationError(str(known))
        return known


def check_meta(meta: object) -> None:
    """Check the metadata of a plan item; raises `PlanValidationError`."""
    items = meta if isinstance(meta, list | tuple) else [meta]
    if not all(isinstance(item, Mapping) for item in items):
        raise PlanValidationError("Plan parameter 'meta' must be a dictionary or a list of dictionaries")


def _compile(parameter: ParameterDescription) -> _Check:
    if "default" in parameter:
        try:
            parse_literal(parameter["default"])
        except LiteralError as ex:
            raise LiteralError(f"Failed to decode the default value of parameter {parameter['name']!r}: {ex}") from ex
    node = _value_node(parameter)
    return _Check(
        name=parameter["name"],
        node=node,
        exact=None if node is None else validator(node, exact=True),
        minimum=_limit(parameter, parameter.get("min"), -math.inf),
        maximum=_limit(parameter, parameter.get("max"), math.inf),
        has_range="min" in parameter or "max" in parameter,
    )


def _value_node(parameter: ParameterDescription) -> Node | None:
    """Return the type of what is bound to the parameter, or ``None`` when every value will do."""
    if "annotation" not in parameter:
        return None
    node = parse_parameter_annotation(parameter["annotation"])
    if node == ANY:
        return None
    kind = parameter["kind"]["value"]
    if kind == Parameter.VAR_POSITIONAL:
        return CollectionOf(CollectionKind.LIST, node)
    if kind == Parameter.VAR_KEYWORD:
        return MappingOf(_STR, node)
    return node


def _limit(parameter: ParameterDescription, text: str | None, default: float) -> int | float:
    if text is None:
        return default
    try:
        return parse_number(text)
    except LiteralError as ex:
        raise LiteralError(f"Failed to read a limit of parameter {parameter['name']!r}: {ex}") from ex


def _is_exact(check: _Check, value: Any) -> bool:
    return check.exact is None or check.exact.isinstance_python(value)


def _range_error(check: _Check, bound: Mapping[str, Any]) -> str | None:
    if check.name not in bound:
        return None
    value = bound[check.name]
    for number in _numbers(value):
        # NaN is in no range.
        if not check.minimum <= number <= check.maximum:
            return (
                f"Parameter value is out of range: key='{check.name}', value='{text_of(value)}': "
                f"Value {text_of(number)} is out of range [{text_of(check.minimum)}, {text_of(check.maximum)}]"
            )
    return None


def _numbers(value: Any) -> list[int | float]:
    """Return all numbers in *value*, however deep they are nested, in their order; keys of mappings do not count."""
    numbers: list[int | float] = []
    pending = [value]
    while pending:
        match pending.pop():
            case int() | float() as number:
                numbers.append(number)
            case list() | tuple() as items:
                pending.extend(reversed(items))
            case Mapping() as items:
                pending.extend(reversed(list(items.values())))
            case _:
                pass
    return numbers


def _describe(name: str, error: ValidationError) -> list[str]:
    described: list[str] = []
    for details in error.errors(include_url=False, include_context=False)[:_MAX_REPORTED_ERRORS]:
        place = ".".join(str(step) for step in (name, *details["loc"]))
        received = details["input"]
        described.append(
            f"{place}\n  {details['msg'][:_MAX_ERROR_CHARACTERS]} [type={details['type']}, "
            f"input_value={repr_of(received)}, input_type={type(received).__name__}]"
        )
    return described
