from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queueserver_common.permissions import GroupLists
from queueserver_common.signature import BindingError, PlanSignature
from queueserver_common.validation import GroupValidator, PlanValidationError, PlanValidator

KINDS = [
    "POSITIONAL_ONLY",
    "POSITIONAL_OR_KEYWORD",
    "VAR_POSITIONAL",
    "KEYWORD_ONLY",
    "VAR_KEYWORD",
]


def parameter(name: str, annotation: Any = None, kind: int = 1, **more: Any) -> Any:
    description: dict[str, Any] = {"name": name, "kind": {"name": KINDS[kind], "value": kind}, **more}
    if annotation is not None:
        description["annotation"] = {"type": annotation} if isinstance(annotation, str) else annotation
    return description


def plan(*parameters: Any, name: str = "count") -> Any:
    return {"name": name, "module": "plans", "parameters": list(parameters), "properties": {"is_generator": True}}


def problem(description: Any, *args: Any, **kwargs: Any) -> str:
    """What the validator says about a call; empty when it accepts it."""
    try:
        PlanValidator(description).validate(list(args), kwargs)
    except PlanValidationError as error:
        return str(error)
    return ""


def of_type(annotation: Any, value: Any) -> str:
    return problem(plan(parameter("n", annotation)), value)


COUNT = plan(
    parameter("detectors", "collections.abc.Sequence[__READABLE__]"),
    parameter("num", "int", default="1"),
    parameter("delay", "float | None", default="None"),
    parameter("md", "dict[str, typing.Any] | None", kind=3, default="None"),
)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([["det1", "det2"]], {}),
        ([["det1"], 5, 0.5], {}),
        ([["det1"]], {"num": 5, "delay": 1, "md": {"sample": [1, 2.5]}}),
        ([], {"detectors": [], "delay": None}),
        # built-in names are any string at submission
        ([["no_such_device"]], {}),
    ],
)
def test_a_call_that_fits_the_description_is_accepted(args: list[Any], kwargs: dict[str, Any]) -> None:
    assert problem(COUNT, *args, **kwargs) == ""


@pytest.mark.row("plans-and-permissions", "binding")
@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ([], {}, "missing a required argument: 'detectors'"),
        ([["a"]], {"abc": 1}, "got an unexpected keyword argument 'abc'"),
        ([["a"], 1, 1, {}], {}, "too many positional arguments"),
        ([["a"], 1, 1, {}], {"abc": 1}, "too many positional arguments"),
        ([["a"]], {"detectors": ["a"]}, "multiple values for argument 'detectors'"),
        ([], {"abc": 1}, "missing a required argument: 'detectors'"),
    ],
)
def test_arguments_are_bound_to_the_signature_first(args: list[Any], kwargs: dict[str, Any], message: str) -> None:
    assert problem(COUNT, *args, **kwargs) == message


def test_a_positional_only_parameter_is_refused_as_keyword() -> None:
    description = plan(parameter("a", kind=0))
    assert problem(description, a=1) == "'a' parameter is positional only, but was passed as a keyword"
    assert problem(description, 1) == ""


def test_a_required_keyword_only_parameter_may_not_be_missing() -> None:
    assert problem(plan(parameter("a", kind=3))) == "missing a required argument: 'a'"


@pytest.mark.row("plans-and-permissions", "args and kwargs")
@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ("abc", {}, "Plan parameter 'args' must be a list, not <class 'str'>"),
        (None, {}, "Plan parameter 'args' must be a list, not <class 'NoneType'>"),
        ([], [1], "Plan parameter 'kwargs' must be a dictionary, not <class 'list'>"),
        ([], {1: 2}, "Names in plan parameter 'kwargs' must be strings, 1 is not"),
    ],
)
def test_args_and_kwargs_must_be_list_and_mapping(args: Any, kwargs: Any, message: str) -> None:
    with pytest.raises(PlanValidationError) as refused:
        PlanValidator(COUNT).validate(args, kwargs)
    assert str(refused.value) == message


