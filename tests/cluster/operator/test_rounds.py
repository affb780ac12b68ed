"""Rounds of observe, decide and apply with decisions that a test makes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from queueserver_common.cluster import API_VERSION, COMPONENT_LABEL, ENVIRONMENT_LABEL, QUEUE_SERVER_LABEL
from queueserver_operator.apply import Applier
from queueserver_operator.decide import decide as decide_for_real
from queueserver_operator.events import manifest as event_manifest
from queueserver_operator.family import Family
from queueserver_operator.kinds import CONFIG_MAP, DEPLOYMENT, ENVIRONMENT, LEASE, POD, QUEUE_SERVER, STATEFUL_SET
from queueserver_operator.kubernetes_api import KubernetesApi
from queueserver_operator.lookups import Lookups
from queueserver_operator.metrics import API_REQUESTS
from queueserver_operator.model import ApplyObject, Options, PatchStatus, Plan, PostEvent, Ref, ReleaseLease
from queueserver_operator.names import NAMESPACE_LABEL, lease
from queueserver_operator.observe import Observer
from queueserver_operator.observed import Observed, PodEvent
from queueserver_operator.reconcile import RESYNC, Reconciler, TryAgain
from queueserver_operator.store import Store

Ask = Callable[[Callable[[KubernetesApi], Awaitable[Any]]], Any]
Decide = Callable[[Observed, float], Plan]


class Rounds:
    """A reconciler whose decisions a test makes, and a store that a test fills like the watches do."""

    def __init__(self, api: KubernetesApi, namespace: str, decide: Decide) -> None:
        self.api = api
        self.namespace = namespace
        self.family = Family(namespace, "q")
        self.store = Store()
        self.woken: list[Family] = []
        applier = Applier(api, self.store, Lookups(api), lambda event: None)
        observer = Observer(api, self.store, Lookups(api), applier.refusals, namespace)
        self.reconciler = Reconciler(observer, applier, decide, "us", self.woken.append)

    async def queue_server(self) -> dict[str, Any]:
        body = {
            "apiVersion": API_VERSION,
            "kind": "QueueServer",
            "metadata": {"name": "q", "namespace": self.namespace},
            "spec": {"environment": {"profile": {"simulated": {}}}},
        }
        made = await self.api.create(body)
        assert made is not None
        self.store.put(QUEUE_SERVER, made)
        return made

    async def present(self) -> dict[str, Any]:
        body = await self.api.get(QUEUE_SERVER, self.namespace, "q")
        assert body is not None
        return body


def config_map(namespace: str, name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {QUEUE_SERVER_LABEL: "q"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def writes() -> float:
    verbs = ("apply", "create", "delete", "patch")
    samples = [sample for metric in API_REQUESTS.collect() for sample in metric.samples]
    return sum(one.value for one in samples if one.name.endswith("_total") and one.labels["verb"] in verbs)


def test_decisions_follow_each_other_until_there_is_nothing_to_do(ask: Ask, namespace: str) -> None:
    def decide(seen: Observed, now: float) -> Plan:
        missing = next((name for name in ("a", "b", "c") if ("ConfigMap", name) not in seen.children), None)
        return Plan() if missing is None else Plan(((ApplyObject(config_map(namespace, missing)),),))

    async def use(api: KubernetesApi) -> None:
        rounds = Rounds(api, namespace, decide)
        await rounds.queue_server()
        delay = await rounds.reconciler.reconcile(rounds.family)
        assert delay is not None
        assert 0.9 * RESYNC <= delay <= 1.1 * RESYNC
        for name in ("a", "b", "c"):
            assert await api.get(CONFIG_MAP, namespace, name) is not None
        before = writes()
        for _ in range(3):
            await rounds.reconciler.reconcile(rounds.family)
        assert writes() == before, "idle, it writes nothing"

    ask(use)


def test_a_queue_server_of_another_operator_is_left_alone_and_the_log_says_so_once(
    ask: Ask, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = Options("us", "1", "manager:1", "worker:1", namespace)

    async def use(api: KubernetesApi) -> None:
        rounds = Rounds(api, namespace, lambda seen, now: decide_for_real(seen, options, now))
        made = await rounds.queue_server()
        theirs = {key: made[key] for key in ("apiVersion", "kind")} | {
            "metadata": {"name": "q", "namespace": namespace},
            "status": {"operator": {"identity": "them", "version": "1"}},
        }
        rounds.store.put(QUEUE_SERVER, await api.apply(theirs, "status"))
        before = writes()
        for _ in range(2):
            await rounds.reconciler.reconcile(rounds.family)
        assert writes() == before

    ask(use)
    (line,) = [record.getMessage() for record in caplog.records if "left alone" in record.getMessage()]
    assert line == f"{namespace}/q is looked after by the operator them and is left alone"


def test_a_failure_of_the_operator_itself_is_told_in_the_status_once(
    ask: Ask, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    def decide(seen: Observed, now: float) -> Plan:
        raise ZeroDivisionError("a mistake in the operator")

    async def use(api: KubernetesApi) -> None:
        rounds = Rounds(api, namespace, decide)
        await rounds.queue_server()
        with pytest.raises(TryAgain, match="the operator failed with ZeroDivisionError"):
            await rounds.reconciler.reconcile(rounds.family)
        first = await rounds.present()
        conditions = {one["type"]: one for one in first["status"]["conditions"]}
        assert (conditions["Stalled"]["status"], conditions["Ready"]["status"]) == ("True", "False")
        assert conditions["Stalled"]["message"] == (
            "The operator failed with ZeroDivisionError; its log has the details."
        )
        with pytest.raises(TryAgain):
            await rounds.reconciler.reconcile(rounds.family)
        assert (await rounds.present())["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]

    ask(use)
    assert "a mistake in the operator" in caplog.text


def test_what_the_api_server_refuses_is_seen_by_the_next_decision(ask: Ask, namespace: str) -> None:
    refused: list[str] = []

    def decide(seen: Observed, now: float) -> Plan:
        assert seen.queue_server is not None
        refusal = seen.refusal("ConfigMap", "Not A Name")
        if refusal is None:
            return Plan(((ApplyObject(config_map(namespace, "Not A Name")),),))
        refused.append(refusal.message)
        return Plan()

    async def use(api: KubernetesApi) -> None:
        rounds = Rounds(api, namespace, decide)
        await rounds.queue_server()
        await rounds.reconciler.reconcile(rounds.family)
        assert len(refused) == 1
        assert "Not A Name" in refused[0]

    ask(use)


def test_a_decision_may_ask_to_be_made_again_soon(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        rounds = Rounds(api, namespace, lambda seen, now: Plan(requeue=3.0))
        await rounds.queue_server()
        assert await rounds.reconciler.reconcile(rounds.family) == 3.0

    ask(use)


def test_decisions_that_never_settle_are_interrupted(ask: Ask, namespace: str) -> None:
    numbers = iter(range(1, 1000))

    def decide(seen: Observed, now: float) -> Plan:
        status = {"observedGeneration": next(numbers)}
        return Plan(((PatchStatus(Ref("QueueServer", namespace, "q"), status),),))

    async def use(api: KubernetesApi) -> None:
        rounds = Rounds(api, namespace, decide)
        await rounds.queue_server()
        assert await rounds.reconciler.reconcile(rounds.family) == 1.0

    ask(use)


def test_a_family_of_which_nothing_is_left_needs_no_more_attention(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        rounds = Rounds(api, namespace, lambda seen, now: pytest.fail("there is nothing to decide"))
        assert await rounds.reconciler.reconcile(rounds.family) is None

    ask(use)


def test_a_lock_is_decided_on_after_its_queue_server_is_gone_and_others_are_woken(ask: Ask, namespace: str) -> None:
    def decide(seen: Observed, now: float) -> Plan:
        return Plan(
            tuple(
                (ReleaseLease(Ref("Lease", one.namespace, one.name), one.uid, one.resource_version),)
                for one in seen.leases
                if one.queue_server == f"{seen.namespace}/{seen.name}"
            )
        )

    async def use(api: KubernetesApi) -> None:
        rounds = Rounds(api, namespace, decide)
        other = Family(namespace, "other")
        labels = {QUEUE_SERVER_LABEL: "q", NAMESPACE_LABEL: namespace}
        held = await api.create(
            {
                "apiVersion": LEASE.api_version,
                "kind": "Lease",
                "metadata": {"name": lease("2-ID"), "namespace": namespace, "labels": labels},
                "spec": {"holderIdentity": f"{namespace}/q-0123456789/w"},
            }
        )
        assert held is not None
        waiting = {
            "metadata": {"name": "other", "namespace": namespace, "uid": "o", "resourceVersion": "1"},
            "spec": {"instrument": "2-ID"},
        }
        rounds.store.put(QUEUE_SERVER, waiting)
        opening = {"name": "other-0123456789", "namespace": namespace, "uid": "w", "resourceVersion": "1"}
        rounds.store.put(ENVIRONMENT, {"metadata": opening, "spec": {"queueServerRef": {"name": "other"}}})
        rounds.store.put(LEASE, held)
        await rounds.reconciler.reconcile(other)
        assert rounds.woken == []
        assert await rounds.reconciler.reconcile(rounds.family) is None
        assert await api.get(LEASE, namespace, lease("2-ID")) is None
        assert rounds.woken == [other]

    ask(use)


def test_a_pod_that_was_seen_to_end_is_shown_to_the_decision(ask: Ask, namespace: str) -> None:
    seen_pods: list[tuple[bool, int]] = []

    def decide(seen: Observed, now: float) -> Plan:
        pod = seen.worker_pod("q-0123456789")
        assert pod is not None
        assert pod.containers[0].ended is not None
        seen_pods.append((pod.gone, pod.containers[0].ended.exit_code))
        return Plan()

    async def use(api: KubernetesApi) -> None:
        rounds = Rounds(api, namespace, decide)
        name = "q-0123456789"
        metadata = {"name": name, "namespace": namespace, "uid": "w", "resourceVersion": "1"}
        rounds.store.put(ENVIRONMENT, {"metadata": metadata, "spec": {"queueServerRef": {"name": "q"}}})
        labels = {QUEUE_SERVER_LABEL: "q", COMPONENT_LABEL: "worker", ENVIRONMENT_LABEL: name}
        ended = {"name": "worker", "state": {"terminated": {"exitCode": 3}}}
        pod = {"metadata": metadata | {"uid": "p", "labels": labels}, "status": {"containerStatuses": [ended]}}
        rounds.store.put(POD, pod)
        rounds.store.remove("p", pod)
        await rounds.reconciler.reconcile(rounds.family)
        assert seen_pods == [(True, 3)]

    ask(use)


def test_what_is_said_of_a_stateful_set_without_its_pod_is_shown_to_the_decision(ask: Ask, namespace: str) -> None:
    seen_events: list[PodEvent] = []

    def decide(seen: Observed, now: float) -> Plan:
        seen_events.extend(seen.events)
        return Plan()

    async def use(api: KubernetesApi) -> None:
        rounds = Rounds(api, namespace, decide)
        await rounds.queue_server()
        made = await api.create(stateful_set(namespace))
        assert made is not None
        rounds.store.put(STATEFUL_SET, made)
        said = PostEvent(
            Ref("StatefulSet", namespace, "q-manager"),
            made["metadata"]["uid"],
            "Warning",
            "FailedCreate",
            "exceeded quota",
        )
        await api.create(event_manifest(said, "us", time.time()))
        delay = await rounds.reconciler.reconcile(rounds.family)
        assert [(one.kind, one.name, one.reason, one.message) for one in seen_events] == [
            ("StatefulSet", "q-manager", "FailedCreate", "exceeded quota")
        ]
        assert delay is not None
        assert delay <= 3.0, "it is looked at again soon, because no watch tells"

    ask(use)


def stateful_set(namespace: str) -> dict[str, Any]:
    labels = {QUEUE_SERVER_LABEL: "q", COMPONENT_LABEL: "manager"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "manager", "image": "i"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "q-manager", "namespace": namespace, "labels": labels},
        "spec": {"serviceName": "q-link", "selector": {"matchLabels": labels}, "template": pod},
    }


def test_what_is_said_of_a_deployment_without_pods_is_shown_to_the_decision(ask: Ask, namespace: str) -> None:
    failures: list[str] = []

    def decide(seen: Observed, now: float) -> Plan:
        failures.append(seen.http_failure)
        return Plan()

    async def use(api: KubernetesApi) -> None:
        rounds = Rounds(api, namespace, decide)
        made = await rounds.queue_server()
        wanted = await api.merge(QUEUE_SERVER, namespace, "q", {"spec": {"http": {}}})
        assert wanted["metadata"]["uid"] == made["metadata"]["uid"]
        rounds.store.put(QUEUE_SERVER, wanted)
        manager = await api.create(stateful_set(namespace))
        assert manager is not None
        rounds.store.put(STATEFUL_SET, manager)
        labels = {QUEUE_SERVER_LABEL: "q", COMPONENT_LABEL: "http"}
        pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "http", "image": "i"}]}}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "q-http", "namespace": namespace, "labels": labels},
            "spec": {"selector": {"matchLabels": labels}, "template": pod},
        }
        await api.create(deployment)
        condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
        await api.merge(DEPLOYMENT, namespace, "q-http", {"status": {"conditions": [condition]}}, "status")
        delay = await rounds.reconciler.reconcile(rounds.family)
        assert failures == ["exceeded quota"]
        assert delay is not None
        assert delay <= 3.0

    ask(use)
