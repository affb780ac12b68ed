"""Turn a queue item into a call of a plan (plans-and-permissions 6).

The item is validated once more, against the lists of this worker. Defaults of the annotation decorator are filled in,
and names of plans and devices become the objects of the environment, as far as the user's group may use them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from queueserver_common.descriptions import (
    AnnotationDescription,
    DeviceDescription,
    ParameterDescription,
    PlanDescription,
)
from queueserver_common.literals import parse_literal
from queueserver_common.permissions import GroupLists
from queueserver_common.signature import PlanSignature
from queueserver_common.validation import GroupValidator, PlanValidationError
from queueserver_worker.describe.devices import is_device
from queueserver_worker.describe.plans import is_plan

_NO_ANNOTATION: AnnotationDescription = {"type": ""}


class PlanPreparationError(Exception):
    """The item cannot be run; the text says why and becomes the message in its history."""


@dataclass(frozen=True, slots=True)
class PreparedPlan:
    """A plan with everything that `RE(plan_func(*args, **kwargs), **meta)` needs."""

    plan_func: Callable[..., Any]
    args: list[Any]
    kwargs: dict[str, Any]
    meta: dict[str, Any]


def prepare_plan(
    item: Mapping[str, Any], namespace: Mapping[str, Any], lists: GroupLists, validator: GroupValidator
) -> PreparedPlan:
    """Prepare a plan item for the RunEngine; raises PlanPreparationError.

    *lists* are the plans and devices that the item's user group may use in this environment, *validator* checks
    against the same lists. A name that the group may not use stays a string.
    """
    try:
        validator.validate_item(item)
    except PlanValidationError as error:
        raise PlanPreparationError(f"Validation of plan parameters failed: {error}") from error
    name = item["name"]
    function = namespace.get(name)
    if not callable(function):
        raise PlanPreparationError(f"Plan {name!r} is not in the environment any more.")
    args, kwargs = _arguments(item, lists.plans[name], function, _Names(namespace, lists))
    return PreparedPlan(function, args, kwargs, merge_meta(item.get("meta", {})))


def merge_meta(meta: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Metadata as one dictionary; where several define a key, the first one counts."""
    parts = [meta] if isinstance(meta, Mapping) else list(meta)
    merged: dict[str, Any] = {}
    for part in reversed(parts):
        merged.update(part)
    return merged


def _arguments(
    item: Mapping[str, Any], plan: PlanDescription, function: Callable[..., Any], names: _Names
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments in the form in which the item has them, followed by the decorator's defaults for what it leaves out."""
    given = item.get("args", ())
    bound = PlanSignature(plan["parameters"]).bind(given, item.get("kwargs", {}))
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    left_out: list[str] = []
    for parameter in plan["parameters"]:
        name, kind = parameter["name"], parameter["kind"]["value"]
        if name in bound:
            value = bound[name]
        elif parameter.get("default_defined_in_decorator", False):
            value = parse_literal(parameter["default"])
        else:
            left_out.append(name)
            continue
        value = names.convert(value, parameter)
        if kind == Parameter.VAR_POSITIONAL:
            args.extend(value)
        elif kind == Parameter.VAR_KEYWORD:
            kwargs.update(value)
        elif kind == Parameter.POSITIONAL_ONLY:
            # Python has no other way to give such an argument than after all those before it.
            args.extend(inspect.signature(function).parameters[before].default for before in left_out)
            left_out.clear()
            args.append(value)
        elif kind == Parameter.POSITIONAL_OR_KEYWORD and len(args) < len(given):
            args.append(value)
        else:
            kwargs[name] = value
    return args, kwargs


class _Names:
    """The names that may be used, and the objects that they stand for."""

    def __init__(self, namespace: Mapping[str, Any], lists: GroupLists) -> None:
        self._namespace = namespace
        self._lists = lists

    def convert(self, value: Any, parameter: ParameterDescription) -> Any:
        """Replace the strings in the value of a parameter by objects, as the parameter's description wants it."""
        annotation = parameter.get("annotation", _NO_ANNOTATION)
        by_default = True if annotation is _NO_ANNOTATION else None
        plan_wanted = self._selection(
            self._is_plan, parameter.get("convert_plan_names", by_default), annotation.get("plans", {})
        )
        device_wanted = self._selection(
            self._is_device, parameter.get("convert_device_names", by_default), annotation.get("devices", {})
        )
        evaluate = parameter.get("eval_expressions", False)
        if plan_wanted is None and device_wanted is None and not evaluate:
            return value

        def replace(text: str) -> Any:
            if device_wanted is not None and device_wanted(text):
                return self._device(text)
            if plan_wanted is not None and plan_wanted(text):
                return self._namespace.get(text, text)
            return self._evaluate(text) if evaluate else text

        return _replace_strings(value, replace)

    @staticmethod
    def _selection(
        is_allowed: Callable[[str], bool], convert: bool | None, declared: Mapping[str, Iterable[str]]
    ) -> Callable[[str], bool] | None:
        """Tell which allowed names are converted: all, none, or (*convert* is None) those that the annotation lists."""
        if convert is not None:
            return is_allowed if convert else None
        if not declared:
            return None
        listed: AbstractSet[str] = {name for names in declared.values() for name in names}
        return lambda text: text in listed and is_allowed(text)

    def _is_plan(self, text: str) -> bool:
        return text in self._lists.plans

    def _is_device(self, text: str) -> bool:
        level: Mapping[str, DeviceDescription] = self._lists.devices
        device: DeviceDescription | None = None
        for part in text.split("."):
            device = level.get(part)
            if device is None:
                return False
            level = device.get("components", {})
        return device is not None and not device.get("excluded", False)

    def _device(self, name: str) -> Any:
        if name.partition(".")[0] not in self._namespace:
            raise PlanPreparationError(f"Device {name!r} is not in the environment any more.")
        try:
            return self._follow(name)
        except Exception as error:  # a lazy component connects to its hardware now, which may fail in any way
            raise PlanPreparationError(f"Device {name!r} cannot be used: {type(error).__name__}: {error}") from error

    def _evaluate(self, text: str) -> Any:
        """The object that a dotted name leads to; the text itself where it leads nowhere, or to something forbidden."""
        parts = text.split(".")
        if not all(part.isidentifier() and not part.startswith("__") for part in parts):
            return text
        try:
            found = self._follow(text)
        except Exception:  # properties of the user's objects may raise anything
            return text
        is_forbidden = (is_plan(found) and not self._is_plan(text)) or (is_device(found) and not self._is_device(text))
        return text if is_forbidden else found

    def _follow(self, dotted_name: str) -> Any:
        first, *rest = dotted_name.split(".")
        found = self._namespace[first]
        for part in rest:
            found = getattr(found, part)
        return found


def _replace_strings(value: Any, replace: Callable[[str], Any]) -> Any:
    """Replace strings at every depth of collections, which become lists, and of the values of mappings."""
    match value:
        case str():
            return replace(value)
        case Mapping():
            return {key: _replace_strings(item, replace) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_replace_strings(item, replace) for item in value]
        case _:
            return value
