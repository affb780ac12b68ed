"""Requests of clients: looked up in the method table, checked, decided or refused."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from queueserver_manager.core.audit import record_request
from queueserver_manager.core.conclude import conclude
from queueserver_manager.core.decision import Decision, Reply, failure
from queueserver_manager.core.handlers import HANDLERS
from queueserver_manager.core.locks import check_key
from queueserver_manager.core.methods import METHODS, Guard, Method
from queueserver_manager.core.parameters import Params, check_lock_key, check_supported
from queueserver_manager.core.refusal import Code, Refusal
from queueserver_manager.core.submission import check_queue_uid

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core


def check_lock(core: Core, guard: Guard, key: str | None) -> None:
    """Raise `Refusal` when the lock guards the method and the key does not open it (zmq-api 2.1)."""
    lock = core.state.lock
    if lock is not None and (lock.queue if guard is Guard.QUEUE else lock.environment):
        check_key(lock, key, emergency_key=bool(core.settings.emergency_lock_key))


class StoreAway(Refusal):
    """The store cannot be reached or takes no writes, and the request needs it; `reason` is a sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The manager cannot do this without its Redis server. {reason} "
            "Nothing was changed; send the request again when the status shows 'store': 'connected'.",
            code=Code.STORE_AWAY,
        )


class Work:
    """A request that is decided in steps, so that others are answered meanwhile."""

    def __init__(
        self, core: Core, method: Method, steps: Generator[None, None, Reply], decision: Decision, params: Params
    ) -> None:
        self._core = core
        self._method = method
        self._steps = steps
        self._decision = decision
        self._params = params

    def advance(self, now: float, out_of_time: Callable[[], bool]) -> Decision | None:
        """Go on until the decision is made (returned) or the time is over (None)."""
        try:
            while True:
                next(self._steps)
                if out_of_time():
                    return None
        except StopIteration as end:
            self._decision.reply = end.value
        except Refusal as refusal:
            return refuse(self._core, self._method, refusal)
        if self._method.changes_something and not self._decision.repeated:
            record_request(self._core, self._method.name, self._params, self._decision, now)
        return conclude(self._core, self._decision, now)


def decide(core: Core, name: str, params: object, now: float) -> Decision | Work:
    """Decide a request of any method but `ping` and `status`."""
    method = METHODS.get(name)
    if method is None:
        return Decision(reply=failure(f"Unknown method '{name}'", Code.UNKNOWN_METHOD))
    decision = Decision()
    try:
        checked = check_supported(params, method.parameters)
        _check(core, method, checked)
        reply = HANDLERS[name](core, checked, decision, now)
        if isinstance(reply, Generator):
            return Work(core, method, reply, decision, checked)
    except Refusal as refusal:
        return refuse(core, method, refusal)
    decision.reply = reply
    if method.changes_something and not decision.repeated:
        record_request(core, name, checked, decision, now)
    return conclude(core, decision, now)


def _check(core: Core, method: Method, params: Params) -> None:
    if method.lock is not None:
        check_lock(core, method.lock, check_lock_key(params))
    for parameter in method.parameters:
        parameter.check(params)
    if method.needs_store and not core.store_connected:
        raise StoreAway(core.store_problem)
    check_queue_uid(core, params)


def refuse(core: Core, method: Method, refusal: Refusal) -> Decision:
    """The reply to a refused request: nothing is changed."""
    msg = f"{method.prefix}{refusal.msg}" if refusal.prefixed else refusal.msg
    values = dict(method.failure)
    if "items" in values and method.name == "queue_item_add_batch" and "qsize" not in refusal.extra:
        values["qsize"] = len(core.state.queue)
    known = {k: v for k, v in refusal.extra.items() if k in values}
    return Decision(reply=failure(msg, refusal.code, **(values | known)))
