"""The list of existing plans (plans-and-permissions 2 and 2.1)."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence

import numpy
import pytest
from bluesky.protocols import Readable
from bluesky.utils import plan as plan_decorator

from queueserver_common.decorator import parameter_annotation_decorator
from queueserver_common.descriptions import check_plans
from queueserver_worker.describe import PlanDescriptionError, existing_plans
from queueserver_worker.profile import helpers

DEVICE = {"is_readable": True, "is_movable": False, "is_flyable": False, "classname": "D", "module": "m"}
DEVICES = {"det1": DEVICE, "det2": DEVICE, "motor": DEVICE | {"is_movable": True}}


def describe(function, name="f", **others):
    plans = existing_plans({name: function, **others}, devices=DEVICES)
    check_plans(plans)
    return plans[name]


def parameters(function):
    described = describe(function)["parameters"]
    return {parameter["name"]: parameter for parameter in described}


@pytest.mark.row("plans-and-permissions", "which callables are plans")
def test_plans_are_generator_functions_and_functions_marked_as_plans_under_every_name():
    def generator():
        yield

    def _private():
        yield

    def function(): ...

    async def coroutine(): ...

    async def asynchronous_generator():
        yield

    class Class:
        def method(self):
            yield

        def __call__(self):
            yield

    @plan_decorator
    def marked():
        return generator()

    namespace = {
        "generator": generator,
        "Alias": generator,
        "_private": _private,
        "function": function,
        "coroutine": coroutine,
        "asynchronous_generator": asynchronous_generator,
        "Class": Class,
        "instance": Class(),
        "method": Class().method,
        "marked": marked,
        "partial": functools.partial(generator),
        "not an identifier": generator,
        "number": 5,
    }
    plans = existing_plans(namespace)
    assert list(plans) == ["_private", "Alias", "generator", "marked", "method", "partial"]
    assert [plan["name"] for plan in plans.values()] == list(plans)
    assert {name: plan["properties"] for name, plan in plans.items() if not plan["properties"]["is_generator"]} == {
        "marked": {"is_generator": False}
    }


@pytest.mark.row("plans-and-permissions", "register_plan")
def test_excluded_plans_are_not_listed(process_restored):
    def f():
        yield

    helpers.register_plan("f", exclude=True)
    assert list(existing_plans({"f": f, "g": f})) == ["g"]


@pytest.mark.row("plans-and-permissions", "plan description: name, module, description, properties")
def test_the_description_has_name_module_properties_and_the_first_paragraph_of_the_docstring():
    def f():
        """Do it.

        At length.
        """
        yield

    assert describe(f) == {
        "name": "f",
        "module": __name__,
        "description": "Do it.",
        "properties": {"is_generator": True},
        "parameters": [],
    }


@pytest.mark.row("plans-and-permissions", "plan description: kinds")
def test_the_kind_of_each_parameter_is_named_and_numbered():
    def f(a, /, b, *c, d, **e):
        yield

    assert [(p["name"], p["kind"]) for p in describe(f)["parameters"]] == [
        ("a", {"name": "POSITIONAL_ONLY", "value": 0}),
        ("b", {"name": "POSITIONAL_OR_KEYWORD", "value": 1}),
        ("c", {"name": "VAR_POSITIONAL", "value": 2}),
        ("d", {"name": "KEYWORD_ONLY", "value": 3}),
        ("e", {"name": "VAR_KEYWORD", "value": 4}),
    ]


@pytest.mark.row("plans-and-permissions", "plan description: optional keys")
def test_a_parameter_without_annotation_docstring_and_default_has_only_name_and_kind():
    def f(a):
        yield

    assert describe(f)["parameters"] == [{"name": "a", "kind": {"name": "POSITIONAL_OR_KEYWORD", "value": 1}}]


def test_header_and_docstring_are_described():
    def f(detectors: Sequence[Readable], num: int = 1):
        """Count.

        Parameters
        ----------
        detectors : list
            What is read.
        """
        yield

    assert parameters(f) == {
        "detectors": {
            "name": "detectors",
            "kind": {"name": "POSITIONAL_OR_KEYWORD", "value": 1},
            "description": "What is read.",
            "annotation": {"type": "collections.abc.Sequence[__READABLE__]"},
            "convert_device_names": True,
        },
        "num": {
            "name": "num",
            "kind": {"name": "POSITIONAL_OR_KEYWORD", "value": 1},
            "annotation": {"type": "int"},
            "default": "1",
        },
    }


@pytest.mark.row("plans-and-permissions", "plan description: defaults are text")
@pytest.mark.parametrize(
    ("default", "text"),
    [
        (1, "1"), (-1.5, "-1.5"), (1e-9, "1e-09"), ("x", "'x'"), (None, "None"), (True, "True"), ([1, "a"], "[1, 'a']"),
        ({"a": (1, 2)}, "{'a': (1, 2)}"), (b"ab", "b'ab'"), (float("inf"), "inf"), (numpy.float64(0.5), "0.5"),
        (numpy.int64(7), "7"),
    ],
)  # fmt: skip
def test_defaults_are_the_text_of_a_literal(default, text):
    def f(a=default):
        yield

    assert parameters(f)["a"]["default"] == text


@pytest.mark.row("plans-and-permissions", "a plan that cannot be described")
@pytest.mark.parametrize("default", [object(), print, numpy.array([1, 2]), [object()], int])
def test_a_default_that_is_no_literal_makes_the_plan_invalid(default):
    def f(a=default):
        yield

    with pytest.raises(PlanDescriptionError, match="Failed to create description of plan 'f': Parameter 'a': unsup"):
        describe(f)


def test_invalid_plans_can_be_left_out_with_a_message(caplog):
    def bad(a=object()):  # noqa: B008
        yield

    def good():
        yield

    with caplog.at_level(logging.WARNING):
        assert list(existing_plans({"bad": bad, "good": good}, ignore_invalid=True)) == ["good"]
    assert "PLAN WAS IGNORED: Failed to create description of plan 'bad'" in caplog.text


# Decorator ------------------------------------------------------------------------------------------------------


@pytest.mark.row("plans-and-permissions", "every key")
def test_the_decorator_overrides_header_and_docstring():
    @parameter_annotation_decorator(
        {
            "description": "Decorated.",
            "parameters": {
                "a": {"description": "The a.", "annotation": "typing.List[X]", "devices": {"X": ["det1"]}},
                "b": {"default": 5, "min": 1, "max": 10.5, "step": 0.1},
            },
        }
    )
    def f(a: int, b: float = 2):
        """Header.

        Parameters
        ----------
        a
            Header's a.
        b
            Header's b.
        """
        yield

    described = describe(f)
    assert described["description"] == "Decorated."
    a, b = described["parameters"]
    assert a == {
        "name": "a",
        "kind": {"name": "POSITIONAL_OR_KEYWORD", "value": 1},
        "description": "The a.",
        "annotation": {"type": "typing.List[X]", "devices": {"X": ["det1"]}},
    }
    assert b == {
        "name": "b",
        "kind": {"name": "POSITIONAL_OR_KEYWORD", "value": 1},
        "description": "Header's b.",
        "annotation": {"type": "float"},
        "default": "5",
        "default_defined_in_decorator": True,
        "min": "1",
        "max": "10.5",
        "step": "0.1",
    }


def decorated(**description):
    @parameter_annotation_decorator({"parameters": {"a": description}})
    def f(a=None):
        yield

    return f


def test_patterns_are_expanded_in_order_and_names_are_kept_even_if_they_do_not_exist():
    f = decorated(annotation="X", devices={"X": ["motor", "nosuch", ":^det", "det1", "__MOTOR__:.*"]})
    assert parameters(f)["a"]["annotation"]["devices"] == {"X": ["motor", "nosuch", "det1", "det2"]}


def test_patterns_of_plans_are_expanded_against_the_plans_of_the_namespace():
    def other():
        yield

    f = decorated(annotation="X", plans={"X": [":^o", "f"]})
    described = describe(f, other=other)
    assert described["parameters"][0]["annotation"] == {"type": "X", "plans": {"X": ["other", "f"]}}


def test_without_given_devices_the_devices_of_the_namespace_are_used():
    class Detector:
        name = "d"

        def read(self): ...

        def describe(self): ...

    f = decorated(annotation="X", devices={"X": [":^det"]})
    plans = existing_plans({"f": f, "det9": Detector()})
    assert plans["f"]["parameters"][0]["annotation"]["devices"] == {"X": ["det9"]}


@pytest.mark.parametrize(
    ("annotation", "flags"),
    [
        ("__READABLE__", {"convert_device_names": True}),
        ("typing.List[__DEVICE__]", {"convert_device_names": True}),
        ("__MOVABLE__ | __FLYABLE__", {"convert_device_names": True}),
        ("__PLAN__", {"convert_plan_names": True}),
        ("__PLAN_OR_DEVICE__", {"convert_plan_names": True, "convert_device_names": True}),
        ("__CALLABLE__", {"eval_expressions": True}),
        ("str", {}),
    ],
)
def test_built_in_type_names_set_the_conversion_of_names(annotation, flags):
    described = parameters(decorated(annotation=annotation))["a"]
    assert {key: described[key] for key in described if key.startswith(("convert", "eval"))} == flags


def test_a_built_in_name_that_is_declared_is_a_declared_name():
    described = parameters(decorated(annotation="__READABLE__", devices={"__READABLE__": ["det1"]}))["a"]
    assert "convert_device_names" not in described


def test_the_decorator_may_switch_conversion_on_and_off():
    described = parameters(decorated(annotation="__READABLE__", convert_device_names=False, convert_plan_names=True))[
        "a"
    ]
    assert described["convert_device_names"] is False
    assert described["convert_plan_names"] is True


@pytest.mark.parametrize(
    ("description", "problem"),
    [
        ({"annotation": "int", "devices": {"X": ["det1"]}}, "Type 'X' is defined in the annotation, but not used"),
        ({"annotation": "typing.List["}, "Failed to process annotation"),
        ({"annotation": "Unknown"}, "'Unknown'"),
        ({"annotation": "X", "devices": {"X": [":["]}}, "invalid regular expression"),
        ({"default": object()}, "unsupported default value in the decorator"),
    ],
)
def test_a_decorator_that_makes_no_sense_makes_the_plan_invalid(description, problem):
    with pytest.raises(PlanDescriptionError, match="plan 'f': Parameter 'a'") as refused:
        describe(decorated(**description))
    assert problem in str(refused.value)


def test_a_decorator_below_other_decorators_is_found():
    f = decorated(annotation="str", description="text")

    @functools.wraps(f)
    def outer(*args, **kwargs):
        yield from f(*args, **kwargs)

    assert parameters(outer)["a"]["description"] == "text"
    assert parameters(functools.partial(f))["a"]["description"] == "text"
