from __future__ import annotations

from typing import Any

from queueserver_common.cluster import COMPONENT_LABEL, ENVIRONMENT_LABEL, QUEUE_SERVER_LABEL
from queueserver_operator.family import Family
from queueserver_operator.kinds import CONFIG_MAP, ENVIRONMENT, LEASE, POD, QUEUE_SERVER, STATEFUL_SET, Kind
from queueserver_operator.names import NAMESPACE_LABEL
from queueserver_operator.store import Store

FAMILY = Family("ns", "q")


def body(
    name: str, version: int, *, uid: str = "", namespace: str = "ns", labels: dict[str, str] | None = None, **rest: Any
) -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"uid-of-{name}",
        "resourceVersion": str(version),
        "labels": {QUEUE_SERVER_LABEL: "q"} if labels is None else labels,
        **rest.pop("metadata", {}),
    }
    return {"metadata": metadata, **rest}


def worker_pod(name: str, version: int, **rest: Any) -> dict[str, Any]:
    labels = {QUEUE_SERVER_LABEL: "q", COMPONENT_LABEL: "worker", ENVIRONMENT_LABEL: name}
    return body(name, version, labels=labels, **rest)


def environment(name: str, version: int) -> dict[str, Any]:
    return body(
        name,
        version,
        uid=f"uid-of-wenv-{name}",
        labels={},
        spec={"queueServerRef": {"name": "q"}, "openingId": "0123456789"},
    )


def lease(name: str, version: int, holder: str) -> dict[str, Any]:
    labels = {QUEUE_SERVER_LABEL: "q", NAMESPACE_LABEL: "ns"}
    return body(name, version, namespace="locks", labels=labels, spec={"holderIdentity": holder})


def test_objects_are_found_by_the_family_that_their_labels_or_references_name() -> None:
    store = Store()
    store.put(QUEUE_SERVER, body("q", 1, labels={}))
    store.put(POD, body("q-manager-0", 2))
    store.put(ENVIRONMENT, environment("q-0123456789", 3))
    store.put(LEASE, lease("instrument-x", 4, "ns/q-0123456789/u"))
    assert [entry.name for entry in store.members(FAMILY)] == ["q", "q-manager-0", "q-0123456789", "instrument-x"]
    assert store.families() == (FAMILY,)


def test_an_older_version_does_not_replace_a_newer_one() -> None:
    store = Store()
    assert store.put(POD, body("p", 5, status={"phase": "Running"}))
    assert not store.put(POD, body("p", 4, status={"phase": "Pending"}))
    assert not store.put(POD, body("p", 5, status={"phase": "Pending"}))
    entry = store.find(FAMILY, POD, "p")
    assert entry is not None
    assert entry.view.phase == "Running"


def test_an_object_that_was_seen_to_be_deleted_does_not_come_back() -> None:
    store = Store()
    store.put(CONFIG_MAP, body("c", 5))
    store.remove("uid-of-c")
    assert not store.put(CONFIG_MAP, body("c", 9))
    assert store.find(FAMILY, CONFIG_MAP, "c") is None
    assert store.families() == ()
    assert store.put(CONFIG_MAP, body("c", 10, uid="another"))


def test_an_object_of_the_same_name_and_another_uid_takes_the_place_of_the_first() -> None:
    store = Store()
    store.put(CONFIG_MAP, body("c", 5, uid="first"))
    store.put(CONFIG_MAP, body("c", 6, uid="second"))
    entry = store.find(FAMILY, CONFIG_MAP, "c")
    assert entry is not None
    assert entry.uid == "second"
    assert store.by_uid("first") is None
    assert len(store.members(FAMILY)) == 1


def test_an_object_whose_label_changes_moves_to_its_new_family() -> None:
    store = Store()
    store.put(CONFIG_MAP, body("c", 1))
    store.put(CONFIG_MAP, body("c", 2, labels={QUEUE_SERVER_LABEL: "other"}))
    assert store.members(FAMILY) == ()
    assert [entry.name for entry in store.members(Family("ns", "other"))] == ["c"]


