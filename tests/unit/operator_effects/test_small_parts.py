from __future__ import annotations

import asyncio
import json

import pytest
import zmq
from aiohttp import ClientSession

from queueserver_operator import trouble
from queueserver_operator.events import manifest
from queueserver_operator.health import Health, serving
from queueserver_operator.keys import PRIVATE_KEY, PUBLIC_KEY, with_fresh_keys
from queueserver_operator.kinds import ENVIRONMENT, NODE, POD, kind_named, kind_of
from queueserver_operator.kubernetes_api import plain
from queueserver_operator.model import PostEvent, Ref
from queueserver_operator.settings import kopf_settings

SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "q-control", "namespace": "ns"}}


def test_a_fresh_key_pair_belongs_together_and_is_never_the_same() -> None:
    made = [with_fresh_keys(SECRET)["stringData"] for _ in range(2)]
    assert made[0][PRIVATE_KEY] != made[1][PRIVATE_KEY]
    for pair in made:
        assert zmq.curve_public(pair[PRIVATE_KEY].encode()).decode() == pair[PUBLIC_KEY]
    assert "stringData" not in SECRET


def test_paths_of_the_api() -> None:
    assert POD.path("ns", "p") == "/api/v1/namespaces/ns/pods/p"
    assert POD.path() == "/api/v1/pods"
    assert NODE.path("", "n") == "/api/v1/nodes/n"
    assert (
        ENVIRONMENT.path("ns", "e", "status")
        == "/apis/queueserver.blueskyproject.io/v1alpha1/namespaces/ns/workerenvironments/e/status"
    )


def test_a_manifest_of_a_strange_kind_is_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="no business with objects of the kind 'CronJob'"):
        kind_named("CronJob")
    with pytest.raises(ValueError, match="Pod is written as v1, not as 'v2'"):
        kind_of({"apiVersion": "v2", "kind": "Pod"})


def test_a_manifest_is_copied_into_dicts_and_lists() -> None:
    assert plain({"a": ({"b": (1, 2)},)}) == {"a": [{"b": [1, 2]}]}


def test_an_event_names_its_object_its_reason_and_a_message_of_bearable_length() -> None:
    event = PostEvent(Ref("QueueServer", "ns", "q"), "u", "Warning", "ProfileNotFound", "x" * 3000)
    made = manifest(event, "ops/operator", 1_700_000_000.5)
    assert made["involvedObject"] == {
        "apiVersion": "queueserver.blueskyproject.io/v1alpha1",
        "kind": "QueueServer",
        "namespace": "ns",
        "name": "q",
        "uid": "u",
    }
    assert (made["type"], made["reason"]) == ("Warning", "ProfileNotFound")
    assert len(made["message"]) <= 1024
    assert made["eventTime"] == "2023-11-14T22:13:20.500000Z"


STATUS = {
    "status": {
        "state": {"manager": "idle"},
        "queue": {"items": 1},
        "profile": {"source": "simulated"},
        "conditions": [
            {"type": "Ready", "status": "False", "lastTransitionTime": "2020-01-01T00:00:00Z"},
            {"type": "Stalled", "status": "False", "lastTransitionTime": "2020-01-01T00:00:00Z"},
            {"type": "RolloutPending", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
        ],
    }
}


def test_a_failure_of_the_operator_is_told_beside_everything_else_in_its_status() -> None:
    made = trouble.trouble_status(STATUS, "The operator failed.", 1_700_000_000)
    assert sorted(made) == ["conditions", "profile"], "what the manager owns is not written"
    conditions = {one["type"]: one for one in made["conditions"]}
    assert sorted(conditions) == ["Ready", "RolloutPending", "Stalled"]
    assert conditions["Ready"]["lastTransitionTime"] == "2020-01-01T00:00:00Z", "it was False before"
    assert conditions["Stalled"]["lastTransitionTime"] == "2023-11-14T22:13:20Z"
    assert conditions["Stalled"]["message"] == "The operator failed."


def test_a_failure_that_the_status_tells_already_is_not_told_again() -> None:
    made = {"status": trouble.trouble_status(STATUS, "The operator failed.", 0)}
    assert trouble.troubled(made, "The operator failed.")
    assert not trouble.troubled(made, "Something else.")
    assert not trouble.troubled(STATUS, "The operator failed.")


async def ask(health: Health, path: str) -> tuple[int, str]:
    async with (
        serving(health, 0) as port,
        ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as response,
    ):
        return response.status, await response.text()


def test_it_is_alive_but_not_ready_while_it_waits_and_says_for_what() -> None:
    health = Health()
    health.waiting_for = "the CRDs are not installed"
    assert asyncio.run(ask(health, "/healthz"))[0] == 200
    status, text = asyncio.run(ask(health, "/readyz"))
    assert status == 500
    assert json.loads(text)["reasons"] == ["the CRDs are not installed"]
    health.waiting_for = ""
    assert asyncio.run(ask(health, "/readyz"))[0] == 200


def test_a_watch_that_has_missed_changes_for_long_makes_it_unhealthy() -> None:
    health = Health()
    health.behind = lambda: {"Pod": 30.0}
    assert asyncio.run(ask(health, "/healthz"))[0] == 200
    health.behind = lambda: {"Pod": 90.0}
    status, text = asyncio.run(ask(health, "/healthz"))
    assert status == 500
    assert json.loads(text)["reasons"] == ["the watch of Pod has missed changes for 90 s"]


def test_a_late_event_loop_makes_it_unhealthy() -> None:
    times = iter([0.0, 100.0, 100.0])
    health = Health(clock=lambda: next(times))

    async def measured() -> tuple[int, str]:
        task = asyncio.create_task(health.measure())
        async with asyncio.timeout(10):
            while not health.ailments():  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
        task.cancel()
        return await ask(health, "/healthz")

    status, text = asyncio.run(measured())
    assert status == 500
    assert "the event loop was late by 99.0 s" in text


def test_metrics_are_served_as_text() -> None:
    status, text = asyncio.run(ask(Health(), "/metrics"))
    assert status == 200
    assert "# TYPE qs_operator_reconcile_total counter" in text


def test_kopf_is_told_to_watch_only_what_carries_our_label_and_to_post_and_share_nothing() -> None:
    settings = kopf_settings()
    assert settings.peering.standalone
    assert settings.scanning.disabled
    assert not settings.posting.enabled
    assert isinstance(settings.watching.server_timeout, int)
    assert sorted(settings.watching.label_selectors.values()) == ["queueserver.blueskyproject.io/queueserver"] * 3
    assert "zalando" not in settings.persistence.finalizer
