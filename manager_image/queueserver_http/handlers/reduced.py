"""Plan descriptions reduced to what a form for a plan needs (http-api 2.1, `reduced`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from queueserver_common.literals import LiteralError, parse_literal, parse_number

_TYPES = ("float", "int", "str", "bool")
"""The first that an annotation names is the type of the field."""

_LIST = re.compile(r"(typing\.)?[lL]ist\b")
_CHOICES = ("devices", "plans", "enums")


def reduced_plans(plans: Mapping[str, Any]) -> dict[str, Any]:
    """Descriptions by the plans' names, reduced."""
    return {name: _plan(plan) for name, plan in plans.items()}


def _plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: plan[key] for key in ("name", "description") if key in plan}
    kept["parameters"] = [_parameter(one) for one in plan.get("parameters", [])]
    return kept


def _parameter(parameter: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: parameter[key] for key in ("name", "kind", "description") if key in parameter}
    if annotation := parameter.get("annotation"):
        kept |= _annotation(annotation)
    if "default" in parameter:
        with suppress(LiteralError):  # a form cannot show it
            kept["default"] = parse_literal(parameter["default"])
    kept["is_optional"] = "default" in kept
    for limit in ("min", "max", "step"):
        if limit in parameter:
            try:
                kept[limit] = parse_number(parameter[limit])
            except LiteralError:
                continue
    return kept


def _annotation(annotation: Mapping[str, Any]) -> dict[str, Any]:
    expression = str(annotation.get("type", ""))
    kept: dict[str, Any] = {}
    choices = [name for key in _CHOICES for names in annotation.get(key, {}).values() for name in names]
    if choices:
        kept = {"type": "str", "enum": choices}
    elif named := [name for name in _TYPES if re.search(rf"\b{name}\b", expression)]:
        kept["type"] = named[0]
    kept["is_list"] = _LIST.match(expression) is not None
    return kept