ACCEPTED: list[tuple[str, Any]] = [
    ("int", 1),
    ("int", 10**400),
    ("list[int]", [10**5000]),
    ("float", 1.5),
    ("float", 1),
    ("float", True),
    ("float", 10**400),
    ("float", math.nan),
    ("float", math.inf),
    ("bool", True),
    ("bool", 0),
    ("str", "a"),
    ("None", None),
    ("typing.Any", object()),
    ("list[int]", [1, 2]),
    ("list[int]", (1, 2)),
    ("list[float]", [1, 2.5, True]),
    ("typing.Tuple[int, str]", [1, "a"]),
    ("tuple[int, ...]", [1, 2]),
    ("set[int]", [1, 2]),
    ("dict[str, float]", {"a": 1}),
    ("typing.Optional[int]", None),
    ("int | float", 1.0),
    ("str | float", 1),
    ("typing.Literal['a', 1]", 1),
    ("typing.Iterable[str]", {"a": 1}),
    ("typing.Sequence", "abc"),
    ("collections.abc.Hashable", "a"),
    ("__CALLABLE__", "numpy.mean"),
    ("typing.Callable[[int], int]", "numpy.mean"),
]


@pytest.mark.parametrize(("annotation", "value"), ACCEPTED)
def test_values_of_the_type_are_accepted(annotation: str, value: Any) -> None:
    assert of_type(annotation, value) == ""


@pytest.mark.row("plans-and-permissions", "silent conversion")
@pytest.mark.parametrize(
    ("annotation", "value", "interpreted"),
    [
        ("int", 1.0, "'1.0' (<class 'float'>), interpreted as '1' (<class 'int'>)"),
        ("int", True, "'True' (<class 'bool'>), interpreted as '1' (<class 'int'>)"),
        ("int", "1", "'1' (<class 'str'>), interpreted as '1' (<class 'int'>)"),
        ("float", "1", "'1' (<class 'str'>), interpreted as '1.0' (<class 'float'>)"),
        ("bool", 1.0, "'1.0' (<class 'float'>), interpreted as 'True' (<class 'bool'>)"),
        ("bool", "true", "'true' (<class 'str'>), interpreted as 'True' (<class 'bool'>)"),
        ("typing.Literal[1]", True, "'True' (<class 'bool'>), interpreted as '1' (<class 'int'>)"),
        ("typing.Optional[int]", 1.0, "'1.0' (<class 'float'>), interpreted as '1' (<class 'int'>)"),
        ("typing.List[int]", [1, 2.0], "'[1, 2.0]' (<class 'list'>), interpreted as '[1, 2]' (<class 'list'>)"),
        ("dict[str, int]", {"a": 1.0}, "'{'a': 1.0}' (<class 'dict'>), interpreted as '{'a': 1}' (<class 'dict'>)"),
        ("dict[int, str]", {"1": "a"}, "'{'1': 'a'}' (<class 'dict'>), interpreted as '{1: 'a'}' (<class 'dict'>)"),
        ("list[dict[str, int]]", [{"a": 1.0}], "interpreted as '[{'a': 1}]' (<class 'list'>)"),
    ],
)
def test_silent_conversion_is_refused_however_deep(annotation: str, value: Any, interpreted: str) -> None:
    message = of_type(annotation, value)
    assert message.startswith("Error in argument types: Incorrect parameter type: key='n', value=")
    assert message.endswith(interpreted)


