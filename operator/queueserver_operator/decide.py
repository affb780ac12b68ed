"""Decide what is to be done for a family: pure and total, the same observation gives the same plan."""

from __future__ import annotations

from queueserver_operator.decisions.family import decide

__all__ = ["decide"]
