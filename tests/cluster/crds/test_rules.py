"""What the API server refuses, in the words of the rule; every rule of the CRDs has a bad example here."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from api_server import CRDS, ApiServer
from queueserver_common.cluster import API_VERSION, environment_name

NAMESPACE = f"/apis/{API_VERSION}/namespaces/default"
QUEUE_SERVERS = f"{NAMESPACE}/queueservers"
ENVIRONMENTS = f"{NAMESPACE}/workerenvironments"
OPENING = "0123456789ab4def8123456789abcdef"


@dataclass(frozen=True)
class Bad:
    """A specification that is refused with a sentence."""

    id: str
    sentence: str
    environment: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    name: str = "q"


@dataclass(frozen=True)
class BadChange:
    """A change that is refused, though both states are allowed."""

    id: str
    sentence: str
    before: dict[str, Any]
    after: dict[str, Any]


SIMULATED = {"profile": {"simulated": {}}}
RESERVED = "keys that begin with queueserver.blueskyproject.io/ are the operator's own"
ONE_SOURCE = "name exactly one source of startup code: simulated, configMap, persistentVolumeClaim or image"
ONE_OF_IMAGE = "startup code in the image has either a path or a module, exactly one of the two"
HTTP_REPLICAS = (
    "more than one replica needs an external database, which all of them share: name the Secret with its address in "
    "http.database.uriSecret"
)
ONE_OF_DATABASE = "the database is either on a claim or external (uriSecret), exactly one of the two"
ONE_OF_PERMISSIONS = "permissions are given either inline or by a configMap, exactly one of the two"
OWN_NAME = (
    "the name of a QueueServer begins with a letter and has only lower-case letters, digits and '-' in it, because its "
    "Service has the same name"
)
PVC_PATH = "the path of a persistentVolumeClaim profile lies in the volume, without a leading '/' and without '..'"
EXTERNAL_REDIS = "an external Redis (address) has no image and no resources; remove them, or the address"
AMOUNTS = "amounts of resources are written like 500m or 2 for processors, 512Mi or 4Gi for memory"
MORE_THAN_LIMIT = "a request of resources is at most their limit"
VOLUME_SIZE = "the size of a volume is written like 500Mi or 10Gi"
NO_ACCESS = "podTemplate.spec sets no hostPID, hostIPC, automountServiceAccountToken or serviceAccountName"
MANAGER_TEMPLATE = (
    "podTemplate.spec sets no hostNetwork, hostPID, hostIPC, restartPolicy, automountServiceAccountToken or "
    "serviceAccountName"
)
INSTRUMENT = "the instrument cannot be changed, because running workers hold its lock; make another QueueServer"
STORAGE = (
    "size and storageClassName cannot be changed; to have more room, change the size of the claim "
    "data-<name>-manager-0 itself"
)
HOME_CLAIM = "the claim of the home cannot be changed; to have more room, change the claim <name>-home itself"


def template(**spec: Any) -> dict[str, Any]:
    return {**SIMULATED, "podTemplate": {"spec": spec}}


BAD = [
    Bad(
        "name too long",
        "the name of a QueueServer has at most 40 characters, because the names of its objects are made from it",
        name="q" * 41,
    ),
    Bad("name begins with a digit", OWN_NAME, name="7id"),
    Bad("name with a dot", OWN_NAME, name="id.7"),
    Bad("no profile source", ONE_SOURCE, {"profile": {}}),
    Bad("two profile sources", ONE_SOURCE, {"profile": {"simulated": {}, "configMap": {"name": "x"}}}),
    Bad(
        "configMap path with a slash",
        "the path of a configMap profile is one of its keys, without '/'",
        {"profile": {"configMap": {"name": "x", "path": "a/b.py"}}},
    ),
    Bad("absolute path in a claim", PVC_PATH, {"profile": {"persistentVolumeClaim": {"claimName": "x", "path": "/a"}}}),
    Bad(
        "path out of the claim",
        PVC_PATH,
        {"profile": {"persistentVolumeClaim": {"claimName": "x", "path": "a/../../b"}}},
    ),
    Bad("image without path or module", ONE_OF_IMAGE, {"profile": {"image": {}}}),
    Bad("image with path and module", ONE_OF_IMAGE, {"profile": {"image": {"path": "/a", "module": "a"}}}),
    Bad(
        "relative path in the image",
        "the path of startup code in the image begins with '/'",
        {"profile": {"image": {"path": "startup"}}},
    ),
    Bad(
        "two homes",
        "name at most one kind of home: claim, existingClaim or emptyDir",
        {**SIMULATED, "home": {"emptyDir": {}, "existingClaim": {"claimName": "x"}}},
    ),
    Bad(
        "destroy slower than close",
        "destroyGraceSeconds is at most terminationGracePeriodSeconds, because to destroy is the faster way",
        {**SIMULATED, "destroyGraceSeconds": 31},
    ),
    Bad(
        "a volume of the operator",
        "the names home, tmp, spool, link, opening and startup belong to volumes of the worker itself",
        {**SIMULATED, "volumes": [{"name": "home", "emptyDir": {}}]},
    ),
    Bad(
        "a variable of the operator",
        "HOME, POD_UID, POD_NAME, POD_NAMESPACE and NODE_NAME are set by the operator",
        {**SIMULATED, "env": [{"name": "HOME", "value": "/"}]},
    ),
    Bad("a label of the operator", RESERVED, {**SIMULATED, "labels": {"queueserver.blueskyproject.io/component": "x"}}),
    Bad(
        "an annotation of the operator",
        RESERVED,
        spec={"manager": {"annotations": {"queueserver.blueskyproject.io/hash": "x"}}},
    ),
    Bad(
        "hostNetwork by the back door",
        "hostNetwork is set by spec.environment.hostNetwork, because the operator has to permit it",
        template(hostNetwork=True),
    ),
    Bad(
        "a worker that restarts",
        "the restartPolicy of a worker is Never, because a RunEngine that ended cannot be resumed by a restart",
        template(restartPolicy="Always"),
    ),
    Bad("the host's processes", NO_ACCESS, template(hostPID=True)),
    Bad("a token for the worker", NO_ACCESS, template(automountServiceAccountToken=True)),
    Bad(
        "the host's network for the manager",
        MANAGER_TEMPLATE,
        spec={"manager": {"podTemplate": {"spec": {"hostNetwork": True}}}},
    ),
    Bad("external Redis with an image", EXTERNAL_REDIS, spec={"redis": {"address": "redis:6379", "image": "x"}}),
    Bad(
        "a password in the specification",
        "a specification is no place for a password; name a Redis server that is reached without one",
        spec={"redis": {"address": "redis://user:secret@redis:6379"}},
    ),
    Bad("several HTTP servers without a database of their own", HTTP_REPLICAS, spec={"http": {"replicas": 2}}),
    Bad(
        "several HTTP servers with a claim",
        HTTP_REPLICAS,
        spec={"http": {"replicas": 2, "database": {"claim": {}}}},
    ),
    Bad("a database without a place", ONE_OF_DATABASE, spec={"http": {"database": {}}}),
    Bad(
        "two databases",
        ONE_OF_DATABASE,
        spec={"http": {"database": {"claim": {}, "uriSecret": {"name": "x"}}}},
    ),
    Bad("memory as people write it", AMOUNTS, {**SIMULATED, "resources": {"limits": {"memory": "4GB"}}}),
    Bad("processors in words", AMOUNTS, spec={"manager": {"resources": {"requests": {"cpu": "half"}}}}),
    Bad(
        "more asked for than allowed",
        MORE_THAN_LIMIT,
        spec={"redis": {"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "512Mi"}}}},
    ),
    Bad("a volume as people write it", VOLUME_SIZE, spec={"storage": {"size": "10 GB"}}),
    Bad("a volume without room", VOLUME_SIZE, {**SIMULATED, "home": {"claim": {"size": 0}}}),
    Bad("permissions twice", ONE_OF_PERMISSIONS, spec={"permissions": {"inline": "x", "configMap": {"name": "x"}}}),
    Bad("permissions without content", ONE_OF_PERMISSIONS, spec={"permissions": {}}),
]

BAD_CHANGES = [
    BadChange("another instrument", INSTRUMENT, {"instrument": "id7"}, {"instrument": "id8"}),
    BadChange("an instrument later", INSTRUMENT, {}, {"instrument": "id8"}),
    BadChange("no instrument any more", INSTRUMENT, {"instrument": "id7"}, {}),
    BadChange("a larger volume", STORAGE, {"storage": {"size": "1Gi"}}, {"storage": {"size": "2Gi"}}),
    BadChange("another storage class", STORAGE, {}, {"storage": {"storageClassName": "fast"}}),
    BadChange(
        "a larger home",
        HOME_CLAIM,
        {"environment": {**SIMULATED, "home": {"claim": {"size": "1Gi"}}}},
        {"environment": {**SIMULATED, "home": {"claim": {"size": "2Gi"}}}},
    ),
]

QUEUE_SERVER_REF = "queueServerRef cannot be changed; make another WorkerEnvironment"
OPENING_ID = "openingId cannot be changed; make another WorkerEnvironment"
SHORT_ID = "openingId has at least 10 letters and digits"
ENVIRONMENT_NAME = (
    "the name of a WorkerEnvironment is that of its QueueServer, '-' and the first 10 letters and digits of its "
    "openingId, because its pod and ConfigMap have the same name"
)


def queue_server(name: str = "q", **spec: Any) -> dict[str, Any]:
    whole = {"environment": SIMULATED, **spec}
    return {"apiVersion": API_VERSION, "kind": "QueueServer", "metadata": {"name": name}, "spec": copy.deepcopy(whole)}


def environment(name: str, queue_server: str = "q", opening_id: str = OPENING) -> dict[str, Any]:
    spec = {"queueServerRef": {"name": queue_server}, "openingId": opening_id}
    return {"apiVersion": API_VERSION, "kind": "WorkerEnvironment", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(autouse=True)
def nothing_is_left(api_server: ApiServer) -> Iterator[None]:
    yield
    for collection in (QUEUE_SERVERS, ENVIRONMENTS):
        assert api_server.request("DELETE", collection).is_success


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.id)
def test_a_bad_queue_server_is_refused_with_a_sentence(api_server: ApiServer, bad: Bad):
    answer = api_server.create(
        QUEUE_SERVERS, queue_server(bad.name, environment=bad.environment or SIMULATED, **bad.spec)
    )
    assert answer.status_code == 422
    assert bad.sentence in answer.json()["message"]


@pytest.mark.parametrize("bad", BAD_CHANGES, ids=lambda bad: bad.id)
def test_a_bad_change_of_a_queue_server_is_refused_with_a_sentence(api_server: ApiServer, bad: BadChange):
    created = api_server.create(QUEUE_SERVERS, queue_server(**bad.before))
    assert created.status_code == 201, created.text
    changed = queue_server(**bad.after)
    changed["metadata"]["resourceVersion"] = created.json()["metadata"]["resourceVersion"]
    answer = api_server.request("PUT", f"{QUEUE_SERVERS}/q", changed)
    assert answer.status_code == 422
    assert bad.sentence in answer.json()["message"]


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [("queueServerRef", {"name": "r"}, QUEUE_SERVER_REF), ("openingId", OPENING[::-1], OPENING_ID)],
)
def test_an_environment_cannot_be_changed(api_server: ApiServer, field: str, value: Any, sentence: str):
    name = environment_name("q", OPENING)
    created = api_server.create(ENVIRONMENTS, environment(name))
    assert created.status_code == 201, created.text
    changed = created.json()
    changed["spec"][field] = value
    answer = api_server.request("PUT", f"{ENVIRONMENTS}/{name}", changed)
    assert answer.status_code == 422
    assert sentence in answer.json()["message"]


def test_an_environment_has_the_name_that_follows_from_its_opening(api_server: ApiServer):
    answer = api_server.create(ENVIRONMENTS, environment("q-manager-0"))
    assert answer.status_code == 422
    assert ENVIRONMENT_NAME in answer.json()["message"]
    for opening_id in (OPENING, "01234567-89ab-4def-8123-456789abcdef"):
        name = environment_name("q", opening_id)
        answer = api_server.create(ENVIRONMENTS, environment(name, opening_id=opening_id))
        assert answer.status_code in (201, 409), answer.text


def test_an_opening_id_that_is_too_short_is_refused_with_a_sentence(api_server: ApiServer):
    answer = api_server.create(ENVIRONMENTS, environment("q-0-1-2-3-4-5", opening_id="0-1-2-3-4-5"))
    assert answer.status_code == 422
    assert SHORT_ID in answer.json()["message"]


def rules() -> set[str]:
    """The sentences of all rules in the CRDs."""
    found = set()
    waiting = [yaml.safe_load(path.read_text()) for path in CRDS]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            found |= {rule["message"] for rule in node.get("x-kubernetes-validations", ())}
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return found


def test_every_rule_has_a_bad_example():
    tried = {one.sentence for one in (*BAD, *BAD_CHANGES)}
    assert rules() == tried | {QUEUE_SERVER_REF, OPENING_ID, SHORT_ID, ENVIRONMENT_NAME}
