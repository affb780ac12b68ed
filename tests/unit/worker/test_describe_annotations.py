"""Text of annotations in the headers of plans (plans-and-permissions 2.1)."""

from __future__ import annotations

import collections.abc
import enum
import inspect
import sys
import typing

import bluesky.protocols
import numpy
import pytest

from queueserver_worker.describe.annotation_text import annotation_text, resolved_annotation

Name = typing.NewType("Name", str)


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (list, "list"),
        (None, "None"),
        (type(None), "None"),
        (object, "object"),
        (typing.Any, "typing.Any"),
        (list[float], "list[float]"),
        (typing.List[int], "typing.List[int]"),  # noqa: UP006
        (typing.Tuple[int, ...], "typing.Tuple[int, ...]"),  # noqa: UP006
        (tuple[int, str], "tuple[int, str]"),
        (dict[str, typing.Any] | None, "dict[str, typing.Any] | None"),
        (list[int | None], "list[int | None]"),
        (collections.abc.Sequence, "collections.abc.Sequence"),
        (collections.abc.Iterable, "collections.abc.Iterable[typing.Any]"),
        (collections.abc.Mapping[str, int], "collections.abc.Mapping[str, int]"),
        (typing.Iterable, "typing.Iterable"),
        (typing.Hashable, "typing.Hashable"),
        (typing.Literal["a", 1, True, None], "typing.Literal['a', 1, True, None]"),
        (typing.Annotated[int, "metres"], "int"),
        (Name, "str"),
    ],
)
def test_types_of_the_grammar_are_written_as_python_writes_them(annotation, text):
    assert annotation_text(annotation) == text


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="since 3.14 both spellings are one type")
def test_unions_of_typing_keep_their_spelling():
    assert annotation_text(typing.Optional[int]) == "typing.Optional[int]"  # noqa: UP045
    assert annotation_text(typing.Union[int, str]) == "typing.Union[int, str]"  # noqa: UP007


@pytest.mark.row("plans-and-permissions", "plan description: names of protocols")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Readable", "__READABLE__"),
        ("Movable", "__MOVABLE__"),
        ("NamedMovable", "__MOVABLE__"),
        ("Flyable", "__FLYABLE__"),
        *(
            (name, "__DEVICE__")
            for name in (
                "Configurable", "Triggerable", "Locatable", "Stageable", "Pausable", "Stoppable", "Subscribable",
                "Checkable",
            )
        ),
    ],
)  # fmt: skip
def test_protocols_become_type_names(name, text):
    protocol = getattr(bluesky.protocols, name)
    assert annotation_text(protocol) == text
    assert annotation_text(typing.Sequence[protocol]) == f"typing.Sequence[{text}]"
    assert annotation_text(dict[str, protocol] | None) == f"dict[str, {text}] | None"


def test_a_protocol_with_a_parameter_is_the_same_protocol():
    assert annotation_text(bluesky.protocols.Readable[int]) == "__READABLE__"


@pytest.mark.row("plans-and-permissions", "plan description: callables")
@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (typing.Callable, "__CALLABLE__"),
        (collections.abc.Callable, "__CALLABLE__"),
        (collections.abc.Callable[[int], str], "__CALLABLE__"),
        (collections.abc.Callable[..., numpy.ndarray] | None, "__CALLABLE__ | None"),
        (list[collections.abc.Callable[[], int]], "list[__CALLABLE__]"),
        (collections.abc.Callable[[int], int] | collections.abc.Callable[[str], int] | None, "__CALLABLE__ | None"),
    ],
)
def test_callables_of_all_kinds_are_one_type(annotation, text):
    assert annotation_text(annotation) == text


@pytest.mark.row("plans-and-permissions", "plan description: annotations without a name are left out")
@pytest.mark.parametrize(
    "annotation",
    [
        inspect.Parameter.empty, numpy.ndarray, list[numpy.ndarray], Colour, typing.TypeVar("T"), 5, "int",
        typing.Literal[Colour.RED], collections.abc.Generator[int, None, None], type[int], bluesky.protocols.Status,
        bluesky.protocols.Reading, typing.List["Nothing"],  # noqa: F821, UP006
    ],
)  # fmt: skip
def test_what_clients_have_no_name_for_is_left_out(annotation):
    assert annotation_text(annotation) is None


def test_annotations_written_as_strings_are_resolved_where_the_function_was_written():
    def plan(): ...

    assert resolved_annotation("list[Colour]", plan) == list[Colour]
    assert resolved_annotation("int | None", plan) == int | None
    assert resolved_annotation(float, plan) is float


@pytest.mark.parametrize("annotation", ["Unknown", "list[", "1 / 0", ""])
def test_strings_that_mean_nothing_count_as_no_annotation(annotation):
    def plan(): ...

    assert resolved_annotation(annotation, plan) is inspect.Parameter.empty
