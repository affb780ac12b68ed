"""The launcher of pods: how a worker ends, what proves it, and what is left of it."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import pytest

from launcher_bench import Bench
from queueserver_common.cluster import CONFIRMED_DEAD_ANNOTATION
from queueserver_common.link.messages import ExitStatus, ItemEnded
from queueserver_common.spool import TerminationMessage


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
