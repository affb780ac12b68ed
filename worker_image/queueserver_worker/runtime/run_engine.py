"""The environment's RunEngine: calls of it, and what it reports about itself."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Generator, Mapping
from typing import Any, Protocol, cast

from queueserver_common import loggers
from queueserver_worker.runtime.outcome import EngineReturn, WayOut, printable
from queueserver_worker.runtime.state import WorkerState, engine_changed, run_closed, run_opened

_log = logging.getLogger(loggers.WORKER)

_LARGEST_SCAN_ID = 2**63 - 1


class BlueskyEngine(Protocol):
    """The part of `bluesky.RunEngine` that the worker uses (bluesky publishes no types)."""

    md: Any
    state_hook: Callable[[Any, Any], object] | None
    context_managers: list[Any]
    preprocessors: list[Callable[[Any], Any]]

    @property
    def state(self) -> object: ...

    def __call__(self, plan: object, subs: Mapping[str, object], /, **metadata_kw: Any) -> object: ...

    def resume(self) -> object: ...

    def stop(self) -> object: ...

    def abort(self, reason: str = "") -> object: ...

    def halt(self) -> object: ...

    def request_pause(self, defer: bool = False) -> object: ...


def find_run_engine(namespace: Mapping[str, Any]) -> BlueskyEngine | None:
    """The RunEngine that startup code named `RE`; None when there is none."""
    bluesky = sys.modules.get("bluesky.run_engine")
    candidate = namespace.get("RE")
    if bluesky is None or not isinstance(candidate, bluesky.RunEngine):
        return None
    return cast(BlueskyEngine, candidate)


def make_run_engine(namespace: dict[str, Any], *, keep: bool) -> None:
    """Put a RunEngine named `RE` into the namespace; with `keep` only where startup code has made none."""
    if find_run_engine(namespace) is not None:
        if keep:
            return
        _log.warning("The RunEngine RE of the startup code is replaced by one of the worker.")
    from bluesky import RunEngine

    namespace["RE"] = RunEngine({})
    _log.info("The worker has made the RunEngine RE.")


class Engine:
    """Calls the RunEngine and keeps `WorkerState` up to date with it.

    `call`, `resume` and `finish` belong to the main thread: bluesky installs signal handlers there, and an abort of
    a paused plan from elsewhere leaves the RunEngine stuck. `request_pause` and `abort_running` block until
    bluesky's own thread is free and therefore belong to a helper thread.
    """

    def __init__(self, run_engine: BlueskyEngine, state: WorkerState) -> None:
        from bluesky.utils import RunEngineInterrupted, SigintHandler

        self._engine = run_engine
        self._state = state
        self._interrupted: type[Exception] = RunEngineInterrupted
        self._way_out: WayOut | None = None
        self._users_hook = run_engine.state_hook
        run_engine.state_hook = self._follow
        if state.view.kernel_state == "disabled":
            # Ctrl-C is not for a plain worker, and the handler would start a thread for every plan.
            run_engine.context_managers = [m for m in run_engine.context_managers if m is not SigintHandler]
        state.change(lambda view: engine_changed(view, self.state))

    def calls(self, run_engine: BlueskyEngine) -> bool:
        """Whether this is the RunEngine that is called."""
        return self._engine is run_engine

    def note(self, key: str, value: str) -> None:
        """Put a value into the metadata of all runs; an empty one takes away what an earlier opening left there."""
        try:
            if value:
                self._engine.md[key] = value
            else:
                self._engine.md.pop(key, None)
        except Exception as error:
            _log.warning("The metadata of the RunEngine do not take '%s': %s", key, error)

    @property
    def metadata(self) -> object:
        """What the profile keeps its metadata in: a mapping of any kind, also one that reads files or a server."""
        return self._engine.md

    @property
    def state(self) -> str:
        """The RunEngine's own word for its state."""
        return str(self._engine.state)

    @property
    def way_out(self) -> WayOut | None:
        """How the plan was ended before its time; None when it was not."""
        return self._way_out

    def call(self, plan: object, meta: Mapping[str, Any]) -> EngineReturn:
        """Run a plan until it ends or pauses."""
        self._way_out = None
        subscriptions = {"start": self._run_opened, "stop": self._run_closed}
        self._engine.preprocessors.append(_keep_exits_inside)
        try:
            return self._enter(lambda: self._engine(plan, subscriptions, **meta))
        finally:
            self._engine.preprocessors.remove(_keep_exits_inside)

    def resume(self) -> EngineReturn:
        """Continue the paused plan until it ends or pauses."""
        return self._enter(self._engine.resume)

    def finish(self, how: str, reason: str = "") -> EngineReturn:
        """Stop, abort or halt the paused plan."""
        if how == "abort":
            return self._enter(lambda: self._engine.abort(reason))
        return self._enter({"stop": self._engine.stop, "halt": self._engine.halt}[how])

    def request_pause(self, deferred: bool) -> None:
        """Ask the running plan to pause; raises what the RunEngine raises when it is too late for that."""
        self._engine.request_pause(deferred)

    def abort_running(self, reason: str) -> None:
        """Abort the running plan; raises what the RunEngine raises when it is too late for that."""
        self._engine.abort(reason)

    def _enter(self, function: Callable[[], object]) -> EngineReturn:
        try:
            function()
        except self._interrupted:
            return EngineReturn(interrupted=True)
        except BaseException as error:
            return EngineReturn(error=error)
        return EngineReturn()

    def _follow(self, new: object, old: object) -> None:
        new_name, old_name = str(new), str(old)
        if new_name in ("stopping", "aborting", "halting"):
            self._way_out = (old_name, new_name)
        self._state.change(lambda view: engine_changed(view, new_name))
        if self._users_hook is not None:
            self._users_hook(new, old)

    def _run_opened(self, _: str, document: Mapping[str, Any]) -> None:
        uid, scan_id = printable(str(document["uid"])), _as_scan_id(document.get("scan_id"))
        self._state.change(lambda view: run_opened(view, uid, scan_id))

    def _run_closed(self, _: str, document: Mapping[str, Any]) -> None:
        uid, exit_status = printable(str(document["run_start"])), printable(str(document["exit_status"]))
        self._state.change(lambda view: run_closed(view, uid, exit_status))


def _as_scan_id(value: object) -> int:
    """The scan id of a run; 0 when the profile's own scan ids are no integers that fit into 64 bits."""
    try:
        number = int(value)  # type: ignore[call-overload]  # any object may stand here
    except (TypeError, ValueError, OverflowError):
        return 0
    return number if abs(number) <= _LARGEST_SCAN_ID else 0


def _keep_exits_inside(plan: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Let `exit()` in a plan fail the plan: it would end bluesky's thread, and the main thread would wait for ever."""
    try:
        return (yield from plan)
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"the plan raised {type(error).__name__}, which would end the worker") from error
