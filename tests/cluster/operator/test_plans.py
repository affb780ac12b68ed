from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from zmq.utils import z85

from api_server import ApiServer
from queueserver_common.cluster import API_VERSION, COMPONENT_LABEL, ENVIRONMENT_LABEL, QUEUE_SERVER_LABEL
from queueserver_operator import model
from queueserver_operator.apply import Applier
from queueserver_operator.family import Family
from queueserver_operator.kinds import CONFIG_MAP, LEASE, POD, QUEUE_SERVER, SECRET, Kind
from queueserver_operator.kubernetes_api import KubernetesApi
from queueserver_operator.lookups import Lookups
from queueserver_operator.names import FINALIZER, HASH_ANNOTATION, NAMESPACE_LABEL
from queueserver_operator.store import Entry, Store

Ask = Callable[[Callable[[KubernetesApi], Awaitable[Any]]], Any]


class Operator:
    """What carries out plans, with everything that it tells."""

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        self.api = api
        self.family = Family(namespace, "q")
        self.store = Store()
        self.lookups = Lookups(api)
        self.events: list[model.PostEvent] = []
        self.applier = Applier(api, self.store, self.lookups, self.events.append)

    async def do(self, *actions: model.Action, others: tuple[model.Chain, ...] = ()) -> Any:
        return await self.applier.carry_out(self.family, model.Plan((actions, *others)))

    def entry(self, kind: Kind, name: str) -> Entry:
        found = self.store.find(self.family, kind, name)
        assert found is not None
        return found


def ref(kind: Kind, namespace: str, name: str) -> model.Ref:
    return model.Ref(kind.name, namespace, name)


def manifest(kind: Kind, namespace: str, name: str, **rest: Any) -> dict[str, Any]:
    labels = {QUEUE_SERVER_LABEL: "q", **rest.pop("labels", {})}
    metadata = {"name": name, "namespace": namespace, "labels": labels, "annotations": {HASH_ANNOTATION: "h1"}}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **rest}


def pod(namespace: str) -> dict[str, Any]:
    labels = {COMPONENT_LABEL: "worker", ENVIRONMENT_LABEL: "e"}
    spec = {"containers": [{"name": "worker", "image": "i"}], "schedulingGates": [{"name": "test/recorded"}]}
    return manifest(POD, namespace, "e", labels=labels, spec=spec)


def queue_server(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "QueueServer",
        "metadata": {"name": "q", "namespace": namespace},
        "spec": {"environment": {"profile": {"simulated": {}}}},
    }


