"""Helpers that startup code imports from `bluesky_queueserver` (plans-and-permissions 1)."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from queueserver_worker.profile import ipython_stand_in, user_namespace

Function = TypeVar("Function", bound=Callable[..., Any])

_WORKER_ACTIVE = "_QSERVER_RE_WORKER_ACTIVE"
_IPYTHON_MODE = "_QSERVER_RUNNING_IPYTHON_KERNEL"


@dataclass(frozen=True, slots=True)
class DeviceRegistration:
    """What startup code wants of one device in the lists."""

    depth: int
    """Levels that are listed, the device itself included; 0 lists all."""
    exclude: bool


_devices: dict[str, DeviceRegistration] = {}
_excluded_plans: set[str] = set()


def register_device(name: str, *, depth: int = 1, exclude: bool = False) -> None:
    """Set how deep the device of this name is listed (0: no limit), or keep it out of the lists.

    Overrides the default depth, and is the way to have an area detector expanded. The name need not exist yet.
    """
    _check_name("Device", name)
    if isinstance(depth, bool) or not isinstance(depth, int):
        raise TypeError(f"Depth must be an integer number, not {depth!r}")
    if depth < 0:
        raise ValueError(f"Depth must be a positive integer, or 0 for no limit, not {depth}")
    _devices[name] = DeviceRegistration(depth, bool(exclude))


def register_plan(name: str, *, exclude: bool = False) -> None:
    """Keep the plan of this name out of the lists (`exclude`), or take it in again."""
    _check_name("Plan", name)
    if exclude:
        _excluded_plans.add(name)
    else:
        _excluded_plans.discard(name)


def device_registration(name: str) -> DeviceRegistration | None:
    """What was registered for a device, or None."""
    return _devices.get(name)


def is_plan_excluded(name: str) -> bool:
    """Whether a plan was registered as not listed."""
    return name in _excluded_plans


def forget_registrations() -> None:
    """Start over: nothing is registered."""
    _devices.clear()
    _excluded_plans.clear()


def mark_worker_active() -> None:
    """From now on this process, and what it starts, is a worker to `is_re_worker_active`."""
    os.environ[_WORKER_ACTIVE] = "1"


def is_re_worker_active() -> bool:
    """Whether the code runs in a worker, as opposed to somebody's own Python session."""
    return os.environ.get(_WORKER_ACTIVE, "") not in ("", "0")


def is_ipython_mode() -> bool:
    """Whether the worker runs in an IPython kernel."""
    return os.environ.get(_IPYTHON_MODE, "") not in ("", "0")


def set_user_ns(function: Function) -> Function:
    """Decorator: fill the parameters `user_ns` (the environment's namespace) and `ipython` (None in plain Python).

    Either parameter may be missing. Callers neither see nor pass them.
    """
    signature = inspect.signature(function)
    provided = [name for name in ("user_ns", "ipython") if name in signature.parameters]

    def values() -> dict[str, Any]:
        shell = ipython_stand_in.get_ipython() if is_ipython_mode() else None
        known = {"user_ns": user_namespace.active(), "ipython": shell}
        return {name: known[name] for name in provided}

    wrapper: Any
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            return (yield from function(*args, **kwargs, **values()))

    else:

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs, **values())

    wrapper.__signature__ = signature.replace(
        parameters=[parameter for name, parameter in signature.parameters.items() if name not in provided]
    )
    return cast("Function", wrapper)


def _check_name(kind: str, name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"{kind} name must be a string, not {name!r}")
    if not name:
        raise ValueError(f"{kind} name is an empty string")
    if not name.isidentifier():
        raise ValueError(f"{kind} name {name!r} contains invalid characters: it must be a Python identifier")
