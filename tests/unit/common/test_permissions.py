from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queueserver_common.device_tree import device_names
from queueserver_common.name_patterns import NamePatternError, compile_device_pattern
from queueserver_common.permissions import Permissions, PermissionsError, compute_allowed
from queueserver_common.permissions_file import load_permissions_file

EVERYTHING = [None]


def device(kind: str = "r", **components: Any) -> dict[str, Any]:
    description: dict[str, Any] = {
        "is_readable": "r" in kind,
        "is_movable": "m" in kind,
        "is_flyable": "f" in kind,
        "classname": "Device",
        "module": "beamline",
    }
    return {**description, "components": components} if components else description


def plan(name: str, **annotations: Any) -> dict[str, Any]:
    kind = {"name": "POSITIONAL_OR_KEYWORD", "value": 1}
    parameters = [{"name": key, "kind": kind, "annotation": value} for key, value in annotations.items()]
    return {"name": name, "module": "plans", "parameters": parameters, "properties": {"is_generator": True}}


DEVICES: dict[str, Any] = {
    "det1": device("r", val=device(), sub=device("r", x=device("rm"), y=device())),
    "det2": device("r", val=device()),
    "mot": device("rm"),
    "_private": device("r", val=device()),
}
PLANS: dict[str, Any] = {name: plan(name) for name in ("count", "scan", "rel_scan", "_hidden")}


def permissions(**groups: dict[str, Any]) -> Permissions:
    return Permissions.parse({"user_groups": groups})


def allowed_devices(primary: dict[str, Any], root: dict[str, Any] | None = None) -> list[str]:
    """Names that the group sees, nodes that are only there for their components marked with a star."""
    root = {"allowed_devices": EVERYTHING} if root is None else root
    lists = compute_allowed(PLANS, DEVICES, permissions(root=root, primary=primary))
    return list(_marked(lists["primary"].devices))


def _marked(devices: Any, prefix: str = "") -> Any:
    for name, description in devices.items():
        yield prefix + name + ("*" if description.get("excluded") else "")
        yield from _marked(description.get("components", {}), f"{prefix}{name}.")


def allowed_plans(primary: dict[str, Any], root: dict[str, Any] | None = None) -> list[str]:
    root = {"allowed_plans": EVERYTHING} if root is None else root
    return list(compute_allowed(PLANS, DEVICES, permissions(root=root, primary=primary))["primary"].plans)


ALL_DEVICES = "det1 det1.val det1.sub det1.sub.x det1.sub.y det2 det2.val mot _private _private.val"


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ({"allowed_devices": EVERYTHING}, ALL_DEVICES),
        ({"allowed_devices": [None, "mot"]}, ALL_DEVICES),
        ({"allowed_devices": []}, ""),
        ({}, ""),
        ({"forbidden_devices": [None]}, ""),
        ({"allowed_devices": ["mot", "det1", "nothing"]}, "det1 mot"),
        ({"allowed_devices": ["det1.val"]}, "det1* det1.val"),
        ({"allowed_devices": ["det1.sub.x"]}, "det1* det1.sub* det1.sub.x"),
        ({"allowed_devices": [":^det"]}, "det1 det2"),
        ({"allowed_devices": EVERYTHING, "forbidden_devices": [None]}, ALL_DEVICES),
        ({"allowed_devices": EVERYTHING, "forbidden_devices": [None, "mot"]}, ALL_DEVICES),
        ({"allowed_devices": EVERYTHING, "forbidden_devices": []}, ALL_DEVICES),
        (
            {"allowed_devices": EVERYTHING, "forbidden_devices": [":^_:?.*", "det1.val"]},
            "det1 det1.sub det1.sub.x det1.sub.y det2 det2.val mot",
        ),
        ({"allowed_devices": ["det1", "det1.val"], "forbidden_devices": ["det1"]}, "det1* det1.val"),
        ({"allowed_devices": ["det1"], "forbidden_devices": ["det1"]}, ""),
        ({"allowed_devices": ["det1.sub.x"], "forbidden_devices": ["det1.sub"]}, "det1* det1.sub* det1.sub.x"),
    ],
)
def test_devices_of_a_group_follow_its_rules(group: dict[str, Any], names: str) -> None:
    assert allowed_devices(group) == names.split()


