"""Several HTTP servers of a QueueServer: they share accounts in PostgreSQL, and each of them may go at any time."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import yaml

from cluster_beamline import DEADLINE, Beamline
from cluster_of_tests import Kubectl, new_namespace
from cluster_postgres import ClusterPostgres
from deadline import wait_until
from helm_release import Releases
from port_forward import PortForward
from queueserver_common.cluster import HTTP_PORT, http_name

pytestmark = pytest.mark.timeout(600)

NAME = "beamline"
PODS = "queueserver.blueskyproject.io/component=http"
ALICE = {"username": "alice", "password": "alice_password"}
ACCOUNTS = {
    "authentication": {
        "providers": [
            {
                "provider": "toy",
                "authenticator": "bluesky_httpserver.authenticators:DictionaryAuthenticator",
                "args": {"users_to_passwords": {ALICE["username"]: ALICE["password"]}},
            }
        ]
    },
    "api_access": {
        "policy": "bluesky_httpserver.authorization:DictionaryAPIAccessControl",
        "args": {"users": {"alice": {"roles": ["user"]}}},
    },
}

ASK_ON = """
import json, os, sys, time, urllib.request
url, key = sys.argv[1:]
answers, failures = 0, []
while not os.path.exists("/tmp/enough"):
    request = urllib.request.Request(url, headers={"Authorization": "ApiKey " + key})
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            answers += reply.status == 200
    except OSError as error:
        failures.append(repr(error))
    open("/tmp/begun", "w").close()
    time.sleep(0.05)
print(json.dumps([answers, failures]))
"""
"""Runs in the client pod: a new connection to the Service for each request, until a file is there."""


class Server:
    """One of the servers, asked by itself."""

    def __init__(self, cluster: Kubectl, pod: str) -> None:
        self.pod = pod
        self._forward = PortForward(cluster, f"pod/{pod}", {HTTP_PORT: 0})

    def ask(self, path: str, method: str = "GET", **more: Any) -> httpx.Response:
        self._forward.keep()
        return httpx.request(method, f"http://127.0.0.1:{self._forward.ports[HTTP_PORT]}{path}", timeout=30, **more)

    def log_in(self) -> httpx.Response:
        return self.ask("/api/auth/provider/toy/token", "POST", data=ALICE)

    def refresh(self, token: str) -> httpx.Response:
        return self.ask("/api/auth/session/refresh", "POST", json={"refresh_token": token})

    def end(self) -> None:
        self._forward.end()


class Servers:
    """All servers of a QueueServer, and their database."""

    def __init__(self, beamline: Beamline, database: ClusterPostgres) -> None:
        self.beamline = beamline
        self.cluster = beamline.cluster
        self.database = database
        self._known: dict[str, Server] = {}

    def apply(self, **http: Any) -> None:
        """Apply the QueueServer with two servers."""
        self.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "accounts"},
                "stringData": {"accounts.yml": yaml.safe_dump(ACCOUNTS)},
            }
        )
        wanted = {
            "replicas": 2,
            "configuration": {"secret": {"name": "accounts"}},
            "database": {"uriSecret": {"name": self.database.secret}},
            "resources": {"requests": {"cpu": "20m"}},
        }
        self.beamline.apply(
            environment={"profile": {"simulated": {}}, "resources": {"requests": {"cpu": "20m"}}},
            http={**wanted, **http},
        )

    def wait_available(self) -> None:
        name = http_name(NAME)
        self.cluster.wait("deployment", name, "create", DEADLINE)
        self.cluster("rollout", "status", f"deployment/{name}", "--timeout=180s", seconds=200)
        wait_until(lambda: len(self.pods()) == 2, "only the two servers are left", DEADLINE)

    def pods(self) -> list[dict[str, Any]]:
        return self.cluster.find("pods", PODS)

    def both(self) -> list[Server]:
        """Each of the two that there are now."""
        names = [pod["metadata"]["name"] for pod in self.pods()]
        assert len(names) == 2
        for name in names:
            if name not in self._known:
                self._known[name] = Server(self.cluster, name)
        return [self._known[name] for name in names]

    def restarts(self) -> list[int]:
        return [pod["status"]["containerStatuses"][0]["restartCount"] for pod in self.pods()]

    def started(self) -> list[bool]:
        """Which of them live."""
        return [state["started"] for state in self._containers()]

    def ready(self) -> list[bool]:
        return [state["ready"] for state in self._containers()]

    def _containers(self) -> list[dict[str, Any]]:
        return [state for pod in self.pods() for state in pod["status"].get("containerStatuses", [])]

    def explain(self) -> str:
        logs = [self.cluster("logs", pod["metadata"]["name"], "--tail=20", check=False) for pod in self.pods()]
        return "\n".join([self.beamline.explain(), *logs])

    def discard(self) -> None:
        for server in self._known.values():
            server.end()
        self.beamline.disconnect()


MADE: list[Servers] = []
"""Those of this module that there are."""


def with_bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def new_key(server: Server, tokens: dict[str, Any]) -> str:
    made = server.ask("/api/auth/apikey", "POST", headers=with_bearer(tokens), json={"expires_in": 3600})
    assert made.status_code == 200, made.text
    return str(made.json()["secret"])


def session_of(tokens: dict[str, Any]) -> str:
    claims = tokens["refresh_token"].split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sid"])


@pytest.fixture(scope="module")
def new_servers(cluster: Kubectl, images: dict[str, str], operator: Releases) -> Iterator[Callable[[], Servers]]:
    """Makes servers that are not applied yet, with a database that is not there yet, in a namespace of their own."""

    def make() -> Servers:
        namespace = new_namespace(cluster)
        database = ClusterPostgres(namespace, images["postgresql"])
        database.create()
        MADE.append(Servers(Beamline(namespace, images, NAME), database))
        return MADE[-1]

    yield make
    while MADE:
        servers = MADE.pop()
        servers.discard()
        cluster.delete("namespace", servers.cluster.namespace)


@pytest.fixture(scope="module")
def shared_servers(new_servers: Callable[[], Servers]) -> Servers:
    servers = new_servers()
    servers.database.start()
    servers.apply()
    servers.beamline.start_client()
    servers.beamline.wait_ready()
    servers.wait_available()
    return servers


@pytest.fixture
def servers(shared_servers: Servers) -> Servers:
    """Two servers that are well; so the test leaves them."""
    return shared_servers


@pytest.fixture(autouse=True)
def explained(request: pytest.FixtureRequest) -> Iterator[None]:
    """When a test fails, what there is to see of its servers."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed != failed:
        for servers in MADE:
            print(servers.explain())


