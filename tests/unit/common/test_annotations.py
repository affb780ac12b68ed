from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueserver_common.annotation_schema import validator
from queueserver_common.annotations import (
    ANY,
    MAX_ANNOTATION_DEPTH,
    MAX_ANNOTATION_LENGTH,
    AnnotationError,
    BuiltinName,
    CollectionKind,
    CollectionOf,
    CustomName,
    FixedTuple,
    Literals,
    MappingOf,
    OneOf,
    Scalar,
    ScalarKind,
    UnionOf,
    names_in,
    parse_annotation,
    parse_parameter_annotation,
)
from queueserver_common.descriptions import BUILTIN_TYPE_NAMES

INT, FLOAT, STR, NONE = (Scalar(kind) for kind in (ScalarKind.INT, ScalarKind.FLOAT, ScalarKind.STR, ScalarKind.NONE))


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("int", INT),
        (" int ", INT),
        ("builtins.int", INT),
        ("float", FLOAT),
        ("str", STR),
        ("bool", Scalar(ScalarKind.BOOL)),
        ("None", NONE),
        ("types.NoneType", NONE),
        ("typing.Any", ANY),
        ("Any", ANY),
        ("object", ANY),
        ("collections.abc.Hashable", Scalar(ScalarKind.HASHABLE)),
        ("list", CollectionOf(CollectionKind.LIST, ANY)),
        ("list[int]", CollectionOf(CollectionKind.LIST, INT)),
        ("typing.List[int]", CollectionOf(CollectionKind.LIST, INT)),
        ("List[int]", CollectionOf(CollectionKind.LIST, INT)),
        ("collections.abc.Sequence[int]", CollectionOf(CollectionKind.SEQUENCE, INT)),
        ("typing.Sequence[int]", CollectionOf(CollectionKind.SEQUENCE, INT)),
        ("typing.Iterable[float]", CollectionOf(CollectionKind.ITERABLE, FLOAT)),
        ("set[str]", CollectionOf(CollectionKind.SET, STR)),
        ("tuple[int, ...]", CollectionOf(CollectionKind.TUPLE, INT)),
        ("typing.Tuple[int, str]", FixedTuple((INT, STR))),
        ("tuple[()]", FixedTuple(())),
        ("dict", MappingOf(ANY, ANY)),
        ("typing.Dict[str, int]", MappingOf(STR, INT)),
        ("collections.abc.Mapping[str, int]", MappingOf(STR, INT)),
        ("typing.Optional[int]", UnionOf((INT, NONE))),
        ("typing.Union[int, str]", UnionOf((INT, STR))),
        ("int | str | None", UnionOf((INT, STR, NONE))),
        ("typing.Annotated[int, some.remark(5)]", INT),
        ("typing.Callable", BuiltinName("__CALLABLE__")),
        ("collections.abc.Callable[[int], str]", BuiltinName("__CALLABLE__")),
        ("__READABLE__", BuiltinName("__READABLE__")),
        ("__MOVABLE__ | Motors", UnionOf((BuiltinName("__MOVABLE__"), CustomName("Motors")))),
        ("Motors", CustomName("Motors")),
    ],
)
def test_type_expressions_are_parsed_into_a_tree(text: str, node: Any) -> None:
    assert parse_annotation(text, {"Motors"}) == node


def test_literals_keep_values_apart_that_are_equal_in_python() -> None:
    node = parse_annotation("typing.Literal['a', 1, -2, True, None]")
    assert isinstance(node, Literals)
    assert node.values == ("a", 1, -2, True, None)
    assert parse_annotation("typing.Literal[1]") != parse_annotation("typing.Literal[True]")


@pytest.mark.row("plans-and-permissions", "built-in type names")
@pytest.mark.parametrize("name", sorted(BUILTIN_TYPE_NAMES))
def test_built_in_type_names_need_no_declaration(name: str) -> None:
    assert parse_annotation(f"typing.List[{name}]") == CollectionOf(CollectionKind.LIST, BuiltinName(name))


def test_a_declared_name_wins_over_every_other_meaning() -> None:
    assert parse_annotation("__READABLE__", {"__READABLE__"}) == CustomName("__READABLE__")
    assert parse_annotation("float", {"float"}) == CustomName("float")


