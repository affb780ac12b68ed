from __future__ import annotations


class DemoError(Exception):
    """The demonstration cannot go on; the text is a sentence for the user."""