def test_both_start_before_their_database_and_make_its_tables_at_the_same_moment(new_servers: Callable[[], Servers]):
    servers = new_servers()
    servers.apply()
    wait_until(lambda: servers.started() == [True, True], "both live", 2 * DEADLINE)
    for server in servers.both():
        assert server.ask("/healthz").status_code == 200
        refused = server.ask("/startupz")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert server.log_in().status_code == 503
    assert servers.ready() == [False, False]
    wait_until(
        lambda: servers.beamline.condition("queueserver", NAME, "HttpUnavailable")[1] == "DatabaseAway",
        "the QueueServer says what they wait for",
        2 * DEADLINE,
    )
    servers.database.start()
    servers.wait_available()
    wait_until(
        lambda: servers.beamline.condition("queueserver", NAME, "HttpUnavailable") == ("", "", ""),
        "the QueueServer says so no more",
        DEADLINE,
    )
    first, second = servers.both()
    tokens = first.log_in().json()
    assert second.ask("/api/auth/whoami", headers=with_bearer(tokens)).json()["identities"][0]["id"] == "alice"
    assert servers.restarts() == [0, 0]


def test_what_one_server_gave_is_good_at_the_other_and_what_it_took_back_is_refused_there(servers: Servers):
    first, second = servers.both()
    tokens = first.log_in().json()
    who = second.ask("/api/auth/whoami", headers=with_bearer(tokens))
    assert who.json()["identities"][0]["id"] == "alice"
    key = {"Authorization": f"ApiKey {new_key(first, tokens)}"}
    assert second.ask("/api/status", headers=key).status_code == 200
    for server in (first, second):
        again = server.ask("/api/auth/whoami", headers=with_bearer(server.log_in().json()))
        assert again.json()["uuid"] == who.json()["uuid"]

    renewed = second.refresh(tokens["refresh_token"])
    assert renewed.status_code == 200
    revoked = first.ask(f"/api/auth/session/revoke/{session_of(tokens)}", "DELETE", headers=with_bearer(tokens))
    assert revoked.status_code == 200
    for token in (tokens["refresh_token"], renewed.json()["refresh_token"]):
        assert second.refresh(token).status_code == 401

    first_eight = key["Authorization"].split()[1][:8]
    deleted = first.ask(f"/api/auth/apikey?first_eight={first_eight}", "DELETE", headers=with_bearer(tokens))
    assert deleted.status_code == 200
    assert first.ask("/api/status", headers=key).status_code == 401
    wait_until(lambda: second.ask("/api/status", headers=key).status_code == 401, "a key is kept for 5 s", DEADLINE)


