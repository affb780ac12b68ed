"""The opened environment: namespace, lists, permissions and RunEngine."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from queueserver_common import loggers
from queueserver_common.descriptions import DeviceDescription, PlanDescription
from queueserver_common.link.messages import EnvironmentFailed, EnvironmentReady, ListsChanged
from queueserver_common.link.worker_config import WorkerConfig
from queueserver_common.permissions import GroupLists, Permissions, PermissionsError, compute_allowed
from queueserver_common.permissions_file import load_permissions_file
from queueserver_common.validation import GroupValidator
from queueserver_worker.describe import KnownPlans, PlanDescriptionError, existing_devices, existing_plans
from queueserver_worker.prepare import PlanPreparationError, PreparedPlan, prepare_plan
from queueserver_worker.profile import StartupError, load_startup
from queueserver_worker.profile.home import problem_of_home
from queueserver_worker.profile.revision import startup_revision
from queueserver_worker.profile.script import run_script
from queueserver_worker.runtime.instrument_lock import InstrumentTakenError
from queueserver_worker.runtime.kernel import KernelUnavailableError
from queueserver_worker.runtime.outcome import error_text, error_traceback, printable
from queueserver_worker.runtime.run_engine import Engine, find_run_engine, make_run_engine
from queueserver_worker.runtime.state import WorkerState, engine_replaced

_log = logging.getLogger(loggers.WORKER)

PERMISSIONS_FILE = "user_group_permissions.yaml"

_FILE_ERRORS = ("FileNotFoundError", "NotADirectoryError", "OSError", "PermissionError")


class Environment:
    """What the startup code made, and what each group may use of it."""

    def __init__(self, permissions: Permissions | None, state: WorkerState) -> None:
        self.plans: dict[str, PlanDescription] = {}
        self.devices: dict[str, DeviceDescription] = {}
        self.engine: Engine | None = None
        self._state = state
        self._namespace: dict[str, Any] = {}
        self._known_plans = KnownPlans()
        self._listing = threading.Lock()
        self._max_depth = 0
        self._ignore_invalid = False
        self._revision = ""
        self._permissions = permissions
        self._groups: dict[str, tuple[GroupLists, GroupValidator]] | None = None

    def open(self, config: WorkerConfig) -> EnvironmentReady:
        """Load the startup code and describe what it made; raises StartupError and PlanDescriptionError."""
        revision = config.startup_revision or startup_revision(config.startup)
        self._namespace = load_startup(config.startup, (config.kernel or {}).get("profile_startup", ""))
        if config.create_run_engine:
            make_run_engine(self._namespace, keep=config.keep_run_engine)
        self._revision = revision
        self._take_engine()
        if self.engine is None:
            _log.warning("The startup code makes no RunEngine named 'RE': plans cannot be run.")
        self._max_depth, self._ignore_invalid = config.device_max_depth, config.ignore_invalid_plans
        self.devices, self.plans = self._look_at_namespace()
        # What the manager has sent meanwhile counts; it is told of the file all the same.
        found = self._permissions_beside(config) if config.permissions is None else None
        if found is not None and self._permissions is None:
            self.set_permissions(found)
        text = None if found is None else _json(found.as_mapping())
        return EnvironmentReady(_json(self.plans), _json(self.devices), text, revision)

    def metadata(self) -> object:
        """The metadata of the RunEngine; raises LookupError when there is none and AttributeError without metadata."""
        if self.engine is None:
            raise LookupError("RE")
        return self.engine.metadata

    def _take_engine(self) -> None:
        """Use the RunEngine that the namespace holds now."""
        found = find_run_engine(self._namespace)
        if found is None:
            self.engine = None
            self._state.change(lambda view: engine_replaced(view, None))
        elif self.engine is None or not self.engine.calls(found):
            self.engine = Engine(found, self._state)
            self.engine.note("startup_revision", self._revision)

    def _look_at_namespace(self) -> tuple[dict[str, DeviceDescription], dict[str, PlanDescription]]:
        names = dict(self._namespace)  # code in other threads may add to it meanwhile
        devices = existing_devices(names, self._max_depth)
        return devices, existing_plans(names, self._ignore_invalid, devices=devices, known=self._known_plans)

    def run_script(self, text: str, name: str, *, update_re: bool) -> None:
        """Execute a client's script; raises whatever it raises."""
        before = self._namespace.get("RE")
        try:
            run_script(text, name, self._namespace, update_re=update_re)
        finally:
            if update_re and self._state.view.item_uid and self._namespace.get("RE") is not before:
                self._namespace["RE"] = before
                raise RuntimeError("'RE' cannot be replaced while a plan is in hand; it is the one that it was.")
            if update_re:
                self._take_engine()

    def call_function(self, name: str, group: object, args: list[Any], kwargs: Mapping[str, Any]) -> object:
        """Call a function of the namespace for a user group; raises whatever it raises."""
        permissions = self._permissions
        if permissions is None or not isinstance(group, str) or not permissions.function_allowed(name, group):
            raise PermissionError(f"Function '{name}' is not allowed for users from '{group}' group.")
        if name not in self._namespace:
            raise NameError(f"Function '{name}' is not found in the worker namespace")
        function = self._namespace[name]
        if not callable(function):
            raise TypeError(f"'{name}' of the worker namespace is not a function: it is a {type(function).__name__}")
        result: object = function(*args, **kwargs)
        return result

    def update_lists(self, *, anew: bool) -> ListsChanged | None:
        """Describe the namespace again; None when nothing has changed. Raises PlanDescriptionError.

        Plans that are what they were are not described again, unless all is to be looked at `anew`.
        """
        with self._listing:
            if anew:
                self._known_plans.forget()
            devices, plans = self._look_at_namespace()
            if devices == self.devices and plans == self.plans:
                return None
            self.devices, self.plans = devices, plans
            self._groups = None
            return ListsChanged(_json(plans), _json(devices))

    def set_permissions(self, permissions: Permissions) -> None:
        """Use other permissions from the next item on; from any thread."""
        if permissions != self._permissions:
            self._permissions = permissions
            self._groups = None

    def compile_permissions(self) -> None:
        """Compute what each group may use, so that the first item need not wait for it."""
        permissions = self._permissions
        if permissions is None:
            return
        allowed = compute_allowed(self.plans, self.devices, permissions)
        groups = {group: (lists, GroupValidator(lists)) for group, lists in allowed.items()}
        # Permissions that came meanwhile are computed with the next item.
        if permissions is self._permissions:
            self._groups = groups

    def prepare(self, item: Mapping[str, Any]) -> PreparedPlan:
        """Turn an item into a call of its plan; raises PlanPreparationError."""
        while (groups := self._groups) is None:
            if self._permissions is None:
                raise PlanPreparationError("The worker has no user group permissions: nothing is allowed.")
            self.compile_permissions()
        group = item.get("user_group")
        if not isinstance(group, str) or group not in groups:
            raise PlanPreparationError(f"Unknown user group: '{printable(str(group))}'")
        return prepare_plan(item, self._namespace, *groups[group])

    def _permissions_beside(self, config: WorkerConfig) -> Permissions | None:
        """Permissions from the file beside the startup code, for a manager that cannot read it."""
        if config.startup.kind != "directory":
            return None
        path = Path(config.startup.value) / PERMISSIONS_FILE
        if not path.is_file():
            return None
        try:
            return load_permissions_file(path)
        except PermissionsError as error:
            _log.error("%s", error)
            return None


def describe_failure(error: BaseException) -> EnvironmentFailed:
    """The report of an opening that failed."""
    if isinstance(error, StartupError):
        return EnvironmentFailed(
            printable(_with_reason(error)),
            printable(error.exception),
            printable(error.file),
            error.line,
            printable(error.traceback),
        )
    if isinstance(error, PlanDescriptionError | InstrumentTakenError | KernelUnavailableError):
        return EnvironmentFailed(error_text(error), type(error).__name__)
    name = type(error).__name__
    return EnvironmentFailed(f"{name}: {error_text(error)}", name, traceback=error_traceback(error))


def _with_reason(error: StartupError) -> str:
    """The message, and what may well be the reason of a file error."""
    home = problem_of_home() if error.exception in _FILE_ERRORS else ""
    return f"{error.message} {home}".rstrip()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")