@pytest.mark.row("plans-and-permissions", "wrong types")
@pytest.mark.parametrize(
    ("annotation", "value", "place", "message"),
    [
        ("int", 1.5, "n", "Input should be a valid integer"),
        ("int", "a", "n", "Input should be a valid integer"),
        ("int", None, "n", "Input should be a valid integer"),
        ("str", 1, "n", "Input should be a valid string"),
        ("bool", 2, "n", "Input should be a valid boolean"),
        ("__READABLE__", 1, "n", "Input should be a valid string"),
        ("__CALLABLE__", 1, "n", "Input should be a valid string"),
        ("typing.Sequence[__READABLE__]", "det1", "n", "Input should be a valid list"),
        ("typing.Sequence[__READABLE__]", ["det1", 1], "n.1", "Input should be a valid string"),
        ("typing.Iterable[str]", "abc", "n", "Input should be a valid list"),
        ("list[int]", {"a": 1}, "n", "Input should be a valid list"),
        ("dict[str, int]", {"a": "x"}, "n.a", "Input should be a valid integer"),
        ("tuple[int, str]", [1], "n.1", "Field required"),
        ("None", 1, "n", "Input should be None"),
        ("collections.abc.Hashable", [1], "n", "Input should be an instance of Hashable"),
        ("typing.Literal['a', 'b']", "c", "n", "Input should be 'a' or 'b'"),
    ],
)
def test_a_wrong_type_is_reported_with_its_place(annotation: str, value: Any, place: str, message: str) -> None:
    lines = of_type(annotation, value).split("\n")
    assert lines[0] == "1 validation error for plan 'count'"
    assert lines[1] == place
    assert message in lines[2]


@pytest.mark.row("plans-and-permissions", "not in the list")
@pytest.mark.parametrize("section", ["devices", "plans", "enums"])
def test_declared_names_list_the_allowed_values(section: str) -> None:
    annotation = {"type": "typing.List[Names]", section: {"Names": ["det1", "det2"]}}
    assert of_type(annotation, ["det1", "det2"]) == ""
    assert "n.1\n  Input should be 'det1' or 'det2'" in of_type(annotation, ["det1", "det3"])


@pytest.mark.row("plans-and-permissions", "a built-in name that is declared")
def test_a_redefined_built_in_name_restricts() -> None:
    annotation = {"type": "__READABLE__", "devices": {"__READABLE__": ["det1"]}}
    assert of_type(annotation, "det1") == ""
    assert "Input should be 'det1'" in of_type(annotation, "det2")


def test_nothing_fits_a_declared_name_without_allowed_values() -> None:
    annotation = {"type": "typing.List[Names]", "devices": {"Names": []}}
    assert of_type(annotation, []) == ""
    assert "type 'Names' contains no name that the user group may use" in of_type(annotation, ["det1"])


def test_an_alternative_of_declared_names_is_reported_by_its_name() -> None:
    annotation = {"type": "A | B", "enums": {"A": ["a"], "B": ["b"]}}
    message = of_type(annotation, "c")
    assert message.startswith("2 validation errors")
    assert "\nn.A\n  Input should be 'a'" in message
    assert "\nn.B\n  Input should be 'b'" in message


@pytest.mark.row("plans-and-permissions", "without annotation")
def test_a_parameter_without_annotation_accepts_anything() -> None:
    for value in (1, "a", None, [1, {"a": object()}], math.nan):
        assert problem(plan(parameter("n")), value) == ""


def test_surplus_arguments_are_checked_one_by_one() -> None:
    description = plan(parameter("args", "int", kind=2), parameter("kwargs", "float", kind=4))
    assert problem(description, 1, 2, a=1, b=2.5) == ""
    assert "args.1\n  Input should be a valid integer" in problem(description, 1, "x")
    assert "kwargs.b\n  Input should be a valid number" in problem(description, b="x")
    assert "key='args', value='(1, 2.0)'" in problem(description, 1, 2.0)


@pytest.mark.row("plans-and-permissions", "range")
@pytest.mark.parametrize(
    ("limits", "value", "message"),
    [
        ({"min": "0.1", "max": "10"}, 11, "key='n', value='11': Value 11 is out of range [0.1, 10]"),
        ({"min": "0.1"}, 0, "Value 0 is out of range [0.1, inf]"),
        ({"max": "3"}, 5, "Value 5 is out of range [-inf, 3]"),
        ({"min": "2"}, True, "Value True is out of range [2, inf]"),
        ({"max": "10"}, {"a": [1, (2, {"b": 11})]}, "Value 11 is out of range [-inf, 10]"),
        ({"max": "10"}, [12, 11], "Value 12 is out of range [-inf, 10]"),
        ({"min": "0", "max": "1"}, math.nan, "Value nan is out of range [0, 1]"),
        ({"max": "1"}, math.inf, "Value inf is out of range [-inf, 1]"),
        ({"max": "1"}, [10**5000], "Value <integer of 16610 bits> is out of range [-inf, 1]"),
    ],
)
def test_every_number_must_be_in_range_however_deep(limits: dict[str, str], value: Any, message: str) -> None:
    text = problem(plan(parameter("n", **limits)), value)
    assert text.startswith("Argument values are out of range: Parameter value is out of range: key='n', value='")
    assert text.endswith(message)


