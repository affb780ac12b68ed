"""The namespace that startup code runs in: one per process, found by everything that needs it."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

Namespace = dict[str, Any]
"""Names of an environment: its devices, plans, functions and everything else that startup code binds."""

_active: Namespace = {}


def activate(namespace: Namespace) -> None:
    """Make `namespace` the one that `get_ipython().user_ns` and `set_user_ns` mean from now on."""
    global _active
    _active = namespace


def active() -> Namespace:
    """The environment's namespace; empty before anything was loaded."""
    return _active


def new_main_namespace() -> Namespace:
    """A fresh namespace named `__main__`, which is also what `sys.modules["__main__"]` holds.

    Classes of startup code say that they are defined in `__main__`; whoever resolves their string annotations
    or pickles their instances looks there for them.
    """
    module = ModuleType("__main__")
    sys.modules["__main__"] = module
    return vars(module)
