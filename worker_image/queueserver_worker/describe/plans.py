"""Describe the plans of a namespace (plans-and-permissions 2 and 2.1)."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

from queueserver_common import loggers
from queueserver_common.decorator import ANNOTATION_ATTRIBUTE
from queueserver_common.descriptions import DeviceDescription, PlanDescription
from queueserver_worker.describe.devices import existing_devices
from queueserver_worker.describe.docstrings import parse_docstring
from queueserver_worker.describe.order import listed_names
from queueserver_worker.describe.parameters import ExistingNames, PlanDescriptionError, describe_parameter
from queueserver_worker.profile.helpers import is_plan_excluded

_log = logging.getLogger(loggers.PROFILE)


def existing_plans(
    namespace: Mapping[str, Any],
    ignore_invalid: bool = False,
    *,
    devices: Mapping[str, DeviceDescription] | None = None,
    known: KnownPlans | None = None,
) -> dict[str, PlanDescription]:
    """Describe all plans of *namespace*, in the order of their names.

    Plans are generator functions and functions marked with `@plan`, under every name they are bound to, except those
    that startup code excluded with `register_plan`. A plan that cannot be described raises PlanDescriptionError, or is
    left out with a line on the console when *ignore_invalid* is set. *devices* are the existing devices, for the name
    patterns of decorators; computed when not given. *known* are descriptions of an earlier call.
    """
    functions = {
        name: namespace[name]
        for name in listed_names(namespace)
        if is_plan(namespace[name]) and not is_plan_excluded(name)
    }
    if devices is None:
        devices = existing_devices(namespace)
    existing = ExistingNames(tuple(functions), devices)
    described: dict[str, PlanDescription] = {}
    for name, function in functions.items():
        try:
            earlier = None if known is None else known.find(name, function)
            described[name] = earlier or describe_plan(name, function, existing)
        except PlanDescriptionError as error:
            if not ignore_invalid:
                raise
            _log.warning("PLAN WAS IGNORED: %s", error)
    if known is not None:
        known.keep(functions, described)
    return described


class KnownPlans:
    """Descriptions of plans that hold as long as the function stays the same, whatever else there is."""

    def __init__(self) -> None:
        self._plans: dict[str, tuple[Callable[..., Any], PlanDescription]] = {}

    def find(self, name: str, function: Callable[..., Any]) -> PlanDescription | None:
        """The description of the function that had this name before, if it is this one."""
        earlier = self._plans.get(name)
        return earlier[1] if earlier is not None and earlier[0] is function else None

    def keep(self, functions: Mapping[str, Callable[..., Any]], described: Mapping[str, PlanDescription]) -> None:
        """Remember what may be used again: patterns of decorators depend on which other names there are."""
        self._plans = {
            name: (function, described[name])
            for name, function in functions.items()
            if name in described and not hasattr(_inside_partial(function), ANNOTATION_ATTRIBUTE)
        }

    def forget(self) -> None:
        """Nothing is known."""
        self._plans.clear()


def is_plan(value: Any) -> bool:
    """Whether bluesky would run what calling *value* returns: a generator function, or one marked with `@plan`."""
    if isinstance(value, type) or not callable(value):
        return False
    return inspect.isgeneratorfunction(value) or getattr(value, "_is_plan_", False) is True


def describe_plan(name: str, function: Callable[..., Any], existing: ExistingNames) -> PlanDescription:
    """Describe one plan; raises PlanDescriptionError that names it."""
    written = _inside_partial(function)
    decorator: Mapping[str, Any] = getattr(written, ANNOTATION_ATTRIBUTE, {})
    original = inspect.unwrap(written)
    docstring = parse_docstring(original.__doc__)
    decorated = decorator.get("parameters") or {}
    try:
        parameters = [
            describe_parameter(
                parameter,
                original,
                docstring.parameters.get(parameter.name),
                decorated.get(parameter.name) or {},
                existing,
            )
            for parameter in _signature(function).parameters.values()
        ]
    except (ValueError, TypeError) as error:
        raise PlanDescriptionError(f"Failed to create description of plan {name!r}: {error}") from error
    described = PlanDescription(
        name=name,
        module=str(getattr(original, "__module__", "")),
        properties={"is_generator": inspect.isgeneratorfunction(function)},
        parameters=parameters,
    )
    text = decorator.get("description") or docstring.summary
    if text:
        described["description"] = text
    return described


def _inside_partial(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        import annotationlib

        # Annotations are evaluated late since 3.14; names that do not exist then leave the other parameters alone.
        return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(function)
