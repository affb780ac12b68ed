"""The running operator: its parts put together, and the order in which they start."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import kopf

from queueserver_operator.api_error import ApiError
from queueserver_operator.apply import Applier
from queueserver_operator.audit import Audit
from queueserver_operator.configuration import Configuration
from queueserver_operator.decide import decide
from queueserver_operator.events import EventPoster
from queueserver_operator.family import Family
from queueserver_operator.handlers import register_handlers
from queueserver_operator.health import Health, serving
from queueserver_operator.kinds import ENVIRONMENT, QUEUE_SERVER
from queueserver_operator.kubernetes_api import KubernetesApi, connected
from queueserver_operator.login import register_login
from queueserver_operator.lookups import Lookups
from queueserver_operator.model import FIELD_MANAGER, Plan
from queueserver_operator.observe import Observer
from queueserver_operator.observed import Observed
from queueserver_operator.reconcile import Reconciler
from queueserver_operator.settings import kopf_settings
from queueserver_operator.store import Store
from queueserver_operator.work_queue import WorkQueue

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0

logger = logging.getLogger(__name__)


async def run(configuration: Configuration) -> None:
    """Operate until a signal ends the process, or raise when a watch fails for good."""
    health = Health()
    async with (
        serving(health, configuration.health_port) as port,
        connected(FIELD_MANAGER) as api,
        _beside(health.measure()),
    ):
        logger.info("health and metrics on port %d", port)
        await _definitions(api, health)
        await _operate(api, configuration, health)


async def _operate(api: KubernetesApi, configuration: Configuration, health: Health) -> None:
    options = configuration.options
    store, lookups, events = Store(), Lookups(api), EventPoster(api, options.identity)

    def wake(family: Family) -> None:
        # Locks of other operators' families may lie in the same namespace as ours.
        if not configuration.namespaces or family.namespace in configuration.namespaces:
            queue.wake(family)

    def decide_now(seen: Observed, now: float) -> Plan:
        return decide(seen, options, now)

    applier = Applier(api, store, lookups, events.post)
    observer = Observer(api, store, lookups, applier.refusals, options.lock_namespace)
    reconciler = Reconciler(observer, applier, decide_now, options.identity, wake)
    queue: WorkQueue[Family] = WorkQueue(reconciler.reconcile)
    audit = Audit(api, store, wake, configuration.scopes, configuration.lock_scopes)
    health.behind = audit.behind
    registry = kopf.OperatorRegistry()
    register_login(registry)
    register_handlers(registry, store, wake)
    logger.info(
        "operator %s %s serves %s",
        options.identity,
        options.version,
        ", ".join(configuration.namespaces) or "all namespaces",
    )
    async with _beside(_begin(audit, queue, health)), _beside(events.run()):
        try:
            await kopf.operator(
                registry=registry,
                settings=kopf_settings(),
                standalone=True,
                clusterwide=not configuration.namespaces,
                namespaces=configuration.namespaces,
            )
        finally:
            await queue.close()


async def _begin(audit: Audit, queue: WorkQueue[Family], health: Health) -> None:
    """Decide nothing before everything is known: on half of what there is, a lock might be released too early."""
    health.waiting_for = "the operator is still reading what there is"
    await _until(audit.learn_completely, health)
    health.waiting_for = ""
    queue.open()
    await audit.run()


async def _definitions(api: KubernetesApi, health: Health) -> None:
    """Wait until both CRDs are installed: kopf looks for them once."""

    async def installed() -> bool:
        missing = [kind.plural for kind in (QUEUE_SERVER, ENVIRONMENT) if not await api.served(kind)]
        if missing:
            reason = f"the CRDs of {' and '.join(missing)} are not installed (kubectl apply --server-side -f crds/)"
            if reason != health.waiting_for:
                logger.warning("waiting: %s", reason)
            health.waiting_for = reason
        return not missing

    await _until(installed, health)


async def _until(done: Callable[[], Awaitable[bool]], health: Health) -> None:
    """Ask until the answer is yes; the API server may be away for a while."""
    pause = _FIRST_PAUSE
    while True:
        try:
            if await done():
                return
        except ApiError as error:
            logger.warning("waiting: %s", error)
            health.waiting_for = str(error)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something beside the body; when it fails, the body is ended with its error."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            yield
        finally:
            task.cancel()
