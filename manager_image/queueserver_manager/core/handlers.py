"""The function that decides the requests of a method: the one of its name in one of the modules of methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from queueserver_manager.core import (
    audit,
    batch_methods,
    control_methods,
    information_methods,
    kernel_methods,
    lock_methods,
    permission_methods,
    queue_methods,
    task_methods,
)
from queueserver_manager.core.methods import METHODS

Handler = Callable[..., Any]
"""Takes the core, the checked parameters, the decision to add to, and the time; returns the reply or its steps."""

_MODULES = (
    queue_methods,
    batch_methods,
    control_methods,
    information_methods,
    kernel_methods,
    permission_methods,
    lock_methods,
    task_methods,
    audit,
)


def _handler(name: str) -> Handler:
    handlers = (vars(module).get(name) for module in _MODULES)
    handler: Handler = next(h for h in handlers if h is not None)
    return handler


HANDLERS: dict[str, Handler] = {name: _handler(name) for name in METHODS}
"""By the names of the method table."""
