from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueserver_common.name_patterns import (
    MAX_PATTERN_LENGTH,
    NamePatternError,
    compile_device_pattern,
    compile_name_pattern,
)


def device(kind: str = "r", **components: Any) -> dict[str, Any]:
    description: dict[str, Any] = {
        "is_readable": "r" in kind,
        "is_movable": "m" in kind,
        "is_flyable": "f" in kind,
        "classname": "Device",
        "module": "beamline",
    }
    return {**description, "components": components} if components else description


DEVICES: dict[str, Any] = {
    "det": device(),
    "det1": device(
        "r",
        val=device(),
        center=device("rm"),
        sub=device("r", x=device("rm", deep=device()), y=device()),
    ),
    "mot": device("rm", readback=device(), setpoint=device("rm")),
    "shutter": device("m", status=device()),
    "flyer": device("f"),
    "_private": device("r", val=device()),
}


@pytest.mark.row("plans-and-permissions", "patterns of devices")
@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        # names
        ("det1", "det1"),
        ("det1.val", "det1.val"),
        ("det1.sub.x.deep", "det1.sub.x.deep"),
        ("det1.nothing", ""),
        ("nothing", ""),
        (" de t1. val ", "det1.val"),
        # one component: the first level only, searched anywhere in the name
        (":.*", "det det1 mot shutter flyer _private"),
        (":^det", "det det1"),
        (":^det$", "det"),
        (":t", "det det1 mot shutter _private"),
        (" : ^ det $ ", "det"),
        # each component is a level; what is passed on the way is selected too
        (":^det1$:val", "det1 det1.val"),
        (":+^det1$:+val", "det1 det1.val"),
        (":-^det1$:val", "det1.val"),
        (":-^det1$:-sub:^x$", "det1.sub.x"),
        (":^det1$:-sub:^x$", "det1 det1.sub.x"),
        # the last component is always selected
        (":-^det1$:-val", "det1.val"),
        (":-^det$", "det"),
        # the full name, on all levels or on some
        (":?.*:depth=1", "det det1 mot shutter flyer _private"),
        (
            ":?.*:depth=2",
            (
                "det det1 det1.val det1.center det1.sub mot mot.readback mot.setpoint shutter shutter.status flyer "
                "_private _private.val"
            ),
        ),
        (":?^det", "det det1 det1.val det1.center det1.sub det1.sub.x det1.sub.x.deep det1.sub.y"),
        (":?^det1\\.sub\\.x$", "det1.sub.x"),
        (":?val$", "det1.val _private.val"),
        (":-^det1$:?^sub", "det1.sub det1.sub.x det1.sub.x.deep det1.sub.y"),
        (":^det1$:?.*:depth=1", "det1 det1.val det1.center det1.sub"),
        (":^det1$:-sub:?.*:depth=1", "det1 det1.sub.x det1.sub.y"),
        (":^_:?.*", "_private _private.val"),
        # types decide what is selected, not what is passed through
        ("__READABLE__:.*", "det det1 mot _private"),
        ("__DETECTOR__:.*", "det det1 _private"),
        ("__MOTOR__:.*", "mot"),
        ("__FLYABLE__:.*", "flyer"),
        ("__MOTOR__:^det1$:.*", "det1.center"),
        ("__MOTOR__:?.*", "det1.center det1.sub.x mot mot.setpoint"),
        ("__READABLE__:^shutter$:.*", "shutter.status"),
        # depth is a depth only behind a full name
        (":^det1$:depth=1", "det1"),
    ],
)
def test_a_device_pattern_selects_names_at_its_levels(pattern: str, selected: str) -> None:
    assert compile_device_pattern(pattern).select(DEVICES) == selected.split()


@pytest.mark.row("plans-and-permissions", "excluded nodes of allowed lists")
def test_excluded_nodes_are_passed_through_and_not_selected() -> None:
    tree: Any = {"det1": {**DEVICES["det1"], "excluded": True}}
    assert compile_device_pattern(":.*").select(tree) == []
    assert compile_device_pattern("det1").select(tree) == []
    assert compile_device_pattern("det1.val").select(tree) == ["det1.val"]
    assert "det1.val" in compile_device_pattern(":?.*").select(tree)