def test_the_next_decision_sees_what_was_written_without_any_watch(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        operator = Operator(api, namespace)
        outcome = await operator.do(
            model.ApplyObject(manifest(CONFIG_MAP, namespace, "c", data={"a": "1"})), model.CreateOnly(pod(namespace))
        )
        assert (outcome.writes, outcome.failures) == (2, [])
        assert operator.entry(CONFIG_MAP, "c").view.applied_hash == "h1"
        assert operator.entry(POD, "e").view.gated

    ask(use)


def test_an_object_of_somebody_else_is_never_taken_over_by_create_only(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        operator = Operator(api, namespace)
        await api.create(manifest(CONFIG_MAP, namespace, "c", data={"a": "theirs"}))
        outcome = await operator.do(model.CreateOnly(manifest(CONFIG_MAP, namespace, "c", data={"a": "ours"})))
        assert outcome.failures == []
        assert (await api.get(CONFIG_MAP, namespace, "c") or {})["data"] == {"a": "theirs"}
        assert operator.entry(CONFIG_MAP, "c").name == "c"

    ask(use)


def test_keys_are_made_once_and_only_the_public_one_is_remembered(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        operator = Operator(api, namespace)
        action = model.CreateKeys(manifest(SECRET, namespace, "q-control"))
        await operator.do(action)
        first = await api.get(SECRET, namespace, "q-control")
        await operator.do(action)
        assert await api.get(SECRET, namespace, "q-control") == first
        known = await operator.lookups.secret(namespace, "q-control", max_age=1000)
        assert known is not None
        assert known.keys == {"private_key", "public_key"}
        assert len(z85.decode(known.public_key)) == 32
        assert "private" not in repr(known).replace("private_key", "")

    ask(use)


def test_the_gate_of_a_pod_is_opened_once_and_only_for_the_recorded_pod(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        operator = Operator(api, namespace)
        await operator.do(model.CreateOnly(pod(namespace)))
        entry = operator.entry(POD, "e")
        await operator.do(model.OpenGate(ref(POD, namespace, "e"), "another-uid"))
        assert operator.entry(POD, "e").view.gated
        outcome = await operator.do(model.OpenGate(ref(POD, namespace, "e"), entry.uid))
        assert (outcome.writes, outcome.failures) == (1, [])
        assert not operator.entry(POD, "e").view.gated
        again = await operator.do(model.OpenGate(ref(POD, namespace, "e"), entry.uid))
        assert (again.writes, again.failures) == (0, [])

    ask(use)


def lease(namespace: str, holder: str) -> dict[str, Any]:
    return manifest(
        LEASE, namespace, "instrument-x", labels={NAMESPACE_LABEL: namespace}, spec={"holderIdentity": holder}
    )


def test_nothing_follows_a_lock_that_somebody_else_holds(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        operator = Operator(api, namespace)
        await api.create(lease(namespace, "other/w/1"))
        outcome = await operator.do(
            model.TakeLease(lease(namespace, f"{namespace}/e/2")),
            model.CreateOnly(pod(namespace)),
            others=((model.ApplyObject(manifest(CONFIG_MAP, namespace, "c")),),),
        )
        assert outcome.held == {(namespace, "instrument-x")}
        assert outcome.failures == []
        assert await api.get(POD, namespace, "e") is None
        assert operator.entry(CONFIG_MAP, "c"), "the other chain was carried out"
        found = operator.store.lease(namespace, "instrument-x")
        assert found is not None
        assert found.view.holder == "other/w/1"

    ask(use)


def test_a_released_lock_is_told_so_that_others_are_woken(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        operator = Operator(api, namespace)
        await operator.do(model.TakeLease(lease(namespace, f"{namespace}/e/2")))
        held = operator.store.lease(namespace, "instrument-x")
        assert held is not None
        where = ref(LEASE, namespace, "instrument-x")
        stale = await operator.do(model.ReleaseLease(where, held.uid, "1"))
        assert stale.released == set()
        freed = await operator.do(model.ReleaseLease(where, held.uid, str(held.version)))
        assert freed.released == {(namespace, "instrument-x")}
        assert operator.store.lease(namespace, "instrument-x") is None

    ask(use)


def test_a_refused_object_ends_its_chain_and_is_remembered_until_it_is_accepted(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        operator = Operator(api, namespace)
        bad = pod(namespace)
        bad["spec"]["containers"][0]["image"] = ""
        outcome = await operator.do(
            model.CreateOnly(bad),
            model.ApplyObject(manifest(CONFIG_MAP, namespace, "after")),
            others=((model.ApplyObject(manifest(CONFIG_MAP, namespace, "beside")),),),
        )
        assert await api.get(CONFIG_MAP, namespace, "after") is None
        assert await api.get(CONFIG_MAP, namespace, "beside") is not None
        assert [error.passing for error in outcome.failures] == [False]
        (refusal,) = operator.applier.refusals(operator.family)
        assert (refusal.kind, refusal.name, refusal.manifest_hash, refusal.code) == ("Pod", "e", "h1", 422)
        assert "image" in refusal.message
        assert (await operator.do(model.CreateOnly(bad))).refused == 0, "it is nothing new"
        await operator.do(model.CreateOnly(pod(namespace)))
        assert operator.applier.refusals(operator.family) == ()

    ask(use)


def test_an_unknown_field_is_refused_by_its_name_however_it_is_written(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        operator = Operator(api, namespace)
        bad = pod(namespace)
        bad["spec"]["nodeSelectr"] = {}
        for action in (model.CreateOnly(bad), model.ApplyObject(bad)):
            outcome = await operator.do(action)
            assert [error.passing for error in outcome.failures] == [False]
            (refusal,) = operator.applier.refusals(operator.family)
            assert "nodeSelectr" in refusal.message
        assert await api.get(POD, namespace, "e") is None

    ask(use)


def test_a_lock_in_a_namespace_that_is_missing_is_refused(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        operator = Operator(api, namespace)
        outcome = await operator.do(model.TakeLease(lease("nowhere", f"{namespace}/e/1")))
        assert outcome.refused == 1
        (refusal,) = operator.applier.refusals(operator.family)
        assert (refusal.kind, refusal.name, refusal.code) == ("Lease", "instrument-x", 404)
        assert '"nowhere" not found' in refusal.message

    ask(use)


def test_only_our_own_finalizer_is_added_and_removed(ask: Ask, api_server: ApiServer, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        operator = Operator(api, namespace)
        where = ref(QUEUE_SERVER, namespace, "q")
        body = queue_server(namespace)
        body["metadata"]["finalizers"] = ["example.org/theirs"]
        await api.create(body)
        await operator.do(model.AddFinalizer(where))
        await operator.do(model.AddFinalizer(where))
        present = await api.get(QUEUE_SERVER, namespace, "q")
        assert present is not None
        assert present["metadata"]["finalizers"] == ["example.org/theirs", FINALIZER]
        await operator.do(model.RemoveFinalizer(where))
        present = await api.get(QUEUE_SERVER, namespace, "q")
        assert present is not None
        assert present["metadata"]["finalizers"] == ["example.org/theirs"]

    ask(use)


def test_what_is_gone_already_is_no_failure(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        operator = Operator(api, namespace)
        for action in (
            model.DeleteObject(ref(POD, namespace, "gone"), "u"),
            model.OpenGate(ref(POD, namespace, "gone"), "u"),
            model.ReleaseLease(ref(LEASE, namespace, "gone"), "u", "1"),
            model.PatchStatus(ref(QUEUE_SERVER, namespace, "gone"), {"observedGeneration": 1}),
            model.RemoveFinalizer(ref(QUEUE_SERVER, namespace, "gone")),
        ):
            assert (await operator.do(action)).failures == [], action

    ask(use)


def test_an_event_is_handed_on(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        operator = Operator(api, namespace)
        event = model.PostEvent(ref(QUEUE_SERVER, namespace, "q"), "u", "Normal", "Created", "It was created.")
        await operator.do(event)
        assert operator.events == [event]

    ask(use)
