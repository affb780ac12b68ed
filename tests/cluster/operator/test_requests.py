from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from api_server import ApiServer
from queueserver_operator.api_error import ApiError
from queueserver_operator.kinds import CONFIG_MAP, ENVIRONMENT, LEASE, QUEUE_SERVER, SECRET, Kind
from queueserver_operator.kubernetes_api import KubernetesApi
from queueserver_operator.lock import Held, Taken, release, take

Ask = Callable[[Callable[[KubernetesApi], Awaitable[Any]]], Any]


def config_map(namespace: str, **data: str) -> dict[str, Any]:
    metadata = {"name": "c", "namespace": namespace, "labels": {"a": "b"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def queue_server(namespace: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": QUEUE_SERVER.api_version,
        "kind": "QueueServer",
        "metadata": {"name": "q", "namespace": namespace, **metadata},
        "spec": {"environment": {"profile": {"simulated": {}}}},
    }


def test_an_apply_creates_updates_and_removes_what_it_no_longer_says(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        first = await api.apply(config_map(namespace, x="1", y="2"))
        second = await api.apply(config_map(namespace, x="3"))
        assert second["data"] == {"x": "3"}
        assert second["metadata"]["uid"] == first["metadata"]["uid"]

    ask(use)


def test_an_apply_leaves_fields_of_others_alone(ask: Ask, api_server: ApiServer, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        await api.apply(config_map(namespace, x="1"))
        theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"z": "theirs"}}
        assert api_server.apply(f"/api/v1/namespaces/{namespace}/configmaps/c", theirs).is_success
        assert (await api.apply(config_map(namespace, x="2")))["data"] == {"x": "2", "z": "theirs"}

    ask(use)


def test_an_apply_that_changes_nothing_makes_no_new_version(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        first = await api.apply(config_map(namespace, x="1"))
        second = await api.apply(config_map(namespace, x="1"))
        assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]

    ask(use)


def test_an_apply_of_the_status_leaves_the_rest_and_what_the_manager_wrote(
    ask: Ask, api_server: ApiServer, namespace: str
) -> None:
    async def use(api: KubernetesApi) -> None:
        made = await api.create(queue_server(namespace))
        assert made is not None
        theirs = {key: made[key] for key in ("apiVersion", "kind")} | {
            "metadata": {"name": "q"},
            "status": {"state": {"manager": "idle"}},
        }
        assert api_server.apply(QUEUE_SERVER.path(namespace, "q", "status"), theirs).is_success
        ours = theirs | {"metadata": {"name": "q", "namespace": namespace}, "status": {"observedGeneration": 1}}
        written = await api.apply(ours, "status")
        assert written["status"] == {"state": {"manager": "idle"}, "observedGeneration": 1}
        assert written["spec"] == made["spec"]

    ask(use)


def test_what_exists_is_not_created_again(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        assert (await api.create(config_map(namespace, x="1"))) is not None
        assert (await api.create(config_map(namespace, x="2"))) is None
        present = await api.get(CONFIG_MAP, namespace, "c")
        assert present is not None
        assert present["data"] == {"x": "1"}

    ask(use)


def test_only_the_object_with_the_given_uid_and_version_is_deleted(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        made = await api.create(config_map(namespace, x="1"))
        assert made is not None
        metadata = made["metadata"]
        await api.delete(CONFIG_MAP, namespace, "c", uid="another")
        assert await api.get(CONFIG_MAP, namespace, "c") is not None
        changed = await api.apply(config_map(namespace, y="2"))
        await api.delete(CONFIG_MAP, namespace, "c", uid=metadata["uid"], resource_version=metadata["resourceVersion"])
        assert await api.get(CONFIG_MAP, namespace, "c") is not None
        await api.delete(
            CONFIG_MAP, namespace, "c", uid=metadata["uid"], resource_version=changed["metadata"]["resourceVersion"]
        )
        assert await api.get(CONFIG_MAP, namespace, "c") is None
        assert await api.delete(CONFIG_MAP, namespace, "c", uid=metadata["uid"]) is None

    ask(use)


def test_a_list_of_metadata_shows_no_content(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        await api.apply(config_map(namespace, secret="content"))
        listed = [one async for one in api.list(CONFIG_MAP, namespace, labels="a=b", metadata_only=True)]
        assert [one["metadata"]["name"] for one in listed] == ["c"]
        assert "data" not in listed[0]
        assert [one async for one in api.list(CONFIG_MAP, namespace, labels="a=other")] == []

    ask(use)


def test_a_long_list_is_read_in_chunks(ask: Ask, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("queueserver_operator.kubernetes_api._CHUNK", 2)

    async def use(api: KubernetesApi) -> None:
        for number in range(5):
            manifest = config_map(namespace)
            manifest["metadata"]["name"] = f"c{number}"
            await api.create(manifest)
        names = [one["metadata"]["name"] async for one in api.list(CONFIG_MAP, namespace, labels="a=b")]
        assert names == ["c0", "c1", "c2", "c3", "c4"]

    ask(use)


def test_an_installed_definition_is_found_and_an_unknown_one_is_missed(ask: Ask) -> None:
    async def use(api: KubernetesApi) -> None:
        assert await api.served(QUEUE_SERVER)
        assert await api.served(ENVIRONMENT)
        assert not await api.served(Kind("no.such.group/v1", "Nothing", "nothings"))

    ask(use)


def test_an_invalid_object_is_refused_in_the_words_of_the_api_server(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        with pytest.raises(ApiError, match=r"apply Secret .*: .*Invalid value") as refused:
            await api.apply(
                {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "Not A Name", "namespace": namespace}}
            )
        assert refused.value.status == 422
        assert await api.get(SECRET, namespace, "q") is None

    ask(use)


def lease(namespace: str, holder: str) -> dict[str, Any]:
    return {
        "apiVersion": LEASE.api_version,
        "kind": "Lease",
        "metadata": {"name": "instrument-x", "namespace": namespace},
        "spec": {"holderIdentity": holder},
    }


def test_a_lock_is_taken_once(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        assert isinstance(await take(api, lease(namespace, "ns/a/1")), Taken)
        second = await take(api, lease(namespace, "ns/b/2"))
        assert isinstance(second, Held)
        assert second.lease is not None
        assert second.lease["spec"]["holderIdentity"] == "ns/a/1"

    ask(use)


def test_the_holder_of_a_lock_may_ask_again(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        await take(api, lease(namespace, "ns/a/1"))
        assert isinstance(await take(api, lease(namespace, "ns/a/1")), Taken)

    ask(use)


def test_a_lock_that_changed_since_it_was_read_is_not_released(ask: Ask, namespace: str) -> None:
    async def use(api: KubernetesApi) -> None:
        taken = await take(api, lease(namespace, "ns/a/1"))
        assert isinstance(taken, Taken)
        metadata = taken.lease["metadata"]
        await api.merge(LEASE, namespace, "instrument-x", {"spec": {"holderIdentity": "ns/b/2"}})
        await release(api, namespace, "instrument-x", metadata["uid"], metadata["resourceVersion"])
        present = await api.get(LEASE, namespace, "instrument-x")
        assert present is not None
        await release(api, namespace, "instrument-x", metadata["uid"], present["metadata"]["resourceVersion"])
        assert await api.get(LEASE, namespace, "instrument-x") is None

    ask(use)