@pytest.mark.row("plans-and-permissions", "root first")
@pytest.mark.parametrize(
    ("root", "group", "names"),
    [
        ({}, {"allowed_devices": EVERYTHING}, ""),
        ({"allowed_devices": ["det1"]}, {"allowed_devices": EVERYTHING}, "det1"),
        ({"allowed_devices": ["det1"]}, {"allowed_devices": ["det1.val"]}, ""),
        ({"allowed_devices": ["det1.val"]}, {"allowed_devices": [":.*"]}, ""),
        ({"allowed_devices": ["det1.sub.x"]}, {"allowed_devices": [":-^det1$:?.*"]}, "det1* det1.sub* det1.sub.x"),
        ({"allowed_devices": EVERYTHING, "forbidden_devices": ["mot"]}, {"allowed_devices": ["mot", "det2"]}, "det2"),
    ],
)
def test_rules_of_root_come_first_for_every_group(root: dict[str, Any], group: dict[str, Any], names: str) -> None:
    assert allowed_devices(group, root) == names.split()


@pytest.mark.row("plans-and-permissions", "null, missing and empty lists")
@pytest.mark.parametrize(
    ("group", "names"),
    [
        ({"allowed_plans": EVERYTHING}, "count scan rel_scan _hidden"),
        ({"allowed_plans": []}, ""),
        ({}, ""),
        ({"allowed_plans": [":scan$", "count", "nothing"]}, "count scan rel_scan"),
        ({"allowed_plans": EVERYTHING, "forbidden_plans": [":^_", "count"]}, "scan rel_scan"),
        ({"allowed_plans": EVERYTHING, "forbidden_plans": [None]}, "count scan rel_scan _hidden"),
    ],
)
def test_plans_of_a_group_follow_its_rules(group: dict[str, Any], names: str) -> None:
    assert allowed_plans(group) == names.split()


def test_plans_that_root_may_not_run_nobody_may_run() -> None:
    root = {"allowed_plans": [":scan"], "forbidden_plans": ["scan"]}
    assert allowed_plans({"allowed_plans": EVERYTHING}, root) == ["rel_scan"]
    assert allowed_plans({"allowed_plans": ["count"]}, root) == []


def test_the_lists_of_root_are_computed_like_those_of_a_group() -> None:
    lists = compute_allowed(PLANS, DEVICES, permissions(root={"allowed_plans": ["count"], "allowed_devices": ["mot"]}))
    assert list(lists) == ["root"]
    assert list(lists["root"].plans) == ["count"]
    assert list(lists["root"].devices) == ["mot"]


@pytest.mark.row("plans-and-permissions", "declared lists are limited to what the group may use")
def test_lists_that_declare_type_names_are_limited_to_what_the_group_may_use() -> None:
    described = plan(
        "pick",
        devices={
            "type": "typing.List[D]",
            "devices": {"D": ["det2", ":^det", "nothing", "det1.val", ":^det1$:-sub:x"]},
        },
        plans={"type": "P", "plans": {"P": [":scan$", "count", "nothing"]}},
        modes={"type": "E", "enums": {"E": ["on", "off"]}},
        broken={"type": "B", "devices": {"B": ["mot", ":["]}},
    )
    group = {"allowed_plans": ["pick", "count", "rel_scan"], "allowed_devices": [":?.*"], "forbidden_devices": ["det1"]}
    groups = permissions(root={"allowed_plans": EVERYTHING, "allowed_devices": EVERYTHING}, primary=group)
    plans: Any = {**PLANS, "pick": described}
    lists = compute_allowed(plans, DEVICES, groups)
    annotations = [parameter["annotation"] for parameter in lists["primary"].plans["pick"]["parameters"]]
    assert annotations == [
        {"type": "typing.List[D]", "devices": {"D": ["det2", "det1.val", "det1.sub.x"]}},
        {"type": "P", "plans": {"P": ["rel_scan", "count"]}},
        {"type": "E", "enums": {"E": ["on", "off"]}},
        {"type": "B", "devices": {"B": ["mot"]}},
    ]
    assert described["parameters"][0]["annotation"]["devices"]["D"][1] == ":^det"  # the existing list is not touched
    assert lists["primary"].plans["count"] is PLANS["count"]
    assert lists["root"].devices["det1"] is DEVICES["det1"]


