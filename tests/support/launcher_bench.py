"""A launcher of pods in a world of its own, and what it reports."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import uvloop

from cluster_world import QUEUE_SERVER, Road, World
from queueserver_common.cluster import environment_name
from queueserver_manager.cluster.api_server import ApiServer
from queueserver_manager.launch.interface import (
    Record,
    Sighting,
    WorkerEnd,
)
from queueserver_manager.launch.kubernetes import KubernetesLauncher

DEADLINE = 20.0


@dataclass
class Reports:
    """What the launcher reported, and the worker's link as the test wants it."""

    heard: bool = False
    found: list[Record] = field(default_factory=list)
    ends: list[WorkerEnd] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    asked: list[tuple[str, float]] = field(default_factory=list)

    def worker_found(self, opening_id: str, record: Record) -> None:
        self.found.append(record)

    def worker_ended(self, end: WorkerEnd) -> None:
        self.ends.append(end)

    def worker_ending(self, opening_id: str, cause: str) -> None:
        self.endings.append(cause)

    def opening_waits(self, opening_id: str, reason: str) -> None:
        self.waits.append(reason)

    def opening_failed(self, opening_id: str, reason: str) -> None:
        self.failures.append(reason)

    def environment_deleted(self, opening_id: str) -> None:
        self.deleted.append(opening_id)

    def environment_applied(self, opening_id: str, record: Record) -> None:
        self.applied.append(opening_id)

    def is_heard(self, opening_id: str) -> bool:
        return self.heard

    def ask_to_end(self, opening_id: str, grace: float, cause: str) -> None:
        self.asked.append((opening_id, grace))


class Bench:
    """A launcher in a world, and one opening."""

    def __init__(self, world: World, road: Road) -> None:
        self.world = world
        self.road = road
        self.reports = Reports()
        self.opening_id = str(uuid.uuid4())
        self.name = environment_name(QUEUE_SERVER, self.opening_id)
        self.launcher: KubernetesLauncher

    @contextlib.asynccontextmanager
    async def running(
        self,
        *,
        deadline: float = 60.0,
        adopt: Record | str = "",
        now: Callable[[], float] = time.time,
        patience: float = 60.0,
    ) -> AsyncIterator[KubernetesLauncher]:
        """A launcher that has begun; `adopt` is the record of an opening, or "unrecorded"."""
        api = ApiServer("127.0.0.1", str(self.road.port), self.world.token_dir)
        self.launcher = KubernetesLauncher(
            api, self.world.namespace, QUEUE_SERVER, self.reports, deadline, now, patience
        )
        if adopt:
            assert self.launcher.adopt(self.opening_id, None if adopt == "unrecorded" else adopt) is None
        self.launcher.begin()
        try:
            yield self.launcher
        finally:
            await self.launcher.close()
            await api.close()

    async def until(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, f"timed out waiting for {what}: {self.reports}"
            await asyncio.sleep(0.01)

    async def open(self) -> Record:
        return await self.launcher.start(self.opening_id, "", None)

    async def open_with_pod(self) -> str:
        """An opening whose pod runs; returns the pod's uid."""
        await self.open()
        uid = self.world.make_pod(self.name)
        self.world.place_pod(self.name)
        self.world.run_pod(self.name)
        await self.until(lambda: self.reports.found and self.reports.found[-1]["pod_uid"] == uid, "the pod")
        self.reports.heard = True
        self.launcher.recognise(Sighting(self.opening_id, "pod", 7, uid))
        return uid

    async def end(self) -> WorkerEnd:
        await self.until(lambda: self.reports.ends, "the end")
        assert len(self.reports.ends) == 1
        return self.reports.ends[0]

    async def gone(self) -> None:
        await self.until(lambda: self.name not in self.world.environments(), "the deletion of the WorkerEnvironment")

    async def seen(self) -> None:
        """Return when the launcher has seen everything that is true now: it offers what is applied last."""
        marker = uuid.uuid4().hex
        self.world.apply_environment(marker)
        name = environment_name(QUEUE_SERVER, marker)
        await self.until(lambda: name in self.launcher._environments, "the news")
        self.world.delete_environment(name)

    def run(self, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def with_deadline() -> None:
            async with asyncio.timeout(2 * DEADLINE):
                await scenario()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(with_deadline())
