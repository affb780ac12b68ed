from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queueserver_common.decorator import (
    ANNOTATION_ATTRIBUTE,
    DecoratorError,
    parameter_annotation_decorator,
    validate_decorator_annotation,
)


def move(motors: Any, positions: Any = None, *others: Any, **more: Any) -> Iterator[Any]:
    """Move motors."""
    received = yield (motors, positions)
    return received, others, more


FULL: dict[str, Any] = {
    "description": "Move some motors.",
    "parameters": {
        "motors": {
            "description": "Motors",
            "annotation": "typing.List[Motors | Plans | Modes]",
            "devices": {"Motors": ["motor1", ":^motor"]},
            "plans": {"Plans": ("count",)},
            "enums": {"Modes": ["on", "off"]},
            "convert_device_names": True,
            "convert_plan_names": False,
        },
        "positions": {"default": [1, 2], "min": -10, "max": 10.5, "step": 0.1},
    },
}


def test_the_annotation_is_attached_to_the_decorated_function() -> None:
    decorated = parameter_annotation_decorator(FULL)(move)
    assert getattr(decorated, ANNOTATION_ATTRIBUTE) == FULL
    assert ANNOTATION_ATTRIBUTE == "_custom_parameter_annotation_"


def test_the_function_itself_and_later_changes_of_the_mapping_do_not_matter() -> None:
    annotation: dict[str, Any] = {"parameters": {"motors": {"description": "first"}}}
    first = parameter_annotation_decorator(annotation)(move)
    annotation["parameters"]["motors"]["description"] = "second"
    second = parameter_annotation_decorator(annotation)(move)
    assert not hasattr(move, ANNOTATION_ATTRIBUTE)
    assert getattr(first, ANNOTATION_ATTRIBUTE)["parameters"]["motors"]["description"] == "first"
    assert getattr(second, ANNOTATION_ATTRIBUTE)["parameters"]["motors"]["description"] == "second"


def test_a_decorated_generator_function_stays_one_and_passes_values_through() -> None:
    decorated = parameter_annotation_decorator({})(move)
    assert inspect.isgeneratorfunction(decorated)
    assert inspect.signature(decorated) == inspect.signature(move)
    assert (decorated.__name__, decorated.__doc__) == ("move", "Move motors.")
    generator: Any = decorated(1, 2, 3, extra=4)
    assert next(generator) == (1, 2)
    with pytest.raises(StopIteration) as stopped:
        generator.send("answer")
    assert stopped.value.value == ("answer", (3,), {"extra": 4})


def test_a_decorated_function_that_returns_a_plan_keeps_its_marks() -> None:
    def plan(motors: Any) -> Any:
        return move(motors)

    plan._is_plan_ = True  # type: ignore[attr-defined]
    decorated = parameter_annotation_decorator({})(plan)
    assert not inspect.isgeneratorfunction(decorated)
    assert decorated._is_plan_  # type: ignore[attr-defined]
    assert next(decorated(5)) == (5, None)


@pytest.mark.row("plans-and-permissions", "errors at decoration")
@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (None, "must be a dictionary, not 'NoneType'"),
        (5, "must be a dictionary, not 'int'"),
        ({"params": {}}, "'params' not supported. Supported: 'description', 'parameters'"),
        ({"description": 5}, "'description' must be a string"),
        ({"parameters": []}, "'parameters' must be a dictionary"),
        (
            {"parameters": {"speed": {}}},
            "'speed' not in the signature of the function, which has 'motors', 'positions'",
        ),
        ({"parameters": {"motors": 5}}, "parameter 'motors': a dictionary is expected"),
        ({"parameters": {"motors": {"unit": "mm"}}}, "parameter 'motors': 'unit' not supported"),
        ({"parameters": {"motors": {"description": 5}}}, "'description' must be a string"),
        ({"parameters": {"motors": {"annotation": 5}}}, "'annotation' must be a string with a type expression"),
        ({"parameters": {"motors": {"devices": ["a"]}}}, "'devices' must be a mapping of type names"),
        ({"parameters": {"motors": {"devices": {"A": "a"}}}}, "'devices' must be a mapping of type names"),
        ({"parameters": {"motors": {"plans": {"A": [1]}}}}, "'plans' must be a mapping of type names"),
        ({"parameters": {"motors": {"enums": {"A b": ["a"]}}}}, "'enums' must be a mapping of type names"),
        ({"parameters": {"motors": {"enums": {1: ["a"]}}}}, "'enums' must be a mapping of type names"),
        ({"parameters": {"motors": {"min": "1"}}}, "'min' must be a number, it is '1'"),
        ({"parameters": {"motors": {"max": True}}}, "'max' must be a number, it is True"),
        ({"parameters": {"motors": {"step": None}}}, "'step' must be a number, it is None"),
        ({"parameters": {"motors": {"convert_plan_names": 1}}}, "'convert_plan_names' must be True or False"),
        ({"parameters": {"motors": {"convert_device_names": 0}}}, "'convert_device_names' must be True or False"),
        ({"parameters": {"motors": {"default": 1}}}, "'default' is allowed only for a parameter that has a default"),
        ({"parameters": {"others": {"default": []}}}, "'default' is allowed only for a parameter that has a default"),
    ],
)
def test_a_mistake_is_refused_at_decoration(annotation: Any, message: str) -> None:
    with pytest.raises(DecoratorError) as refused:
        parameter_annotation_decorator(annotation)(move)
    assert message in str(refused.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["description", "parameters", "motors", "devices", "A"]), inner, max_size=4)
    ),
)


@settings(deadline=None)
@given(JSON)
def test_any_value_is_an_annotation_or_a_decorator_error(value: object) -> None:
    try:
        validate_decorator_annotation(value, inspect.signature(move))
    except DecoratorError:
        return
    assert isinstance(value, dict)
