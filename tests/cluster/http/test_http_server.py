"""The HTTP server of a QueueServer in the cluster: keys, accounts, tokens of the cluster, a manager that is away."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import yaml
from websockets.sync.client import connect

from cluster_beamline import DEADLINE, Beamline
from cluster_of_tests import Kubectl
from deadline import wait_until
from helm_release import Releases
from port_forward import forwarded
from queueserver_common.cluster import HTTP_PORT, http_name

pytestmark = pytest.mark.timeout(600)

COUNT = {"item_type": "plan", "name": "count", "args": [["det1"]]}
SIMULATED = {"profile": {"simulated": {}}, "resources": {"requests": {"cpu": "20m"}}}
SMALL = {"resources": {"requests": {"cpu": "20m"}}}
NAME = "beamline"
ACCOUNTS = {
    "authentication": {
        "providers": [
            {
                "provider": "toy",
                "authenticator": "bluesky_httpserver.authenticators:DictionaryAuthenticator",
                "args": {"users_to_passwords": {"alice": "alice_password"}},
            }
        ]
    },
    "api_access": {
        "policy": "bluesky_httpserver.authorization:DictionaryAPIAccessControl",
        "args": {"users": {"alice": {"roles": ["user"]}}},
    },
}


class Server:
    """The HTTP server of a QueueServer."""

    def __init__(self, beamline: Beamline) -> None:
        self.beamline = beamline
        self.cluster = beamline.cluster
        self.name = http_name(beamline.name)

    @contextmanager
    def client(self, **headers: str) -> Iterator[httpx.Client]:
        """A client outside of the cluster."""
        with forwarded(self.cluster, self.name, HTTP_PORT) as ports:
            url = f"http://127.0.0.1:{ports[HTTP_PORT]}"
            with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
                yield client

    @property
    def key(self) -> str:
        secret = self.cluster.get("secret", self.name)
        assert secret
        return base64.b64decode(secret["data"]["api_key"]).decode()

    def wait_available(self) -> None:
        self.cluster.wait("deployment", self.name, "create", DEADLINE)
        self.cluster("rollout", "status", f"deployment/{self.name}", "--timeout=180s", seconds=200)


def start(beamline: Beamline, **http: Any) -> Server:
    beamline.start(environment=SIMULATED, http={**SMALL, **http})
    server = Server(beamline)
    server.wait_available()
    return server


@pytest.fixture
def server(new_beamline: Any) -> Server:
    """With the single-user key that the operator made."""
    return start(new_beamline(NAME))


@pytest.fixture
def reviewers(operator: Releases, cluster: Kubectl, namespace: Kubectl) -> Iterator[None]:
    """The account of the HTTP server may have tokens reviewed."""
    name = f"{namespace.namespace}-reviews"
    account = f"{namespace.namespace}:{http_name(NAME)}"
    cluster(
        *("create", "clusterrolebinding", name, "--clusterrole", "system:auth-delegator"), "--serviceaccount", account
    )
    yield
    cluster.delete("clusterrolebinding", name)


def test_a_plan_is_run_with_the_key_that_the_operator_made(server: Server):
    with server.client() as anybody:
        assert anybody.get("/api/status").status_code == 401
        assert anybody.get("/docs").status_code == 200
    with server.client(Authorization=f"ApiKey {server.key}") as client:
        assert client.post("/api/environment/open").json()["success"] is True
        wait_until(
            lambda: client.get("/api/status").json()["worker_environment_state"] == "idle", "it is open", 2 * DEADLINE
        )
        assert client.post("/api/queue/item/add", json={"item": COUNT}).json()["success"] is True
        with connect(
            f"ws://{client.base_url.netloc.decode()}/api/console_output/ws",
            additional_headers={"Authorization": f"ApiKey {server.key}"},
            proxy=None,
        ) as console:
            assert client.post("/api/queue/start").json()["success"] is True
            text = ""
            while "completed" not in text:
                text += json.loads(console.recv(timeout=DEADLINE))["msg"]
        wait_until(lambda: client.get("/api/history/get").json()["items"], "the plan has ended", DEADLINE)
        [item] = client.get("/api/history/get").json()["items"]
        assert (item["result"]["exit_status"], item["user"]) == ("completed", "UNAUTHENTICATED_SINGLE_USER")


def test_without_a_token_review_no_token_is_in_the_pod(server: Server):
    [pod] = server.cluster.find("pods", "queueserver.blueskyproject.io/component=http")
    files = server.cluster.run_in(pod["metadata"]["name"], "sh", "-c", "ls /var/run/secrets 2>&1 || true")
    assert "kubernetes.io" not in files
    environment = server.cluster.run_in(pod["metadata"]["name"], "env")
    assert server.key not in environment


def test_while_the_manager_is_away_it_says_when_to_come_again(server: Server):
    cluster, manager = server.cluster, server.beamline.manager_pod
    with server.client(Authorization=f"ApiKey {server.key}") as client:
        assert client.get("/api/status").status_code == 200
        server.beamline.apply(environment=SIMULATED, http=SMALL, manager={"nodeSelector": {"no": "such-node"}})
        cluster("delete", "pod", manager, "--grace-period=1")
        wait_until(lambda: client.get("/api/status").status_code == 503, "the manager is missed", DEADLINE)
        assert client.get("/api/status").headers["retry-after"] == "1"
        assert client.get("/healthz").status_code == 200
        server.beamline.apply(environment=SIMULATED, http=SMALL)
        wait_until(lambda: client.get("/api/status").status_code == 200, "the manager is back", 2 * DEADLINE)


def test_accounts_outlive_the_pod_and_tokens_of_the_cluster_are_reviewed(
    new_beamline: Any, reviewers: None, namespace: Kubectl
):
    namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "accounts"},
            "stringData": {"accounts.yml": yaml.safe_dump(ACCOUNTS)},
        },
        *(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
            for name in ("scheduler", "stranger")
        ),
    )
    scheduler = f"system:serviceaccount:{namespace.namespace}:scheduler"
    server = start(
        new_beamline(NAME),
        configuration={"secret": {"name": "accounts"}},
        database={"claim": {}},
        tokenReview={"users": {scheduler: ["user"]}, "groups": {"system:masters": ["admin"]}},
    )
    form = {"username": "alice", "password": "alice_password"}
    with server.client() as client:
        tokens = client.post("/api/auth/provider/toy/token", data=form).json()
        assert client.get("/api/status", headers={"Authorization": f"ApiKey {server.key}"}).status_code == 401
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}

    [before] = namespace.find("pods", "queueserver.blueskyproject.io/component=http")
    namespace("delete", "pod", before["metadata"]["name"], "--grace-period=5")
    server.wait_available()
    with server.client() as client:
        assert client.get("/api/auth/whoami", headers=bearer).json()["identities"][0]["id"] == "alice"
        renewed = client.post("/api/auth/session/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert renewed.status_code == 200

        def as_account(name: str, *options: str) -> dict[str, str]:
            return {"Authorization": f"Bearer {namespace('create', 'token', name, *options).strip()}"}

        added = client.post("/api/queue/item/add", headers=as_account("scheduler"), json={"item": COUNT})
        assert added.status_code == 200, added.text
        who = client.get("/api/auth/whoami", headers=as_account("scheduler")).json()
        assert who["identities"] == [{"provider": "kubernetes", "id": scheduler}]
        assert client.get("/metrics", headers=as_account("scheduler")).status_code == 401
        assert client.get("/api/status", headers=as_account("stranger")).status_code == 401
        assert client.get("/api/status", headers=as_account("scheduler", "--audience=another")).status_code == 401
        forged = as_account("scheduler")["Authorization"][:-6] + "AAAAAA"
        assert client.get("/api/status", headers={"Authorization": forged}).status_code == 401


def test_settings_that_cannot_be_used_are_told_and_the_manager_is_not_concerned(server: Server):
    cluster, beamline = server.cluster, server.beamline
    manager = cluster.get("pod", beamline.manager_pod)
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings"},
            "data": {"access.yml": "api_access: {policy: 'nomodule:Nothing'}"},
        }
    )
    wrong = {**SMALL, "configuration": {"configMap": {"name": "settings"}}}
    beamline.apply(environment=SIMULATED, http=wrong)
    with server.client(Authorization=f"ApiKey {server.key}") as client:
        assert client.get("/api/status").status_code == 200  # the server before it answers on
        wait_until(
            lambda: "nomodule" in str(beamline.condition("queueserver", beamline.name, "RolloutPending")),
            "the QueueServer says what is wrong",
            2 * DEADLINE,
        )
        assert client.get("/api/status").status_code == 200
    beamline.apply(environment=SIMULATED)
    wait_until(lambda: cluster.get("deployment", server.name) is None, "it is gone", DEADLINE)
    after = cluster.get("pod", beamline.manager_pod)
    assert manager
    assert after
    assert after["metadata"]["uid"] == manager["metadata"]["uid"]