@pytest.mark.parametrize("value", [0.1, 10, 5, "11", None, [1, "99", {"key": 2}], {99: 1}])
def test_values_in_range_strings_and_keys_pass(value: Any) -> None:
    assert problem(plan(parameter("n", min="0.1", max="10")), value) == ""


def test_defaults_are_not_checked_against_type_and_range() -> None:
    assert problem(plan(parameter("n", "int", default="'text'", min="5"))) == ""


def test_types_are_checked_before_ranges_and_all_parameters_are_reported() -> None:
    description = plan(parameter("a", "int", max="1"), parameter("b", "int", max="1"))
    assert problem(description, 5, "x").startswith("1 validation error for plan 'count'\nb\n")
    assert problem(description, "x", "y").startswith("2 validation errors for plan 'count'\na\n")
    assert problem(description, 1.0, 2.0).count("Incorrect parameter type") == 2
    assert problem(description, 5, 6).count("Parameter value is out of range") == 2


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (
            parameter("n", {"type": "int", "devices": {"X": ["a"]}}),
            "Type 'X' is defined in the annotation, but not used in the parameter type",
        ),
        (parameter("n", "Nothing"), "Failed to process annotation 'Nothing': name 'Nothing' is not defined"),
        (parameter("n", default="f()"), "Failed to decode the default value of parameter 'n'"),
        (parameter("n", min="abc"), "Failed to read a limit of parameter 'n'"),
        (parameter("n", max="None"), "Failed to read a limit of parameter 'n'"),
        (parameter("n", min=2), "Failed to read a limit of parameter 'n'"),
    ],
)
def test_a_plan_with_an_unusable_description_is_refused_each_time(described: Any, message: str) -> None:
    group = GroupValidator(GroupLists({"count": plan(described)}, {}))
    for _ in range(2):
        with pytest.raises(PlanValidationError) as refused:
            group.validate_item({"name": "count", "args": [1]})
        assert message in str(refused.value)


@pytest.fixture
def group() -> GroupValidator:
    return GroupValidator(GroupLists({"count": COUNT}, {}))


@pytest.mark.parametrize("meta", [{}, {"sample": 5}, [], [{}, {"sample": 5}]])
def test_an_item_is_accepted(group: GroupValidator, meta: Any) -> None:
    group.validate_item({"item_type": "plan", "name": "count", "args": [["det1"]], "meta": meta})
    group.validate_item({"item_type": "plan", "name": "count", "kwargs": {"detectors": ["det1"]}})


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"name": "nope"}, "Plan 'nope' is not in the list of allowed plans."),
        ({"name": 5}, "Plan '5' is not in the list of allowed plans."),
        ({"name": ["count"]}, "Plan '['count']' is not in the list of allowed plans."),
        ({}, "Plan name is not specified"),
        ({"name": "count"}, "missing a required argument: 'detectors'"),
        ({"name": "count", "meta": 5}, "missing a required argument: 'detectors'"),
        (
            {"name": "count", "args": [["a"]], "meta": 5},
            "Plan parameter 'meta' must be a dictionary or a list of dictionaries",
        ),
        (
            {"name": "count", "args": [["a"]], "meta": None},
            "Plan parameter 'meta' must be a dictionary or a list of dictionaries",
        ),
        (
            {"name": "count", "args": [["a"]], "meta": [{}, 1]},
            "Plan parameter 'meta' must be a dictionary or a list of dictionaries",
        ),
    ],
)
def test_a_refused_item_is_quoted_below_the_reason(group: GroupValidator, item: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanValidationError) as refused:
        group.validate_item(item)
    assert str(refused.value) == f"Plan validation failed: {message}\nPlan: {item!r}"


