"""The launcher of pods: what it makes, for whom, and what it takes up."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest

from cluster_world import QUEUE_SERVER
from launcher_bench import Bench
from queueserver_common.cluster import QUEUE_SERVER_LABEL
from queueserver_manager.launch.interface import Launcher, LaunchError, LaunchReports, Sighting, Stranger


def test_it_is_a_launcher(bench: Bench) -> None:
    def check(launcher: Launcher, reports: LaunchReports) -> None: ...

    async def scenario() -> None:
        async with bench.running() as launcher:
            check(launcher, bench.reports)

    bench.run(scenario)


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
            await bench.seen()
            assert await bench.open() == first
            await bench.seen()
            assert list(bench.world.environments()) == [bench.name]

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


def test_a_slow_opening_tells_what_it_waits_for_whenever_that_changes(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running(patience=0.2):
            await bench.open()
            await bench.until(lambda: bench.reports.waits, "the first news")
            bench.world.make_pod(bench.name)
            bench.world.place_pod(bench.name)
            await bench.until(lambda: len(bench.reports.waits) == 2, "the second news")
            assert bench.reports.waits == ["There is no pod: is the operator running?", "Its pod has not reported."]

    bench.run(scenario)


def test_an_opening_that_takes_no_longer_than_usual_tells_nothing(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running(patience=60.0):
            await bench.open_with_pod()
            await bench.seen()
            assert bench.reports.waits == []

    bench.run(scenario)


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


def test_a_token_that_is_replaced_is_read_anew(bench: Bench) -> None:
    async def scenario() -> None:
        async with bench.running() as launcher:
            token = bench.world.token_dir / "token"
            good = token.read_text()
            token.write_text("expired")
            with pytest.raises(LaunchError, match="Unauthorized"):
                await launcher.start(uuid.uuid4().hex, "", None)
            token.write_text(good)
            await launcher.start(bench.opening_id, "", None)
            assert json.dumps(bench.world.environments()).count(bench.opening_id) == 1

    bench.run(scenario)
