"""Type names that a plan's annotations declare, reduced to the names that may be used.

``devices`` and ``plans`` of an annotation list names and name patterns. In the description that a group of users gets
they list the allowed names they stand for. Source: plans-and-permissions 3 and 4.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from queueserver_common.descriptions import (
    AnnotationDescription,
    DeviceDescription,
    ParameterDescription,
    PlanDescription,
)
from queueserver_common.name_patterns import NamePatternError, compile_device_pattern, compile_name_pattern


def expand_plan_description(
    plan: PlanDescription, plan_names: Collection[str], devices: Mapping[str, DeviceDescription]
) -> PlanDescription:
    """Return *plan* with declared device and plan names reduced to those in *devices* and *plan_names*.

    Patterns are replaced by what they select; order of declaration is kept and repetitions are dropped. An invalid
    pattern selects nothing. *plan* itself is returned when nothing changes.
    """
    parameters = [_expand_parameter(parameter, plan_names, devices) for parameter in plan["parameters"]]
    if all(new is old for new, old in zip(parameters, plan["parameters"], strict=True)):
        return plan
    expanded = plan.copy()
    expanded["parameters"] = parameters
    return expanded


def _expand_parameter(
    parameter: ParameterDescription, plan_names: Collection[str], devices: Mapping[str, DeviceDescription]
) -> ParameterDescription:
    annotation = parameter.get("annotation")
    if annotation is None or not (annotation.get("devices") or annotation.get("plans")):
        return parameter
    expanded: AnnotationDescription = annotation.copy()
    if "devices" in annotation:
        expanded["devices"] = {
            type_name: list(dict.fromkeys(_select_devices(names, devices)))
            for type_name, names in annotation["devices"].items()
        }
    if "plans" in annotation:
        expanded["plans"] = {
            type_name: list(dict.fromkeys(_select_plans(names, plan_names)))
            for type_name, names in annotation["plans"].items()
        }
    if expanded == annotation:
        return parameter
    changed = parameter.copy()
    changed["annotation"] = expanded
    return changed


def _select_devices(patterns: Sequence[str], devices: Mapping[str, DeviceDescription]) -> Iterator[str]:
    for text in patterns:
        try:
            yield from compile_device_pattern(text).select(devices)
        except NamePatternError:
            continue


def _select_plans(patterns: Sequence[str], plan_names: Collection[str]) -> Iterator[str]:
    for text in patterns:
        try:
            pattern = compile_name_pattern(text)
        except NamePatternError:
            continue
        yield from (name for name in plan_names if pattern.matches(name))