def test_a_long_item_is_laid_out_in_lines(group: GroupValidator) -> None:
    item = {"item_type": "plan", "name": "count", "args": [], "kwargs": {"abc": "x" * 60}}
    with pytest.raises(PlanValidationError) as refused:
        group.validate_item(item)
    assert "\nPlan: {'item_type': 'plan',\n 'name': 'count',\n 'args': [],\n 'kwargs': {'abc': 'xxx" in str(
        refused.value
    )


@pytest.mark.parametrize(
    "args",
    [
        [list(range(100_000))],
        [["x" * 1_000_000], "y"],
        [{"a" * 100_000: 1}],
        [[10**5000]],
        [[["deep"] * 20] * 1000],
        [{f"key{number}": [number] for number in range(10_000)}],
    ],
)
def test_messages_stay_short_whatever_a_client_sends(group: GroupValidator, args: list[Any]) -> None:
    with pytest.raises(PlanValidationError) as refused:
        group.validate_item({"name": "count", "args": args})
    assert len(str(refused.value)) < 30_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
ANNOTATIONS = st.sampled_from([annotation for annotation, _ in ACCEPTED])


@settings(deadline=None)
@given(ANNOTATIONS, JSON)
def test_any_json_value_is_accepted_or_refused_with_a_sentence(annotation: str, value: Any) -> None:
    description = plan(parameter("n", annotation, min="0"))
    group = GroupValidator(GroupLists({"count": description}, {}))
    try:
        group.validate_item({"name": "count", "args": [value]})
    except PlanValidationError as error:
        assert str(error).startswith("Plan validation failed: ")  # noqa: PT017


NAMES = ["a", "b", "c", "d"]


@st.composite
def signatures(draw: st.DrawFn) -> inspect.Signature:
    kinds = sorted(draw(st.lists(st.sampled_from(range(5)), max_size=4)))
    kinds = [kind for index, kind in enumerate(kinds) if kind not in (2, 4) or kind not in kinds[:index]]
    with_default = draw(st.lists(st.booleans(), min_size=4, max_size=4))
    parameters: list[inspect.Parameter] = []
    positional_default = False
    for name, number, has_default in zip(NAMES, kinds, with_default, strict=False):
        kind = inspect._ParameterKind(number)
        if kind <= inspect.Parameter.POSITIONAL_OR_KEYWORD:
            positional_default = has_default = has_default or positional_default
        default = 0 if has_default and kind not in (2, 4) else inspect.Parameter.empty
        parameters.append(inspect.Parameter(name, kind, default=default))
    return inspect.Signature(parameters)


@settings(deadline=None, max_examples=500)
@given(
    signatures(),
    st.lists(st.integers(), max_size=4),
    st.dictionaries(st.sampled_from([*NAMES, "other"]), st.integers(), max_size=3),
)
def test_arguments_are_bound_as_a_python_call_binds_them(
    signature: inspect.Signature, args: list[int], kwargs: dict[str, int]
) -> None:
    described = []
    unset: dict[str, Any] = {}
    for each in signature.parameters.values():
        has_default = each.default is not inspect.Parameter.empty
        described.append(parameter(each.name, kind=int(each.kind), **({"default": "0"} if has_default else {})))
        unset[each.name] = {2: (), 4: {}}.get(int(each.kind), 0)
    namespace: dict[str, Any] = {}
    exec(f"def call{signature}:\n    return locals()", namespace)
    try:
        expected = namespace["call"](*args, **kwargs)
    except TypeError:
        with pytest.raises(BindingError):
            PlanSignature(described).bind(args, kwargs)
    else:
        assert {**unset, **PlanSignature(described).bind(args, kwargs)} == expected