@pytest.mark.row("plans-and-permissions", "patterns of plans and functions")
@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("count", "count", True),
        ("count", "count2", False),
        (":^count", "count2", True),
        (":scan$", "rel_scan", True),
        (":scan$", "scan_nd", False),
        (":+^count", "count", True),
        (":-^count", "count", True),
        (":?^count", "count", True),
        (":?^count:depth=1", "count", True),
        ("__READABLE__:^count", "count", True),
    ],
)
def test_a_plan_or_function_pattern_has_one_component(pattern: str, name: str, matches: bool) -> None:
    assert compile_name_pattern(pattern).matches(name) is matches


@pytest.mark.row("plans-and-permissions", "patterns: errors")
@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "empty"),
        ("   ", "empty"),
        (":", "empty component"),
        ("::", "empty component"),
        (":det:", "empty component"),
        ("__READABLE__:", "empty component"),
        (":+", "empty component"),
        (":-", "empty component"),
        (":?", "empty component"),
        (":[", r"invalid regular expression '\['"),
        (":++a", "invalid regular expression"),
        (":a{99999999999999999999}", "invalid regular expression"),
        (":(?L)a", "invalid regular expression"),
        (":?.*:val", "must be the last one"),
        (":?.*:?.*", "must be the last one"),
        (":?.*:depth=1:depth=2", "must be the last one"),
        (":?.*:depth=1:val", "must be the last one"),
        (":?.*:Depth=1", "must be the last one"),
        (":?.*:depth=", "depth must be a whole number"),
        (":?.*:depth=two", "depth must be a whole number"),
        (":?.*:depth=1.5", "depth must be a whole number"),
        (":?.*:depth=2x", "depth must be a whole number"),
        (":?.*:depth=0", "must be 1 or greater"),
        (":?.*:depth=-1", "must be 1 or greater"),
        ("__NOTHING__:.*", "'__NOTHING__' is not supported"),
        ("det1:val", "device type 'det1' is not supported"),
        ("^det", "labelled with ':'"),
        ("det-1", "labelled with ':'"),
        ("1det", "labelled with ':'"),
        ("det1..val", "labelled with ':'"),
        (".det1", "labelled with ':'"),
        ("det1.", "labelled with ':'"),
        ("det1\n", "labelled with ':'"),
        ("a" * (MAX_PATTERN_LENGTH + 1), "too long"),
    ],
)
def test_invalid_patterns_are_refused_with_what_is_wrong(pattern: str, message: str) -> None:
    with pytest.raises(NamePatternError, match=message):
        compile_device_pattern(pattern)
    with pytest.raises(NamePatternError, match=message):
        compile_name_pattern(pattern)


@pytest.mark.row("plans-and-permissions", "patterns: more components")
@pytest.mark.parametrize("pattern", ["a.b", ":a:b", ":.*:depth=1"])
def test_plan_and_function_patterns_with_more_components_are_refused(pattern: str) -> None:
    with pytest.raises(NamePatternError, match="Name pattern for functions and plans must contain one component"):
        compile_name_pattern(pattern)


@given(st.text() | st.text(alphabet=":?+-.*^$[](){}|\\=depth123 _READABLE"))
def test_any_text_is_a_pattern_or_a_pattern_error(text: str) -> None:
    try:
        selected = compile_device_pattern(text).select(DEVICES)
    except NamePatternError:
        pass
    else:
        everything = compile_device_pattern(":?.*").select(DEVICES)
        assert set(selected) <= set(everything)
    with contextlib.suppress(NamePatternError):
        assert isinstance(compile_name_pattern(text).matches("count"), bool)


@given(st.lists(st.sampled_from(["det1", "val", "sub", "x", "deep", "mot"]), min_size=1, max_size=5))
def test_a_dotted_name_selects_itself_exactly_when_it_exists(path: list[str]) -> None:
    name = ".".join(path)
    everything = compile_device_pattern(":?.*").select(DEVICES)
    assert compile_device_pattern(name).select(DEVICES) == ([name] if name in everything else [])
