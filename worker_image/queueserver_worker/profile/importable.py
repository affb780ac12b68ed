"""Make `import bluesky_queueserver` work in startup code and scripts.

Where the package `bluesky_queueserver` is not installed, it is made up in this process, with the helpers for startup
code and those for clients. Where it is, it is imported as it is, and then gets our helpers for startup code, which is
logged: registrations and the namespace have to reach this worker and no other place.
"""

from __future__ import annotations

import functools
import importlib.machinery
import logging
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from types import ModuleType
from typing import Any

from queueserver_common import loggers
from queueserver_worker.profile import helpers

_log = logging.getLogger(loggers.PROFILE)

PACKAGE = "bluesky_queueserver"
_TOOLS = f"{PACKAGE}.manager.profile_tools"
_OPERATIONS = f"{PACKAGE}.manager.profile_ops"
_DECORATOR = f"{PACKAGE}.manager.annotation_decorator"
_LISTS = f"{PACKAGE}.manager.gen_lists"
_STREAMS = f"{PACKAGE}.manager.output_streaming"
_REQUESTS = f"{PACKAGE}.manager.comms"

MODULES = (PACKAGE, f"{PACKAGE}.manager", _TOOLS, _OPERATIONS, _DECORATOR, _LISTS, _STREAMS, _REQUESTS)
"""Modules that can be imported whether the package is installed or not."""


@functools.cache
def startup_helpers() -> Mapping[str, Mapping[str, Any]]:
    """What startup code finds by the module in which it looks: always ours."""
    from queueserver_common.decorator import parameter_annotation_decorator
    from queueserver_worker.profile.happi_devices import load_devices_from_happi

    tools = {
        "is_re_worker_active": helpers.is_re_worker_active,
        "is_ipython_mode": helpers.is_ipython_mode,
        "set_user_ns": helpers.set_user_ns,
        "load_devices_from_happi": load_devices_from_happi,
    }
    decorator = {"parameter_annotation_decorator": parameter_annotation_decorator}
    registration = {"register_device": helpers.register_device, "register_plan": helpers.register_plan}
    return {PACKAGE: tools | decorator | registration, _TOOLS: tools, _DECORATOR: decorator, _OPERATIONS: registration}


@functools.cache
def client_helpers() -> Mapping[str, Mapping[str, Any]]:
    """What else a made-up package holds."""
    from queueserver_common import __version__
    from queueserver_common.clients import plan_descriptions, receivers, requests
    from queueserver_worker.profile.list_generation import gen_list_of_plans_and_devices

    lists = {"gen_list_of_plans_and_devices": gen_list_of_plans_and_devices}
    plans = {
        name: getattr(plan_descriptions, name)
        for name in ("bind_plan_arguments", "construct_parameters", "format_text_descriptions", "validate_plan")
    }
    streams = {
        name: getattr(receivers, name)
        for name in (
            "ReceiveConsoleOutput",
            "ReceiveConsoleOutputAsync",
            "ReceiveSystemInfo",
            "ReceiveSystemInfoAsync",
        )
    }
    sending = {
        name: getattr(requests, name)
        for name in (
            "CommTimeoutError",
            "ZMQCommSendAsync",
            "ZMQCommSendThreads",
            "generate_zmq_keys",
            "generate_zmq_public_key",
            "validate_zmq_key",
        )
    }
    whole = lists | plans | streams | sending | {"__version__": __version__}
    return {PACKAGE: whole, _OPERATIONS: plans, _LISTS: lists, _STREAMS: streams, _REQUESTS: sending}


class _HelperLoader(Loader):
    """Loads a module, made up or installed, and puts the helpers into it."""

    def __init__(self, installed: Loader | None) -> None:
        self._installed = installed

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._installed.create_module(spec) if self._installed is not None else None

    def exec_module(self, module: ModuleType) -> None:
        if self._installed is None:
            vars(module)["__getattr__"] = functools.partial(_client_helper, module.__name__)
        else:
            self._installed.exec_module(module)
            if module.__name__ == PACKAGE:
                _tell_of_installed(module)
        vars(module).update(startup_helpers().get(module.__name__, {}))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._installed, name)


class _HelperFinder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in MODULES:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = find(fullname, path, target) if find is not None and finder is not self else None
            if spec is not None:
                spec.loader = _HelperLoader(spec.loader)
                return spec  # type: ignore[no-any-return]
        is_package = any(name.startswith(f"{fullname}.") for name in MODULES)
        return importlib.machinery.ModuleSpec(fullname, _HelperLoader(None), is_package=is_package)


def install() -> None:
    """Let imports find the helpers from now on; repeated calls change nothing."""
    if not any(isinstance(finder, _HelperFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _HelperFinder())
    for name in MODULES:
        if name in sys.modules:
            vars(sys.modules[name]).update(startup_helpers().get(name, {}))


def _client_helper(module: str, name: str) -> Any:
    """Found when it is asked for: hardly any startup code needs what these are made of."""
    if not name.startswith("__") or name == "__version__":
        helper = client_helpers().get(module, {}).get(name)
        if helper is not None:
            return helper
    raise AttributeError(f"module {module!r} has no attribute {name!r}", name=name)


def _tell_of_installed(module: ModuleType) -> None:
    names = ", ".join(sorted(startup_helpers()[PACKAGE]))
    _log.info(
        "The installed package %s %s is imported; its helpers for startup code are replaced by this worker's: %s",
        PACKAGE,
        getattr(module, "__version__", ""),
        names,
    )