def test_a_server_goes_and_no_request_fails(servers: Servers):
    first, _ = servers.both()
    key = new_key(first, first.log_in().json())
    cluster, client = servers.cluster, servers.beamline.client
    url = f"http://{http_name(NAME)}:{HTTP_PORT}/api/status"
    command = cluster.command("exec", client, "--", "python", "-c", ASK_ON, url, key)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
        try:
            wait_until(lambda: "begun" in cluster.run_in(client, "ls", "/tmp"), "requests are sent", DEADLINE)
            # One after the other: whichever of them the client is led to has gone.
            for pod in [one["metadata"]["name"] for one in servers.pods()]:
                cluster("delete", "pod", pod, seconds=DEADLINE)
                servers.wait_available()
            cluster.run_in(client, "touch", "/tmp/enough")
            output, _ = asking.communicate(timeout=DEADLINE)
        finally:
            asking.kill()
    answers, failures = json.loads(output)
    assert failures == []
    assert answers > 20


def test_without_the_database_they_say_so_and_go_on_when_it_is_back(servers: Servers):
    tokens = servers.both()[0].log_in().json()
    key = {"Authorization": f"ApiKey {new_key(servers.both()[0], tokens)}"}
    before = {pod["metadata"]["uid"] for pod in servers.pods()}
    servers.database.stop()
    for server in servers.both():
        wait_until(lambda server=server: server.ask("/readyz").status_code == 503, "it is not ready", DEADLINE)
        assert "database" in server.ask("/readyz").json()["detail"]
        refused = server.log_in()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        wait_until(lambda server=server: server.ask("/api/status", headers=key).status_code == 503, "no keys", DEADLINE)
        assert server.ask("/api/status", headers=with_bearer(tokens)).status_code == 200, "tokens need no database"
        assert server.ask("/healthz").status_code == 200
    assert servers.ready() == [True, True], "clients find them and are told when to come again"
    servers.database.start()
    for server in servers.both():
        wait_until(lambda server=server: server.ask("/readyz").status_code == 200, "it is ready again", DEADLINE)
        assert server.ask("/api/status", headers=key).status_code == 200
        assert server.log_in().status_code == 200
    assert servers.restarts() == [0, 0]
    assert {pod["metadata"]["uid"] for pod in servers.pods()} == before


def test_servers_with_the_address_of_a_database_that_is_not_there_replace_no_others(servers: Servers):
    nowhere = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "nowhere"}}
    address = "postgresql://accounts:word@nowhere.invalid:5432/accounts"
    servers.cluster.apply({**nowhere, "stringData": {"uri": address}})
    before = {pod["metadata"]["uid"] for pod in servers.pods()}
    servers.apply(database={"uriSecret": {"name": "nowhere"}})
    wait_until(
        lambda: servers.beamline.condition("queueserver", NAME, "RolloutPending")[1] == "DatabaseAway",
        "the QueueServer says what the new servers wait for",
        2 * DEADLINE,
    )
    assert "Secret nowhere" in servers.beamline.condition("queueserver", NAME, "RolloutPending")[2]
    uids = {pod["metadata"]["uid"] for pod in servers.pods() if pod["status"]["containerStatuses"][0]["ready"]}
    assert uids == before
    servers.apply()
    servers.wait_available()
    assert {pod["metadata"]["uid"] for pod in servers.pods()} == before
    assert servers.beamline.condition("queueserver", NAME, "RolloutPending")[1] != "DatabaseAway"