@pytest.mark.row("plans-and-permissions", "functions")
@pytest.mark.parametrize(
    ("group", "name", "allowed"),
    [
        ({"allowed_functions": ["clear"]}, "clear", True),
        ({"allowed_functions": ["clear"]}, "clear_all", False),
        ({"allowed_functions": [":^clear"]}, "clear_all", True),
        ({"allowed_functions": [":^clear"], "forbidden_functions": [":all$"]}, "clear_all", False),
        ({"allowed_functions": EVERYTHING}, "clear", True),
        ({"allowed_functions": EVERYTHING}, "_secret", False),
        ({"allowed_functions": ["_secret"]}, "_secret", False),
        ({"allowed_functions": []}, "clear", False),
        ({}, "clear", False),
    ],
)
def test_functions_are_checked_against_root_and_group(group: dict[str, Any], name: str, allowed: bool) -> None:
    root = {"allowed_functions": EVERYTHING, "forbidden_functions": [":^_"]}
    assert permissions(root=root, primary=group).function_allowed(name, "primary") is allowed


def test_functions_are_not_allowed_for_an_unknown_group() -> None:
    assert not permissions(root={"allowed_functions": EVERYTHING}).function_allowed("clear", "nobody")


def test_the_mapping_comes_back_as_it_was_given() -> None:
    given_mapping = {"user_groups": {"root": {"allowed_plans": [None]}, "primary": {"forbidden_plans": [" : a "]}}}
    parsed = Permissions.parse(given_mapping)
    given_mapping["user_groups"]["root"]["allowed_plans"].append("changed later")
    expected = {"user_groups": {"root": {"allowed_plans": [None]}, "primary": {"forbidden_plans": [" : a "]}}}
    assert parsed.as_mapping() == expected
    parsed.as_mapping()["user_groups"].clear()
    assert parsed.as_mapping() == expected
    assert parsed.groups == ("root", "primary")


def test_permissions_are_equal_when_their_mappings_are() -> None:
    assert permissions(root={}) == permissions(root={})
    assert permissions(root={}) != permissions(root={"allowed_plans": []})
    assert permissions(root={}) != {"user_groups": {"root": {}}}


