"""Make `from bluesky_queueserver import ...` work in startup code.

Where the package `bluesky_queueserver` is not installed, it is made up in this process with the helpers below.
Where it is, it is imported as it is, and then gets the same helpers: registrations and the namespace have to reach
this worker and no other place.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from types import ModuleType
from typing import Any

from queueserver_common.decorator import parameter_annotation_decorator
from queueserver_worker.profile import helpers

_TOOLS: dict[str, Any] = {
    "is_re_worker_active": helpers.is_re_worker_active,
    "is_ipython_mode": helpers.is_ipython_mode,
    "set_user_ns": helpers.set_user_ns,
}
_DECORATOR = {"parameter_annotation_decorator": parameter_annotation_decorator}

PROVIDED: Mapping[str, Mapping[str, Any]] = {
    "bluesky_queueserver": _TOOLS
    | _DECORATOR
    | {"register_device": helpers.register_device, "register_plan": helpers.register_plan},
    "bluesky_queueserver.manager": {},
    "bluesky_queueserver.manager.profile_tools": _TOOLS,
    "bluesky_queueserver.manager.annotation_decorator": _DECORATOR,
}
"""Names that startup code finds, by the module in which it looks for them."""


class _HelperLoader(Loader):
    """Loads a module, made up or installed, and puts the helpers into it."""

    def __init__(self, installed: Loader | None) -> None:
        self._installed = installed

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._installed.create_module(spec) if self._installed is not None else None

    def exec_module(self, module: ModuleType) -> None:
        if self._installed is not None:
            self._installed.exec_module(module)
        vars(module).update(PROVIDED[module.__name__])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._installed, name)


class _HelperFinder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in PROVIDED:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = find(fullname, path, target) if find is not None and finder is not self else None
            if spec is not None:
                spec.loader = _HelperLoader(spec.loader)
                return spec  # type: ignore[no-any-return]
        is_package = any(name.startswith(f"{fullname}.") for name in PROVIDED)
        return importlib.machinery.ModuleSpec(fullname, _HelperLoader(None), is_package=is_package)


def install() -> None:
    """Let imports find the helpers from now on; repeated calls change nothing."""
    if not any(isinstance(finder, _HelperFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _HelperFinder())
    for name, provided in PROVIDED.items():
        if name in sys.modules:
            vars(sys.modules[name]).update(provided)
