from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from queueserver_common.cluster import QUEUE_SERVER_LABEL
from queueserver_operator.audit import Audit
from queueserver_operator.family import Family
from queueserver_operator.kinds import CONFIG_MAP, LEASE, POD
from queueserver_operator.kubernetes_api import KubernetesApi
from queueserver_operator.names import NAMESPACE_LABEL, labels
from queueserver_operator.store import Store

Ask = Callable[[Callable[[KubernetesApi], Awaitable[Any]]], Any]


class Auditor:
    """An audit with what it wakes."""

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        self.store = Store()
        self.woken: list[Family] = []
        self.audit = Audit(api, self.store, self.woken.append, (namespace,), (namespace,), watch_delay=0.0)
        self.family = Family(namespace, "q")


def config_map(namespace: str, **data: str) -> dict[str, Any]:
    metadata = {"name": "c", "namespace": namespace, "labels": labels("q")}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def pod(namespace: str) -> dict[str, Any]:
    metadata = {"name": "p", "namespace": namespace, "labels": {QUEUE_SERVER_LABEL: "q"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }


def test_what_is_not_watched_is_learned_with_the_locks(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        auditor = Auditor(api, namespace)
        await api.apply(config_map(namespace, a="1"))
        lease_labels = labels("q") | {NAMESPACE_LABEL: namespace}
        metadata = {"name": "instrument-x", "namespace": namespace, "labels": lease_labels}
        await api.create(
            {
                "apiVersion": LEASE.api_version,
                "kind": "Lease",
                "metadata": metadata,
                "spec": {"holderIdentity": "a/b/c"},
            }
        )
        await auditor.audit.learn()
        assert [entry.name for entry in auditor.store.members(auditor.family)] == ["c", "instrument-x"]
        found = auditor.store.lease(namespace, "instrument-x")
        assert found is not None
        assert found.view.holder == "a/b/c"
        assert set(auditor.woken) == {auditor.family}

    ask(use)


def test_nothing_is_woken_when_nothing_changed(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        auditor = Auditor(api, namespace)
        await api.apply(config_map(namespace, a="1"))
        await auditor.audit.learn()
        auditor.woken.clear()
        await auditor.audit.learn()
        assert auditor.woken == []

    ask(use)


def test_a_change_by_somebody_else_is_found(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        auditor = Auditor(api, namespace)
        auditor.store.put(CONFIG_MAP, await api.apply(config_map(namespace, a="1")), written=True)
        await api.merge(CONFIG_MAP, namespace, "c", {"data": {"a": "changed"}})
        await auditor.audit.learn()
        entry = auditor.store.find(auditor.family, CONFIG_MAP, "c")
        assert entry is not None
        assert auditor.store.drifted(entry)
        assert auditor.woken == [auditor.family]

    ask(use)


def test_an_object_whose_deletion_no_watch_told_is_forgotten(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        auditor = Auditor(api, namespace)
        for kind, manifest in ((CONFIG_MAP, config_map(namespace)), (POD, pod(namespace))):
            made = await api.create(manifest)
            assert made is not None
            auditor.store.put(kind, made)
        await api.delete(CONFIG_MAP, namespace, "c")
        await api.delete(POD, namespace, "p")
        await auditor.audit.learn()
        await auditor.audit.verify(POD)
        assert auditor.store.members(auditor.family) == ()
        assert auditor.woken == [auditor.family, auditor.family]

    ask(use)


def test_a_watch_that_does_not_tell_what_a_list_tells_is_behind(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        auditor = Auditor(api, namespace)
        made = await api.create(pod(namespace))
        assert made is not None
        assert not await auditor.audit.learn_completely()
        await auditor.audit.verify(POD)
        assert list(auditor.audit.behind()) == ["Pod"]
        auditor.store.put(POD, made)
        assert await auditor.audit.learn_completely()
        await auditor.audit.verify(POD)
        assert auditor.audit.behind() == {}

    ask(use)