def test_the_body_of_a_queue_server_is_kept_without_what_only_tools_need() -> None:
    store = Store()
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{...}", "mine": "1"}
    metadata = {"managedFields": [{"manager": "kubectl"}], "annotations": annotations}
    store.put(QUEUE_SERVER, body("q", 1, labels={}, metadata=metadata, spec={"suspend": True}))
    entry = store.find(FAMILY, QUEUE_SERVER, "q")
    assert entry is not None
    assert "managedFields" not in entry.view["metadata"]
    assert entry.view["metadata"]["annotations"] == {"mine": "1"}
    assert entry.view["spec"] == {"suspend": True}


def drifted(store: Store, kind: Kind, name: str) -> bool:
    entry = store.find(FAMILY, kind, name)
    assert entry is not None
    return store.drifted(entry)


def test_a_change_by_somebody_else_is_a_drift_until_the_operator_applies_again() -> None:
    store = Store()
    store.put(CONFIG_MAP, body("c", 1))
    assert not drifted(store, CONFIG_MAP, "c"), "nothing was applied yet by this process"
    store.put(CONFIG_MAP, body("c", 2), written=True)
    assert not drifted(store, CONFIG_MAP, "c")
    store.put(CONFIG_MAP, body("c", 3))
    assert drifted(store, CONFIG_MAP, "c")
    store.put(CONFIG_MAP, body("c", 3), written=True)
    assert not drifted(store, CONFIG_MAP, "c"), "an apply that changes nothing has the same version"


def test_a_status_change_is_no_drift_where_the_kind_counts_generations() -> None:
    store = Store()
    store.put(STATEFUL_SET, body("s", 1, metadata={"generation": 1}), written=True)
    store.put(STATEFUL_SET, body("s", 2, metadata={"generation": 1}))
    assert not drifted(store, STATEFUL_SET, "s")
    store.put(STATEFUL_SET, body("s", 3, metadata={"generation": 2}))
    assert drifted(store, STATEFUL_SET, "s")


def test_the_last_sight_of_a_worker_pod_is_kept_while_its_environment_exists() -> None:
    store = Store()
    ended = {"name": "worker", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
    store.put(ENVIRONMENT, environment("e", 1))
    store.put(POD, worker_pod("e", 2, uid="pod"))
    store.remove("pod", worker_pod("e", 3, uid="pod", status={"containerStatuses": [ended]}))
    (gone,) = store.gone_pods(FAMILY)
    assert gone.gone
    assert gone.environment == "e"
    assert gone.containers[0].ended is not None
    assert gone.containers[0].ended.reason == "OOMKilled"
    store.remove("uid-of-wenv-e")
    assert store.gone_pods(FAMILY) == ()


def test_the_last_sight_of_a_worker_pod_is_kept_while_its_lock_is_held() -> None:
    store = Store()
    store.put(LEASE, lease("instrument-x", 1, "ns/e/wenv"))
    store.put(POD, worker_pod("e", 2))
    store.remove("uid-of-e", worker_pod("e", 3))
    assert [pod.environment for pod in store.gone_pods(FAMILY)] == ["e"]
    store.remove("uid-of-instrument-x")
    assert store.gone_pods(FAMILY) == ()


def test_a_pod_whose_deletion_no_watch_told_is_kept_as_it_was_seen_last() -> None:
    store = Store()
    store.put(LEASE, lease("instrument-x", 1, "ns/e/wenv"))
    store.put(POD, worker_pod("e", 2, status={"phase": "Running"}))
    store.remove("uid-of-e")
    (gone,) = store.gone_pods(FAMILY)
    assert (gone.phase, gone.gone) == ("Running", True)


def test_a_lock_is_found_by_its_place_whoever_holds_it() -> None:
    store = Store()
    store.put(LEASE, lease("instrument-x", 1, "other/e/u"))
    found = store.lease("locks", "instrument-x")
    assert found is not None
    assert found.view.holder == "other/e/u"
    assert store.lease("locks", "instrument-y") is None


def test_what_is_known_includes_what_was_deleted() -> None:
    store = Store()
    store.put(POD, body("p", 5))
    assert store.knows("uid-of-p", 5)
    assert not store.knows("uid-of-p", 6)
    assert not store.knows("uid-of-another", 1)
    store.remove("uid-of-p")
    assert store.knows("uid-of-p", 9)