@pytest.mark.row("plans-and-permissions", "schema and mistakes")
@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (5, "Invalid type '<class 'int'>', must be 'dict'"),
        (None, "Invalid type '<class 'NoneType'>', must be 'dict'"),
        ([], "Invalid type '<class 'list'>', must be 'dict'"),
        ({}, "'user_groups' is a required property"),
        ({"groups": {}}, "'user_groups' is a required property"),
        ({"user_groups": {"root": {}}, "x": 1}, "Additional properties are not allowed ('x' was unexpected)"),
        ({"user_groups": None}, "None is not of type 'object'"),
        ({"user_groups": {}}, "Missing required user group: 'root'"),
        ({"user_groups": {"primary": {}}}, "Missing required user group: 'root'"),
        ({"user_groups": {"root": []}}, "User group 'root': [] is not of type 'object'"),
        ({"user_groups": {"root": {"plans": []}}}, "User group 'root': Additional properties are not allowed ('plans'"),
        (
            {"user_groups": {"root": {"a": [], "b": []}}},
            "Additional properties are not allowed ('a', 'b' were unexpected)",
        ),
        (
            {"user_groups": {"root": {"allowed_plans": "count"}}},
            "User group 'root', key 'allowed_plans': 'count' is not of type 'array'",
        ),
        (
            {"user_groups": {"root": {"allowed_plans": None}}},
            "User group 'root', key 'allowed_plans': None is not of type 'array'",
        ),
        (
            {"user_groups": {"root": {}, "primary": {"forbidden_devices": ["a", 1]}}},
            "User group 'primary', key 'forbidden_devices': 1 is not of type 'string', 'null'",
        ),
        ({"user_groups": {"root": {}, 1: {}}}, "User group 1: the name of a group must be a string"),
        (
            {"user_groups": {"root": {"allowed_plans": ["a", None]}}},
            "User group 'root', key 'allowed_plans': null stands for everything and must be the first element",
        ),
        (
            {"user_groups": {"root": {"forbidden_plans": ["a", None]}}},
            "User group 'root', key 'forbidden_plans': null stands for nothing and must be the first element",
        ),
        (
            {"user_groups": {"root": {"allowed_devices": [":["]}}},
            "User group 'root', key 'allowed_devices': Name pattern ':[' contains an invalid regular expression",
        ),
        (
            {"user_groups": {"root": {"allowed_plans": [":a:b"]}}},
            "Name pattern for functions and plans must contain one component",
        ),
        (
            {"user_groups": {"root": {"allowed_functions": ["a.b"]}}},
            "Name pattern for functions and plans must contain one component",
        ),
    ],
)
def test_a_mistake_is_refused_with_group_key_and_what_is_wrong(mapping: object, message: str) -> None:
    with pytest.raises(PermissionsError) as refused:
        Permissions.parse(mapping)
    assert message in str(refused.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["user_groups", "root", "primary", "allowed_plans", "forbidden_devices"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
)


@settings(deadline=None)
@given(JSON | st.builds(lambda groups: {"user_groups": groups}, JSON))
def test_any_value_is_permissions_or_a_permissions_error(value: object) -> None:
    try:
        parsed = Permissions.parse(value)
    except PermissionsError:
        return
    assert parsed.as_mapping() == value


PATTERNS = st.sampled_from(["det1", "det1.val", ":.*", ":?.*", ":^det", ":-^det1$:.*", ":?val$", "mot", ":^_:?.*"])
RULES = st.fixed_dictionaries(
    {},
    optional={
        "allowed_devices": st.just(EVERYTHING) | st.lists(PATTERNS, max_size=3),
        "forbidden_devices": st.just([None]) | st.lists(PATTERNS, max_size=3),
    },
)


@settings(deadline=None)
@given(RULES, RULES)
def test_a_group_gets_what_root_and_its_own_rules_both_allow(root: dict[str, Any], primary: dict[str, Any]) -> None:
    lists = compute_allowed(PLANS, DEVICES, permissions(root=root, primary=primary))
    everything = set(device_names(DEVICES))

    def permitted(rules: dict[str, Any]) -> set[str]:
        allowed = rules.get("allowed_devices", [])
        names = everything if allowed == EVERYTHING else _selected(allowed)
        forbidden = rules.get("forbidden_devices", [])
        return names - (set() if forbidden == [None] else _selected(forbidden))

    assert set(device_names(lists["root"].devices)) == permitted(root)
    assert set(device_names(lists["primary"].devices)) == permitted(root) & permitted(primary)


def _selected(patterns: list[str]) -> set[str]:
    return {name for pattern in patterns for name in compile_device_pattern(pattern).select(DEVICES)}


def test_permissions_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "user_group_permissions.yaml"
    path.write_text("user_groups:\n  root:\n    allowed_plans: [null]\n    forbidden_plans:\n      - ':^_'\n")
    assert load_permissions_file(path).as_mapping() == {
        "user_groups": {"root": {"allowed_plans": [None], "forbidden_plans": [":^_"]}}
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": the file is empty, 'user_groups' is a required property"),
        ("user_groups: [", "line 1: the file is not valid YAML"),
        ("user_groups:\n  root:\n   a: 1\n  b:\n c", "line 5: the file is not valid YAML"),
        ("user_groups:\n  root: {}\n  primary:\n    allowed_plan: []\n", "line 4: User group 'primary': Additional"),
        ("user_groups:\n  root:\n    allowed_plans:\n      - a\n      - 5\n", "line 5: User group 'root', key"),
        ("user_groups:\n  root:\n    allowed_plans:\n      - a\n      - ':['\n", "line 5: User group 'root', key"),
        ("user_groups:\n  primary: {}\n", "line 1: User group permissions: Missing required user group: 'root'"),
        ("- a\n", "line 1: User group permissions: Invalid type"),
        (
            "user_groups:\n  root:\n    forbidden_plans: [a]\n    forbidden_plans: [b]\n",
            "line 4: the file is not valid YAML: key 'forbidden_plans' occurs twice",
        ),
        ("user_groups: !!python/object:os.system {}\n", "line 1: the file is not valid YAML"),
        ("a: &a [*a]\n", ": the file is not valid YAML"),
        ("a: \x00\n", ": the file is not valid YAML"),
    ],
)
def test_a_mistake_in_a_file_is_reported_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "user_group_permissions.yaml"
    path.write_text(text)
    with pytest.raises(PermissionsError) as refused:
        load_permissions_file(path)
    assert str(refused.value).startswith(str(path))
    assert message in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(PermissionsError, match="cannot be read from") as refused:
            load_permissions_file(path)
        assert repr(str(path)) in str(refused.value)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(PermissionsError, match="cannot be read from"):
        load_permissions_file(binary)


def test_pattern_errors_are_the_cause_of_the_refusal() -> None:
    with pytest.raises(PermissionsError) as refused:
        permissions(root={"allowed_devices": ["mot", ":?.*:depth=0"]})
    assert isinstance(refused.value.__cause__, NamePatternError)
    assert refused.value.location == ("user_groups", "root", "allowed_devices", 1)
