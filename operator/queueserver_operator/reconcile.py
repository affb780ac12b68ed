"""One round after the other for a family: observe, decide, apply, until there is nothing left to do."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from queueserver_operator.api_error import ApiError
from queueserver_operator.apply import Applier, Outcome
from queueserver_operator.family import Family
from queueserver_operator.kinds import QUEUE_SERVER
from queueserver_operator.metrics import RECONCILE_SECONDS, RECONCILIATIONS, show_queue_server
from queueserver_operator.model import Plan, Ref
from queueserver_operator.observe import Observer, Sight
from queueserver_operator.observed import Observed
from queueserver_operator.reading import condition, text
from queueserver_operator.trouble import trouble_status, troubled

Decide = Callable[[Observed, float], Plan]
"""From what is seen and the time, in seconds since the epoch, to what is to be done; pure."""

RESYNC = 60.0
"""Seconds after which a family is looked at again although nothing was seen to change."""

_MOST_ROUNDS = 12
_SOON = 1.0
_NAMESPACE_PAUSE = 10.0

logger = logging.getLogger(__name__)


class TryAgain(Exception):
    """Something failed that may pass; the message says what."""


class Reconciler:
    """Reconciles families; see `reconcile`."""

    def __init__(
        self,
        observer: Observer,
        applier: Applier,
        decide: Decide,
        identity: str,
        wake: Callable[[Family], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._observer = observer
        self._applier = applier
        self._decide = decide
        self._identity = identity
        self._left_alone: set[Family] = set()
        self._wake = wake
        self._clock = clock

    async def reconcile(self, family: Family) -> float | None:
        """Bring a family to what its QueueServer says, as far as that is possible now.

        Returns:
            Seconds after which to look again; None: there is nothing left of the family.

        Raises:
            TryAgain: a request failed that may succeed later.
        """
        started = time.monotonic()
        result = "error"
        try:
            delay = await self._rounds(family)
            result = "done"
        except (TryAgain, ApiError) as error:
            raise TryAgain(str(error)) from None
        except Exception as error:
            logger.exception("%s: the operator failed", family)
            await self._tell(family, error)
            raise TryAgain(f"the operator failed with {type(error).__name__}") from None
        finally:
            RECONCILE_SECONDS.observe(time.monotonic() - started)
            RECONCILIATIONS.labels(result).inc()
        return delay

    async def _rounds(self, family: Family) -> float | None:
        for _ in range(_MOST_ROUNDS):
            sight = await self._observer.observe(family)
            if _nothing_left(sight):
                self._forget(family)
                return None
            plan = self._decide(sight.observed, self._clock())
            outcome = await self._applier.carry_out(family, plan)
            for other in self._observer.waiting_for(outcome.released):
                self._wake(other)
            if outcome.namespace_ending:
                logger.info("%s: the namespace is being deleted", family)
                return _NAMESPACE_PAUSE
            if failed := [error for error in outcome.failures if error.passing or error.conflict]:
                raise TryAgain(str(failed[0]))
            if not _news(outcome):
                self._show(family)
                return _pause(plan, sight)
        logger.info("%s: not settled after %d rounds, going on in a moment", family, _MOST_ROUNDS)
        return _SOON

    def _show(self, family: Family) -> None:
        """Bring metrics and log up to date with the status of the QueueServer."""
        body = self._observer.queue_server(family)
        phase = text(body, "status", "environment", "phase") or ("closed" if body is not None else "")
        pending = text(condition(body, "RolloutPending"), "status") == "True"
        show_queue_server(family.namespace, family.name, phase, pending)
        other = text(body, "status", "operator", "identity")
        if other and other != self._identity and family not in self._left_alone:
            self._left_alone.add(family)
            logger.warning("%s is looked after by the operator %s and is left alone", family, other)
        elif other == self._identity:
            self._left_alone.discard(family)

    def _forget(self, family: Family) -> None:
        self._applier.forget(family)
        self._left_alone.discard(family)
        show_queue_server(family.namespace, family.name, "", False)

    async def _tell(self, family: Family, error: Exception) -> None:
        """Say in the status that the operator itself failed; its log has the details."""
        try:
            body = self._observer.queue_server(family)
            if body is None:
                return
            message = f"The operator failed with {type(error).__name__}; its log has the details."
            if not troubled(body, message):
                await self._applier.write_status(_ref(body), trouble_status(body, message, self._clock()))
        except Exception:  # the first failure is what counts
            logger.exception("%s: its status could not be written either", family)


def _nothing_left(sight: Sight) -> bool:
    seen = sight.observed
    return seen.queue_server is None and not seen.environments and not seen.leases


def _news(outcome: Outcome) -> bool:
    """Whether the next round may decide something else than this one."""
    return bool(outcome.writes or outcome.held or outcome.refused)


def _pause(plan: Plan, sight: Sight) -> float:
    resync = RESYNC * random.uniform(0.9, 1.1)  # noqa: S311 - spreads the families
    wishes = [wish for wish in (plan.requeue, sight.look_again) if wish is not None]
    return max(0.05, min((resync, *wishes)))


def _ref(queue_server: Mapping[str, Any]) -> Ref:
    return Ref(QUEUE_SERVER.name, text(queue_server, "metadata", "namespace"), text(queue_server, "metadata", "name"))