@pytest.mark.row("plans-and-permissions", "annotations are parsed")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a Python type expression"),
        ("int[", "not a Python type expression"),
        ("import os", "not a Python type expression"),
        ("a\x00b", "not a Python type expression"),
        ("Motors", "'Motors' is not defined"),
        ("typing.List[Motors]", "'Motors' is not defined"),
        ("numbers.Number", "'numbers.Number' is not defined"),
        ("os.path", "'os.path' is not defined"),
        ("typing.os", "'typing.os' is not defined"),
        ("collections.abc.Any", "'collections.abc.Any' is not defined"),
        ("typing.Optional", "needs parameters"),
        ("typing.Union", "needs parameters"),
        ("typing.List[int, str]", "does not take these parameters"),
        ("dict[int]", "does not take these parameters"),
        ("int[str]", "does not take these parameters"),
        ("typing.Optional[int, str]", "does not take these parameters"),
        ("typing.Annotated[()]", "does not take these parameters"),
        ("typing.Literal[()]", "needs values"),
        ("typing.Literal[a]", "not a value for 'Literal'"),
        ("typing.Literal[1.5]", "not a value for 'Literal'"),
        ("typing.Literal[-True]", "not a value for 'Literal'"),
        ("5", "is not a type"),
        ("'int'", "is not a type"),
        ("int + str", "is not a type"),
        ("int()", "is not a type"),
        ("(lambda: int)[int]", "not the name of a type"),
        ("__import__('os').system('true')", "is not a type"),
        ("[int]", "is not a type"),
        ("int if True else str", "is not a type"),
        ("list[*int]", "is not a type"),
        ("(x := int)", "is not a type"),
        ("list[" * (MAX_ANNOTATION_DEPTH + 1) + "int" + "]" * (MAX_ANNOTATION_DEPTH + 1), "nested more than"),
        (" | ".join(["int"] * MAX_ANNOTATION_LENGTH), "too long"),
        ("(" * 900 + "int" + ")" * 900, "not a Python type expression"),
    ],
)
def test_everything_else_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        parse_annotation(text)


def test_declared_names_are_replaced_by_their_values() -> None:
    node = parse_parameter_annotation({
        "type": "typing.List[Motors | Modes]",
        "devices": {"Motors": ["m1", "m2", "m1"]},
        "enums": {"Modes": ["on", "it's \"quoted\"]"]},
    })  # fmt: skip
    motors, modes = OneOf("Motors", ("m1", "m2")), OneOf("Modes", ("on", 'it\'s "quoted"]'))
    assert node == CollectionOf(CollectionKind.LIST, UnionOf((motors, modes)))


def test_a_name_declared_twice_stands_for_all_its_values() -> None:
    node = parse_parameter_annotation({"type": "X", "devices": {"X": ["a"]}, "plans": {"X": ["b"]}})
    assert node == OneOf("X", ("a", "b"))


@pytest.mark.row("plans-and-permissions", "a declared name has to be used")
@pytest.mark.parametrize("section", ["devices", "plans", "enums"])
def test_a_declared_name_must_be_used(section: str) -> None:
    annotation: Any = {"type": "typing.List[int]", section: {"X": ["a"]}}
    message = "Type 'X' is defined in the annotation, but not used in the parameter type"
    with pytest.raises(AnnotationError, match=message):
        parse_parameter_annotation(annotation)


def test_the_remark_of_an_annotated_type_does_not_count_as_use() -> None:
    with pytest.raises(AnnotationError, match="not used in the parameter type"):
        parse_parameter_annotation({"type": "typing.Annotated[int, X]", "enums": {"X": ["a"]}})


def test_names_in_lists_declared_and_built_in_names() -> None:
    node = parse_annotation("dict[str, tuple[Motors, __PLAN__ | None]]", {"Motors"})
    assert names_in(node) == {"Motors", "__PLAN__"}


NESTED = st.recursive(
    st.sampled_from(["int", "float", "str", "None", "typing.Any", "__READABLE__", "Motors", "typing.Literal['a', 1]"]),
    lambda inner: st.one_of(
        inner.map("typing.List[{}]".format),
        inner.map("typing.Optional[{}]".format),
        st.tuples(inner, inner).map(lambda pair: f"{pair[0]} | {pair[1]}"),
        st.tuples(inner, inner).map(lambda pair: f"dict[{pair[0]}, {pair[1]}]"),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: f"tuple[{', '.join(items)}]"),
    ),
    max_leaves=12,
)


@given(NESTED)
def test_every_expression_of_the_grammar_has_validators_in_both_readings(text: str) -> None:
    try:
        node = parse_parameter_annotation({"type": f"tuple[Motors, {text}]", "devices": {"Motors": ["m1"]}})
    except AnnotationError as error:
        assert "nested more than" in str(error) or "too long" in str(error)  # noqa: PT017
        return
    assert "Motors" not in names_in(node)
    for exact in (True, False):
        assert validator(node, exact=exact).isinstance_python(object()) is False


@given(st.text() | st.text(alphabet="[](),.|'\"\\ \n-*=:0aintlisTyp_"))
def test_any_text_is_an_annotation_or_an_annotation_error(text: str) -> None:
    try:
        node = parse_annotation(text, {"Motors"})
    except AnnotationError:
        return
    # What was accepted is a Python expression, and one that the grammar lists.
    ast.parse(text.strip(), mode="eval")
    assert names_in(node) <= BUILTIN_TYPE_NAMES | {"Motors"}


@given(
    st.text(max_size=30), st.dictionaries(st.text(max_size=5), st.lists(st.text(max_size=5), max_size=3), max_size=3)
)
def test_any_declaration_is_resolved_or_refused(text: str, declared: dict[str, list[str]]) -> None:
    try:
        node = parse_parameter_annotation({"type": text, "devices": declared})
    except AnnotationError:
        return
    validator(node, exact=True)
