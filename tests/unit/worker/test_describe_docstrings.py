"""Descriptions from docstrings (plans-and-permissions 2.1)."""

from __future__ import annotations

import pytest

from queueserver_worker.describe.docstrings import parse_docstring


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        (None, ""),
        ("", ""),
        ("One line.", "One line."),
        ("\n    Two lines of\n    summary.\n\n    More text.\n", "Two lines of\nsummary."),
        ("Summary.\nParameters\n----------\nx : int\n    The x.\n", "Summary."),
        ("\nParameters\n----------\nx : int\n    The x.\n", ""),
        ("Args:\n    x: The x.\n", ""),
        ("Args: this is a sentence.", "Args: this is a sentence."),
    ],
)
def test_the_summary_is_the_first_paragraph(text, summary):
    assert parse_docstring(text).summary == summary


def test_parameters_in_numpy_style():
    parsed = parse_docstring(
        """
        Summary.

        Parameters
        ----------
        x : int
            The x.

            Second paragraph.
        y, z : {'a', 'b'}, optional
            Both.
        no_type
            Text
                indented.
        close: float
            Colon without a space.
        silent : int
        *args : list
            Positional.
        ``**kwargs`` : dict
            Keywords.

        Returns
        -------
        result : int
            Not a parameter.

        Other Parameters
        ----------------
        rare
            Rarely used.
        """
    )
    assert parsed.parameters == {
        "x": "The x.\n\nSecond paragraph.",
        "y": "Both.",
        "z": "Both.",
        "no_type": "Text\n    indented.",
        "close": "Colon without a space.",
        "args": "Positional.",
        "kwargs": "Keywords.",
        "rare": "Rarely used.",
    }


def test_parameters_in_google_style():
    parsed = parse_docstring(
        """Summary.

        Args:
            x: The x,
                continued.
            y (Optional[dict(str)]): The y: with a colon.
            silent:
            *args: Positional.

        Returns:
            result: Not a parameter.
        """
    )
    assert parsed.parameters == {"x": "The x,\ncontinued.", "y": "The y: with a colon.", "args": "Positional."}


@pytest.mark.parametrize("text", ["Parameters\n----------", "Args:", "Parameters\n----------\n\n\n", "Args:\n\n"])
def test_an_empty_section_has_no_parameters(text):
    assert parse_docstring(text).parameters == {}
