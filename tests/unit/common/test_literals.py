from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueserver_common.literals import MAX_LITERAL_LENGTH, LiteralError, parse_literal, parse_number

LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@given(LITERALS)
def test_what_repr_writes_is_read_back(value: Any) -> None:
    assert parse_literal(repr(value)) == value


@pytest.mark.parametrize(("text", "value"), [("inf", math.inf), ("-inf", -math.inf), (" inf ", math.inf)])
def test_infinities_are_read_as_repr_writes_them(text: str, value: float) -> None:
    assert parse_literal(text) == value


def test_nan_is_read_as_repr_writes_it() -> None:
    assert math.isnan(parse_literal("nan"))


@pytest.mark.parametrize(
    "text", ["", "f()", "name", "1 +", "__import__('os')", "[" * 5000, "a\x00", 5, None, "1" * (MAX_LITERAL_LENGTH + 1)]
)
def test_what_is_not_a_literal_is_refused(text: object) -> None:
    with pytest.raises(LiteralError):
        parse_literal(text)


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("-0.5", -0.5), ("1e3", 1000.0), ("inf", math.inf)])
def test_numbers_are_read(text: str, value: float) -> None:
    assert parse_number(text) == value
    assert type(parse_number(text)) is type(value)


@pytest.mark.parametrize("text", ["True", "'1'", "None", "[1]", "1j", "abc"])
def test_other_literals_are_not_numbers(text: str) -> None:
    with pytest.raises(LiteralError):
        parse_number(text)


@given(st.text())
def test_any_text_is_a_literal_or_a_literal_error(text: str) -> None:
    with contextlib.suppress(LiteralError):
        parse_literal(text)
