"""Preparation of plan items in the worker (plans-and-permissions 6)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from queueserver_common.decorator import parameter_annotation_decorator
from queueserver_common.permissions import Permissions, compute_allowed
from queueserver_common.validation import GroupValidator
from queueserver_worker.describe import existing_devices, existing_plans
from queueserver_worker.prepare import PlanPreparationError, merge_meta, prepare_plan


class Device:
    def __init__(self, **components):
        self.name = "device"
        self.component_names = tuple(components)
        vars(self).update(components)

    def read(self): ...

    def describe(self): ...


VALUE = Device()
STAGE = Device(x=VALUE, y=Device())
DETECTOR, SECRET = Device(), Device()


def scan(): ...


def helper(value):
    yield value


PERMISSIONS = {
    "root": {"allowed_plans": [None], "allowed_devices": [None]},
    "users": {
        "allowed_plans": [":.*"],
        "forbidden_plans": ["hidden"],
        "allowed_devices": ["detector", "stage.x", "cut.x"],
    },
}


def hidden():
    yield


def prepare(function, *args, namespace=None, meta=None, **kwargs):
    """Prepare one call of *function* for the group `users`."""
    names = {
        "detector": DETECTOR, "stage": STAGE, "secret": SECRET, "helper": helper, "hidden": hidden, "scan": scan,
        "tools": SimpleNamespace(step=scan, number=5, _private=scan), "plan": function,
    } | (namespace or {})  # fmt: skip
    devices = existing_devices(names)
    plans = existing_plans(names, devices=devices)
    lists = compute_allowed(plans, devices, Permissions.parse({"user_groups": PERMISSIONS}))["users"]
    item = {"name": "plan", "item_type": "plan", "args": list(args), "kwargs": kwargs}
    if meta is not None:
        item["meta"] = meta
    return prepare_plan(item, names, lists, GroupValidator(lists))


def value_of(function, value):
    """What becomes of the only argument of a plan."""
    prepared = prepare(function, value)
    assert prepared.kwargs == {}
    (converted,) = prepared.args
    return converted


def plan_with(**description):
    @parameter_annotation_decorator({"parameters": {"a": description}})
    def plan(a):
        yield

    return plan


def unannotated(a):
    yield


# Conversion of names --------------------------------------------------------------------------------------------


@pytest.mark.row("plans-and-permissions", "conversion without annotation")
@pytest.mark.parametrize(
    ("value", "converted"),
    [
        ("detector", DETECTOR),
        ("stage.x", VALUE),
        ("helper", helper),
        ("secret", "secret"),
        ("stage", "stage"),
        ("stage.y", "stage.y"),
        ("hidden", "hidden"),
        ("scan", "scan"),
        ("nobody", "nobody"),
        ("detector.", "detector."),
        (5, 5),
        (None, None),
    ],
)
def test_without_annotation_names_of_allowed_plans_and_devices_become_objects(value, converted):
    assert value_of(unannotated, value) == converted


@pytest.mark.row("plans-and-permissions", "conversion reaches into lists and mappings")
def test_conversion_reaches_into_lists_and_values_of_mappings_and_leaves_keys():
    assert value_of(unannotated, ["detector", [1, {"detector": ["helper", "x"]}]]) == [
        DETECTOR,
        [1, {"detector": [helper, "x"]}],
    ]


@pytest.mark.row("plans-and-permissions", "other annotations")
def test_other_annotations_convert_nothing():
    def plan(a: str):
        yield

    assert value_of(plan, "detector") == "detector"


@pytest.mark.row("plans-and-permissions", "conversion of declared names")
def test_declared_names_are_converted_as_far_as_they_are_allowed():
    plan = plan_with(
        annotation="typing.List[D | P | E]",
        devices={"D": ["detector", "secret", ":^stage:."]},
        plans={"P": ["helper"]},
        enums={"E": ["scan", "stage"]},
    )
    assert value_of(plan, ["detector", "stage.x", "helper", "stage"]) == [DETECTOR, VALUE, helper, "stage"]


@pytest.mark.row("plans-and-permissions", "conversion of built-in names")
@pytest.mark.parametrize(
    ("annotation", "converted"),
    [
        ("__DEVICE__", [DETECTOR, "helper"]),
        ("__READABLE__", [DETECTOR, "helper"]),
        ("__PLAN__", ["detector", helper]),
        ("__PLAN_OR_DEVICE__", [DETECTOR, helper]),
        ("str", ["detector", "helper"]),
    ],
)
def test_built_in_names_convert_all_allowed_names_of_their_kind(annotation, converted):
    assert value_of(plan_with(annotation=f"typing.List[{annotation}]"), ["detector", "helper"]) == converted


@pytest.mark.row("plans-and-permissions", "flags of conversion")
@pytest.mark.parametrize(
    ("description", "converted"),
    [
        ({"annotation": "typing.List[str]", "convert_device_names": True}, [DETECTOR, "helper"]),
        ({"annotation": "typing.List[str]", "convert_plan_names": True}, ["detector", helper]),
        ({"annotation": "typing.List[__PLAN_OR_DEVICE__]", "convert_plan_names": False}, [DETECTOR, "helper"]),
        ({"convert_device_names": False}, ["detector", helper]),
        ({"convert_device_names": False, "convert_plan_names": False}, ["detector", "helper"]),
        (
            {"annotation": "typing.List[D | str]", "devices": {"D": ["stage.x"]}, "convert_device_names": True},
            [DETECTOR, "helper"],
        ),
    ],
)
def test_flags_of_the_decorator_force_conversion_on_and_off(description, converted):
    assert value_of(plan_with(**description), ["detector", "helper"]) == converted


@pytest.mark.row("plans-and-permissions", "callables")
@pytest.mark.parametrize(
    ("value", "converted"),
    [
        ("scan", scan),
        ("tools.step", scan),
        ("tools.number", 5),
        ("tools._private", scan),
        ("tools.missing", "tools.missing"),
        ("helper", helper),
        ("hidden", "hidden"),
        ("detector", DETECTOR),
        ("secret", "secret"),
        ("stage.y", "stage.y"),
        ("nobody", "nobody"),
        ("open", "open"),
        ("scan()", "scan()"),
        ("scan.__globals__", "scan.__globals__"),
        ("a b", "a b"),
        ("", ""),
    ],
)
def test_a_callable_parameter_takes_dotted_names_of_the_namespace(value, converted):
    def plan(a: Callable):
        yield

    assert value_of(plan, value) == converted


# Arguments ------------------------------------------------------------------------------------------------------


def call(prepared):
    """Bind the prepared arguments to the real signature."""
    return inspect.signature(prepared.plan_func).bind(*prepared.args, **prepared.kwargs).arguments


def test_the_plan_is_called_as_it_was_submitted():
    def plan(a, b, *c, d, e=1, **f):
        yield

    prepared = prepare(plan, 1, 2, "detector", 4, d="x", z="helper")
    assert prepared.plan_func is plan
    assert prepared.args == [1, 2, DETECTOR, 4]
    assert prepared.kwargs == {"d": "x", "z": helper}
    assert call(prepared) == {"a": 1, "b": 2, "c": (DETECTOR, 4), "d": "x", "f": {"z": helper}}


def test_keywords_stay_keywords():
    def plan(a, b=2, c=3):
        yield

    prepared = prepare(plan, 1, c="x")
    assert (prepared.args, prepared.kwargs) == ([1], {"c": "x"})


@pytest.mark.row("plans-and-permissions", "defaults of the decorator")
def test_defaults_of_the_decorator_are_filled_in_and_converted_by_their_own_description():
    """`label` is a plain string, although a device of that name is allowed."""

    @parameter_annotation_decorator(
        {
            "parameters": {
                "detectors": {"annotation": "typing.List[D]", "devices": {"D": ["detector"]}, "default": ["detector"]},
                "label": {"annotation": "str", "default": "detector"},
                "number": {"default": 3},
            }
        }
    )
    def plan(detectors=None, label=None, number=None, untouched=5):
        yield

    assert prepare(plan).kwargs == {"detectors": [DETECTOR], "label": "detector", "number": 3}
    assert prepare(plan, number=4).kwargs["number"] == 4
    given = prepare(plan, ["detector"])
    assert given.args == [[DETECTOR]]
    assert "detectors" not in given.kwargs


def test_a_positional_only_parameter_gets_its_decorator_default_by_position():
    @parameter_annotation_decorator({"parameters": {"b": {"default": 20}}})
    def plan(a=1, b=2, /, c=3):
        yield

    assert prepare(plan).args == [1, 20]
    assert prepare(plan, 5, c=6).args == [5, 20]
    assert prepare(plan, 5, 7, 9).args == [5, 7, 9]


# Metadata -------------------------------------------------------------------------------------------------------


@pytest.mark.row("plans-and-permissions", "meta")
@pytest.mark.parametrize(
    ("meta", "merged"),
    [
        ({}, {}),
        ({"a": 1}, {"a": 1}),
        ([], {}),
        ([{"a": 1, "b": 1}, {"a": 2, "c": 2}, {"a": 3, "c": 3}], {"a": 1, "b": 1, "c": 2}),
    ],
)
def test_of_several_metadata_dictionaries_the_first_wins(meta, merged):
    assert merge_meta(meta) == merged
    assert prepare(unannotated, 1, meta=meta).meta == merged


def test_names_in_metadata_stay_strings():
    assert prepare(unannotated, 1, meta={"a": "detector"}).meta == {"a": "detector"}


# Refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.row("plans-and-permissions", "validated again")
@pytest.mark.parametrize(
    ("args", "kwargs", "problem"),
    [
        ([], {}, "missing a required argument: 'a'"),
        ([1, 2], {}, "too many positional arguments"),
        ([1], {"b": 1}, "got an unexpected keyword argument 'b'"),
    ],
)
def test_arguments_are_validated_once_more(args, kwargs, problem):
    with pytest.raises(PlanPreparationError, match="Validation of plan parameters failed: ") as refused:
        prepare(unannotated, *args, **kwargs)
    assert problem in str(refused.value)


@pytest.mark.row("plans-and-permissions", "meta of a wrong type")
def test_metadata_must_be_mappings():
    with pytest.raises(PlanPreparationError, match="must be a dictionary or a list of dictionaries"):
        prepare(unannotated, 1, meta=["a"])


def prepare_with_lists(item, names, changed_names):
    devices = existing_devices(names)
    plans = existing_plans(names, devices=devices)
    lists = compute_allowed(plans, devices, Permissions.parse({"user_groups": PERMISSIONS}))["users"]
    return prepare_plan(item, changed_names, lists, GroupValidator(lists))


def test_a_plan_that_the_group_may_not_run_is_refused():
    names = {"hidden": hidden}
    with pytest.raises(PlanPreparationError, match="Plan 'hidden' is not in the list of allowed plans"):
        prepare_with_lists({"name": "hidden"}, names, names)


def test_what_left_the_environment_since_it_was_listed_is_named():
    names = {"plan": unannotated, "detector": DETECTOR}
    with pytest.raises(PlanPreparationError, match="Plan 'plan' is not in the environment any more"):
        prepare_with_lists({"name": "plan", "args": [1]}, names, {"detector": DETECTOR})
    with pytest.raises(PlanPreparationError, match="Device 'detector' is not in the environment any more"):
        prepare_with_lists({"name": "plan", "args": ["detector"]}, names, {"plan": unannotated})


def test_a_component_that_cannot_be_connected_is_named():
    class Cut(Device):
        @property
        def x(self):
            raise TimeoutError("no answer from X:1")

    names = {"plan": unannotated, "cut": Device(x=VALUE)}
    cut = object.__new__(Cut)
    with pytest.raises(PlanPreparationError, match=r"Device 'cut\.x' cannot be used: TimeoutError: no answer"):
        prepare_with_lists({"name": "plan", "args": ["cut.x"]}, names, names | {"cut": cut})
