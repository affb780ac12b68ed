"""The launcher of pods: what it makes, what it concludes, what it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

from cluster_world import QUEUE_SERVER, Road, World
from queueserver_common.cluster import CONFIRMED_DEAD_ANNOTATION, QUEUE_SERVER_LABEL, environment_name
from queueserver_common.link.messages import ExitStatus, ItemEnded
from queueserver_common.spool import TerminationMessage
from queueserver_manager.cluster.api_server import ApiServer
from queueserver_manager.launch.interface import (
    Launcher,
    LaunchError,
    LaunchReports,
    Record,
    Sighting,
    Stranger,
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
        self, *, deadline: float = 60.0, adopt: Record | str = "", now: Callable[[], float] = time.time
    ) -> AsyncIterator[KubernetesLauncher]:
        """A launcher that has begun; `adopt` is the record of an opening, or "unrecorded"."""
        api = ApiServer("127.0.0.1", str(self.road.port), self.world.token_dir)
        self.launcher = KubernetesLauncher(api, self.world.namespace, QUEUE_SERVER, self.reports, deadline, now)
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


@pytest.fixture
def bench(world: World, road: Road) -> Bench:
    return Bench(world, road)


def test_it_is_a_launcher(bench: Bench) -> None:
    def check(launcher: Launcher, reports: LaunchReports) -> None: ...

    async def scenario() -> None:
        async with bench.running() as launcher:
            check(launcher, bench.reports)

    bench.run(scenario)


# Openings -------------------------------------------------------------------------------------------------------


def test_an_opening_is_a_worker_environment_that_belongs_to_the_queue_server(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running():
            record = await bench.open()
            made = bench.world.environments()[bench.name]
            assert made["spec"] == {"queueServerRef": {"name": QUEUE_SERVER}, "openingId": bench.opening_id}
            assert made["metadata"]["labels"][QUEUE_SERVER_LABEL] == QUEUE_SERVER
            (owner,) = made["metadata"]["ownerReferences"]
            assert owner["uid"] == bench.world.queue_server["metadata"]["uid"]
            assert record["environment_uid"] == made["metadata"]["uid"]
            assert record["environment"] == bench.name

    bench.run(scenario)


def test_to_open_the_same_opening_again_is_a_success(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running():
            first = await bench.open()
            assert await bench.open() == first
            assert len(bench.world.environments()) == 1

    bench.run(scenario)


def test_an_opening_that_was_not_recorded_is_begun_again_by_the_next_manager(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running(adopt="unrecorded"):
            await bench.until(lambda: bench.reports.found, "the record")
            uid = bench.world.environments()[bench.name]["metadata"]["uid"]
            assert bench.reports.found[-1]["environment_uid"] == uid

    bench.run(scenario)


def test_without_the_api_server_an_opening_waits_and_is_made_when_it_is_back(bench: Bench) -> None:
    async def scenario() -> None:
        bench.road.cut()
        async with bench.running():
            opening = asyncio.ensure_future(bench.open())
            await asyncio.sleep(0.5)
            assert not opening.done()
            bench.road.mend()
            await opening
            assert bench.name in bench.world.environments()

    bench.run(scenario)


def test_an_opening_without_an_answer_fails_at_its_deadline_and_leaves_nothing(bench: Bench) -> None:
    async def scenario() -> None:
        bench.road.cut()
        async with bench.running(deadline=0.3):
            with pytest.raises(LaunchError, match=r"gave no answer for 0\.3 s; the environment is not opened"):
                await bench.open()
            bench.world.apply_environment(bench.opening_id)  # the request had arrived, only its answer was lost
            bench.road.mend()
            await bench.gone()

    bench.run(scenario)


def test_a_queue_server_that_is_gone_is_told(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running():
            path = f"{bench.world.resources}/queueservers/{QUEUE_SERVER}"
            assert bench.world.server.http.delete(path).is_success
            with pytest.raises(LaunchError, match=r"\"qs\" not found\. Are QueueServer and the CRDs there\?"):
                await bench.open()

    bench.run(scenario)


def test_what_the_operator_calls_failed_fails_with_its_sentence(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running():
            await bench.open()
            sentence = "The instrument 'beam' is held by other/qs-1234567890."
            condition = {
                "type": "Stalled",
                "status": "True",
                "reason": "InstrumentHeld",
                "message": sentence,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            bench.world.environment_status(bench.name, {"phase": "failed", "conditions": [condition]})
            await bench.until(lambda: bench.reports.failures, "the failure")
            assert bench.reports.failures == [sentence]
            bench.launcher.kill(bench.opening_id, 5.0)
            await bench.gone()
            assert "deleted before there was a pod" in (await bench.end()).cause

    bench.run(scenario)


def test_an_opening_whose_worker_does_not_come_fails_at_its_deadline_and_tells_what_it_waits_for(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running(deadline=0.5):
            await bench.open()
            condition = {
                "type": "Ready",
                "status": "False",
                "reason": "WaitingForInstrument",
                "message": "The instrument 'beam' is held by other/qs-1234567890.",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            bench.world.environment_status(bench.name, {"phase": "waiting", "conditions": [condition]})
            await bench.until(lambda: bench.reports.failures, "the failure")
            assert "has not come up" in bench.reports.failures[0]
            assert bench.reports.failures[0].endswith("The instrument 'beam' is held by other/qs-1234567890.")

    bench.run(scenario)


# The end of a worker ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exit_code", "reason", "cause"),
    [
        (137, "OOMKilled", "the worker's container was killed for want of memory (OOMKilled)"),
        (137, "Error", "the worker's container was killed by SIGKILL (exit code 137)"),
        (1, "Error", "the worker's container ended with exit code 1"),
    ],
)
def test_a_container_that_terminated_is_an_end_with_its_reason_and_stays_for_its_log(
    bench: Bench, exit_code: int, reason: str, cause: str
) -> None:
    async def scenario() -> None:
        async with bench.running():
            await bench.open_with_pod()
            bench.world.end_pod(bench.name, exit_code, reason, "last words")
            end = await bench.end()
            assert (end.cause, end.exit_code, end.output) == (cause, exit_code, "last words")
            await bench.seen()
            assert bench.name in bench.world.environments()

    bench.run(scenario)


def test_the_next_opening_clears_what_the_last_left(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running() as launcher:
            await bench.open_with_pod()
            bench.world.end_pod(bench.name, 1)
            await bench.end()
            await launcher.start(str(uuid.uuid4()), "", None)
            await bench.gone()

    bench.run(scenario)


def test_what_was_left_is_cleared_after_a_day(bench: Bench) -> None:
    later = 25 * 3600.0

    async def scenario() -> None:
        async with bench.running():
            await bench.open_with_pod()
            bench.world.end_pod(bench.name, 1)
            await bench.end()
        async with bench.running(now=lambda: time.time() + later):
            await bench.gone()

    bench.run(scenario)


def test_an_end_that_the_worker_could_not_report_is_in_the_message_of_its_container(
    bench: Bench, tmp_path: Any
) -> None:
    ended = ItemEnded("item", ExitStatus.COMPLETED, 1.0, 2.0, ("run",), (3,))
    file = tmp_path / "termination-log"
    TerminationMessage(str(file)).write(ended)

    async def scenario() -> None:
        async with bench.running():
            await bench.open_with_pod()
            bench.world.end_pod(bench.name, 137, "OOMKilled", file.read_text())
            end = await bench.end()
            assert end.unreported == (ended,)
            assert end.output == ""

    bench.run(scenario)


def test_a_pod_that_somebody_deletes_is_told_at_once_and_ends_with_its_container(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running():
            await bench.open_with_pod()
            bench.world.delete_pod(bench.name)
            await bench.until(lambda: bench.reports.endings, "the news")
            assert bench.reports.endings == ["the worker's pod was deleted"]
            await bench.seen()
            assert bench.reports.ends == [], "a deletion proves nothing"
            bench.world.end_pod(bench.name, 0, "Completed")
            bench.world.remove_pod(bench.name)
            assert (await bench.end()).cause == "the worker's pod was deleted"

    bench.run(scenario)


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("EvictionByEvictionAPI", "the worker's pod was evicted"),
        ("DeletionByTaintManager", "the worker's pod was deleted because of a taint on its node"),
    ],
)
def test_who_ends_a_pod_is_told(bench: Bench, reason: str, cause: str) -> None:
    async def scenario() -> None:
        async with bench.running():
            await bench.open_with_pod()
            bench.world.pod_condition(bench.name, "DisruptionTarget", reason)
            bench.world.delete_pod(bench.name)
            await bench.until(lambda: bench.reports.endings, "the news")
            assert bench.reports.endings == [cause]
            bench.world.end_pod(bench.name, 137)
            end = await bench.end()
            assert end.cause == f"{cause}, its container was killed by SIGKILL (exit code 137)"

    bench.run(scenario)


def test_a_pod_removed_by_force_is_unreachable_until_its_worker_is_silent(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running() as launcher:
            await bench.open_with_pod()
            bench.world.remove_pod(bench.name)
            await bench.until(lambda: bench.reports.asked, "the worker to be told to end")
            assert bench.reports.asked[0][0] == bench.opening_id
            await bench.seen()
            assert bench.reports.ends == [], "it is heard, so it lives"
            bench.reports.heard = False
            launcher.link_changed(bench.opening_id)
            assert "deleted" in (await bench.end()).cause

    bench.run(scenario)


def test_silence_alone_proves_nothing(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running() as launcher:
            await bench.open_with_pod()
            bench.reports.heard = False
            launcher.link_changed(bench.opening_id)
            await bench.seen()
            assert bench.reports.ends == []

    bench.run(scenario)


def test_a_node_that_is_gone_is_a_proof_when_the_worker_is_silent(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running() as launcher:
            await bench.open_with_pod()
            bench.world.environment_status(bench.name, {"end": {"proof": "NodeGone"}})
            await bench.until(lambda: bench.reports.asked, "the worker to be told to end")
            assert bench.reports.ends == []
            bench.reports.heard = False
            launcher.link_changed(bench.opening_id)
            assert (await bench.end()).cause == "the worker is lost: its node is gone"

    bench.run(scenario)


def test_an_administrator_can_confirm_that_a_worker_is_dead(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running():
            uid = await bench.open_with_pod()
            bench.reports.heard = False
            bench.world.annotate_environment(bench.name, CONFIRMED_DEAD_ANNOTATION, "the uid of another pod")
            await bench.seen()
            assert bench.reports.ends == []
            bench.world.annotate_environment(bench.name, CONFIRMED_DEAD_ANNOTATION, uid)
            assert (await bench.end()).cause == "an administrator confirmed that the worker is dead"

    bench.run(scenario)


def test_nothing_ends_while_the_api_server_is_away_and_what_happened_is_seen_afterwards(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running():
            await bench.open_with_pod()
            bench.road.cut()
            bench.world.end_pod(bench.name, 1)
            bench.world.remove_pod(bench.name)
            await asyncio.sleep(1.0)
            assert bench.reports.ends == []
            bench.reports.heard = False
            bench.road.mend()
            assert "container ended with exit code 1" in (await bench.end()).cause

    bench.run(scenario)


# Close and destroy ------------------------------------------------------------------------------------------------


def test_a_worker_that_left_in_order_takes_its_environment_with_it(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running() as launcher:
            await bench.open_with_pod()
            launcher.let_go(bench.opening_id)
            await bench.gone()
            await bench.seen()
            assert bench.reports.ends == [], "its end is not proved"
            assert bench.reports.deleted == [], "it was the manager itself"
            bench.world.end_pod(bench.name, 0, "Completed")
            assert (await bench.end()).exit_code == 0

    bench.run(scenario)


def test_a_kill_asks_over_the_link_and_deletes_the_environment(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running() as launcher:
            await bench.open_with_pod()
            launcher.kill(bench.opening_id, 5.0)
            assert bench.reports.asked == [(bench.opening_id, 5.0)]
            await bench.gone()
            bench.world.delete_pod(bench.name)  # as the garbage collector does
            bench.world.end_pod(bench.name, 0)
            assert (await bench.end()).exit_code == 0
            assert bench.reports.endings == []

    bench.run(scenario)


def test_a_kill_without_the_api_server_reaches_the_worker_and_is_completed_later(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running() as launcher:
            await bench.open_with_pod()
            bench.road.cut()
            launcher.kill(bench.opening_id, 5.0)
            assert bench.reports.asked == [(bench.opening_id, 5.0)]
            bench.road.mend()
            await bench.gone()

    bench.run(scenario)


def test_the_remains_of_a_failed_worker_are_kept(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running() as launcher:
            await bench.open_with_pod()
            launcher.kill(bench.opening_id, 5.0, keep_remains=True)
            bench.world.end_pod(bench.name, 3)
            assert (await bench.end()).exit_code == 3
            await bench.seen()
            assert bench.name in bench.world.environments()

    bench.run(scenario)


def test_who_deletes_the_environment_destroys_it(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running():
            await bench.open_with_pod()
            bench.world.delete_environment(bench.name)
            await bench.until(lambda: bench.reports.deleted, "the news")
            assert bench.reports.deleted == [bench.opening_id]
            assert bench.reports.ends == []

    bench.run(scenario)


def test_an_environment_deleted_while_the_api_server_was_away_is_noticed(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running():
            await bench.open_with_pod()
            bench.road.cut()
            bench.world.delete_environment(bench.name)
            bench.road.mend()
            await bench.until(lambda: bench.reports.deleted, "the news")

    bench.run(scenario)


# Another manager ----------------------------------------------------------------------------------------------------


def test_the_next_manager_watches_the_worker_of_a_recorded_opening(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running():
            await bench.open_with_pod()
            record = bench.reports.found[-1]
        async with bench.running(adopt=record):
            await bench.seen()
            assert bench.reports.ends == []
            bench.world.end_pod(bench.name, 137, "OOMKilled")
            assert "OOMKilled" in (await bench.end()).cause

    bench.run(scenario)


def test_the_next_manager_finds_that_the_worker_has_ended(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running():
            await bench.open_with_pod()
            record = bench.reports.found[-1]
        bench.reports.heard = False
        bench.world.remove_pod(bench.name)
        async with bench.running(adopt=record):
            assert (await bench.end()).cause == "the worker's pod is gone"
            await bench.gone()

    bench.run(scenario)


def test_a_worker_that_the_store_does_not_know_is_recognised_by_its_pod(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running():
            uid = await bench.open_with_pod()
        async with bench.running() as launcher:
            worker = Sighting(bench.opening_id, "pod", 7, uid)
            assert launcher.identify(worker) is Stranger.UNKNOWN, "nothing is known yet"
            await bench.until(lambda: launcher.identify(worker) is not Stranger.UNKNOWN, "the lists")
            found = launcher.identify(worker)
            assert isinstance(found, dict)
            assert found["environment"] == bench.name
            other = Sighting(bench.opening_id, "pod", 7, "another pod")
            assert launcher.identify(other) is Stranger.FOREIGN
            assert launcher.identify(Sighting(uuid.uuid4().hex, "pod", 7, uid)) is Stranger.FOREIGN
            assert bench.name in bench.world.environments()

    bench.run(scenario)


def test_no_second_worker_is_started_beside_one_that_may_live(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running():
            await bench.open_with_pod()
        async with bench.running() as launcher:
            await bench.until(lambda: launcher._all_listed, "the lists")
            with pytest.raises(LaunchError, match=f"delete the WorkerEnvironment '{bench.name}' first"):
                await launcher.start(str(uuid.uuid4()), "", None)

    bench.run(scenario)


def test_what_a_manager_that_ended_in_between_left_behind_is_cleared(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running():
            await bench.open()
        async with bench.running():
            await bench.gone()

    bench.run(scenario)


# What a person applies ------------------------------------------------------------------------------------------------


def test_an_environment_that_a_person_applies_is_offered_once(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running() as launcher:
            bench.world.apply_environment(bench.opening_id)
            await bench.until(lambda: bench.reports.applied, "the offer")
            assert bench.reports.applied == [bench.opening_id]
            uid = bench.world.environments()[bench.name]["metadata"]["uid"]
            launcher.adopt(bench.opening_id, {"environment": bench.name, "environment_uid": uid, "pod_uid": ""})
            pod = bench.world.make_pod(bench.name)
            await bench.until(lambda: bench.reports.found, "the pod")
            assert bench.reports.found[-1]["pod_uid"] == pod
            assert bench.reports.applied == [bench.opening_id]

    bench.run(scenario)


def test_an_environment_that_a_person_applies_beside_an_open_one_is_not_offered(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running():
            await bench.open_with_pod()
            bench.world.apply_environment(str(uuid.uuid4()))
            bench.world.end_pod(bench.name, 0)
            await bench.end()
            await bench.gone()
            assert bench.reports.applied == []

    bench.run(scenario)


# The connection -------------------------------------------------------------------------------------------------------


def test_a_token_that_is_replaced_is_read_anew(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running() as launcher:
            token = bench.world.token_dir / "token"
            good = token.read_text()
            token.write_text("expired")
            with pytest.raises(LaunchError, match="Unauthorized"):
                await launcher.start(bench.opening_id, "", None)
            token.write_text(good)
            await launcher.start(bench.opening_id, "", None)
            assert json.dumps(bench.world.environments()).count(bench.opening_id) == 1

    bench.run(scenario)
