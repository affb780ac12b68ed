from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queueserver_common.descriptions import MAX_DEVICE_DEPTH, DescriptionError, check_devices, check_plans

KIND = {"name": "POSITIONAL_OR_KEYWORD", "value": 1}
DEVICE = {"is_readable": True, "is_movable": False, "is_flyable": False, "classname": "Signal", "module": "ophyd"}


def test_descriptions_of_the_expected_shape_are_returned() -> None:
    annotation = {"type": "typing.List[D]", "devices": {"D": ["det"]}, "plans": {}, "enums": {}}
    described = {"name": "n", "kind": KIND, "default": "1", "min": "0", "annotation": annotation}
    plans = {"count": {"name": "count", "module": "plans", "parameters": [described]}}
    devices = {"det": {**DEVICE, "components": {"val": DEVICE}}}
    assert check_plans(plans) is plans
    assert check_devices(devices) is devices


def plan_with(parameter: Any) -> Any:
    return {"count": {"name": "count", "parameters": [parameter]}}


@pytest.mark.parametrize(
    ("plans", "message"),
    [
        ([], "the list of plans: a mapping is expected"),
        ({1: {}}, "names must be strings, 1 is not"),
        ({"count": 5}, "plan 'count': a mapping is expected, not 'int'"),
        ({"count": {"name": "scan", "parameters": []}}, "plan 'count': key 'name' must be 'count', it is 'scan'"),
        ({"count": {"name": "count"}}, "key 'parameters' must be a list"),
        (plan_with(5), "a parameter of plan 'count': a mapping is expected"),
        (plan_with({"kind": KIND}), "each parameter needs a 'name'"),
        (plan_with({"name": "n"}), "key 'kind': a mapping is expected"),
        (plan_with({"name": "n", "kind": {"value": 5}}), "'kind.value' must be one of [0, 1, 2, 3, 4]"),
        (plan_with({"name": "n", "kind": {"value": True}}), "'kind.value' must be one of"),
        (plan_with({"name": "n", "kind": KIND, "default": 1}), "key 'default' must be a string"),
        (plan_with({"name": "n", "kind": KIND, "max": 1}), "key 'max' must be a string"),
        (plan_with({"name": "n", "kind": KIND, "annotation": "int"}), "key 'annotation': a mapping is expected"),
        (plan_with({"name": "n", "kind": KIND, "annotation": {}}), "needs a key 'type'"),
        (
            plan_with({"name": "n", "kind": KIND, "annotation": {"type": "D", "devices": {"D": "det"}}}),
            "type 'D' in 'devices' must be a list of strings",
        ),
        (
            {"count": {"name": "count", "parameters": [{"name": "n", "kind": KIND}] * 2}},
            "parameter 'n' is described twice",
        ),
    ],
)
def test_a_plan_of_another_shape_is_refused(plans: object, message: str) -> None:
    with pytest.raises(DescriptionError) as refused:
        check_plans(plans)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        (None, "the list of devices: a mapping is expected"),
        ({"det": []}, "device 'det': a mapping is expected"),
        ({"det": {**DEVICE, "is_readable": 1}}, "device 'det': key 'is_readable' must be true or false"),
        ({"det": {"is_readable": True, "is_movable": True}}, "key 'is_flyable' must be true or false"),
        ({"det": {**DEVICE, "components": []}}, "components of device 'det': a mapping is expected"),
        ({"det": {**DEVICE, "components": {"val": {}}}}, "device 'det.val': key 'is_readable'"),
    ],
)
def test_a_device_of_another_shape_is_refused(devices: object, message: str) -> None:
    with pytest.raises(DescriptionError) as refused:
        check_devices(devices)
    assert message in str(refused.value)


def test_devices_are_nested_to_a_limit() -> None:
    nested: dict[str, Any] = dict(DEVICE)
    for _ in range(MAX_DEVICE_DEPTH - 1):
        nested = {**DEVICE, "components": {"c": nested}}
    check_devices({"det": nested})
    with pytest.raises(DescriptionError, match="more than 50 levels"):
        check_devices({"det": {**DEVICE, "components": {"c": nested}}})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["count", "name", "parameters", "kind", "annotation"]), inner, max_size=4)
    ),
)


@settings(deadline=None)
@given(JSON)
def test_any_value_is_a_description_or_a_description_error(value: object) -> None:
    for check in (check_plans, check_devices):
        try:
            checked: object = check(value)
        except DescriptionError:
            continue
        assert checked is value
