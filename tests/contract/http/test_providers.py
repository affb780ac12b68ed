"""Databases and providers as they are: PostgreSQL, slapd, OpenID Connect, PAM, TokenReview (http-api 5.2 and 6)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_server import ApiServer, running_api_server
from contract_manager import ContractManager
from http_accounts import configuration_with
from http_in_a_thread import serving
from identity_providers import OpenIdProvider, running_slapd
from ports import free_ports
from postgres_server import PostgresServer
from running_http_server import KEY, RunningHttpServer
from saml_provider import SamlProvider

Start = Callable[..., RunningHttpServer]


def log_in(server: RunningHttpServer, name: str, password: str) -> httpx.Response:
    url = f"{server.url}/api/auth/provider/toy/token"
    return httpx.post(url, data={"username": name, "password": password}, timeout=20)


# PostgreSQL ------------------------------------------------------------------------------------------------------


@pytest.mark.row("http-api", "authenticator Dummy", "section database", "section api_access")
def test_several_servers_share_accounts_in_postgresql(
    start_server: Start, manager_with_environment: ContractManager
) -> None:
    with PostgresServer() as postgres:
        settings = configuration_with("DummyAuthenticator", {}, database={"uri": postgres.uri})
        with ThreadPoolExecutor(3) as together:  # all of them make the tables
            servers = list(
                together.map(lambda _: start_server(manager_with_environment, configuration=settings), range(3))
            )
            answers = list(together.map(lambda server: log_in(server, "bob", "x"), servers * 3))
        assert {answer.status_code for answer in answers} == {200}
        bearer = {"Authorization": f"Bearer {answers[0].json()['access_token']}"}
        uuids = {httpx.get(f"{one.url}/api/auth/whoami", headers=bearer).json()["uuid"] for one in servers}
        assert len(uuids) == 1
        principals = httpx.get(f"{servers[1].url}/api/auth/principal", headers=bearer).json()
        assert [one["identities"][0]["id"] for one in principals] == ["bob"]
        key = httpx.post(f"{servers[0].url}/api/auth/apikey", headers=bearer, json={"expires_in": 60}).json()
        with servers[2].client(Authorization=f"ApiKey {key['secret']}") as client:
            assert client.get("/api/status").status_code == 200
        for server in servers:
            assert "a password" not in server.log
            assert server.stop() == 0


# LDAP ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ldap_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_slapd(tmp_path_factory.mktemp("slapd")) as port:
        yield port


_BASE = "ou=people,dc=example,dc=org"


@pytest.mark.parametrize(
    "arguments",
    [
        {"bind_dn_template": f"uid={{username}},{_BASE}"},
        {"bind_dn_template": ["uid={username},ou=nobody,dc=example,dc=org", f"uid={{username}},{_BASE}"]},
        {
            "lookup_dn": True,
            "user_search_base": _BASE,
            "user_attribute": "uid",
            "lookup_dn_search_user": "cn=admin,dc=example,dc=org",
            "lookup_dn_search_password": "admin_password",
        },
    ],
    ids=["template", "templates", "lookup"],
)
@pytest.mark.row("http-api", "authenticator LDAP")
def test_users_of_an_ldap_server_log_in(
    arguments: dict[str, Any], ldap_port: int, start_server: Start, manager_with_environment: ContractManager
) -> None:
    server_arguments = {"server_address": "127.0.0.1", "server_port": ldap_port, "use_tls": False, **arguments}
    settings = configuration_with("LDAPAuthenticator", server_arguments)
    server = start_server(manager_with_environment, configuration=settings)
    assert log_in(server, "bob", "bob_password").status_code == 200
    assert log_in(server, "eve", "eve_password").status_code == 200
    for name, word in (("bob", "wrong"), ("bob", " "), ("*", "bob_password"), ("bob)(uid=*", "x"), ("nobody", "x")):
        answer = log_in(server, name, word)
        assert (answer.status_code, answer.json()["detail"]) == (401, "Incorrect username or password"), name
    assert log_in(server, "bob,ou=x", "bob_password").status_code == 401


def test_only_members_of_the_allowed_groups_log_in(
    ldap_port: int, start_server: Start, manager_with_environment: ContractManager
) -> None:
    arguments = {
        "server_address": ["127.0.0.1:9", f"127.0.0.1:{ldap_port}"],  # the first one is away
        "use_tls": False,
        "bind_dn_template": f"uid={{username}},{_BASE}",
        "allowed_groups": ["cn=beamline,dc=example,dc=org"],
    }
    server = start_server(manager_with_environment, configuration=configuration_with("LDAPAuthenticator", arguments))
    assert log_in(server, "bob", "bob_password").status_code == 200
    assert log_in(server, "eve", "eve_password").status_code == 401


# OpenID Connect --------------------------------------------------------------------------------------------------


@pytest.mark.row("http-api", "authenticator OIDC", "GET /auth/provider/{provider}/code")
def test_users_of_an_openid_provider_log_in(start_server: Start, manager_with_environment: ContractManager) -> None:
    with OpenIdProvider() as provider:
        arguments = provider.arguments("http://localhost/api/auth/provider/toy/code")
        server = start_server(
            manager_with_environment, configuration=configuration_with("OIDCAuthenticator", arguments)
        )
        code = f"{server.url}/api/auth/provider/toy/code"

        def come_back() -> str:
            leave = httpx.get(code)
            assert leave.status_code == 302
            return httpx.get(leave.headers["location"]).headers["location"].partition("?")[2]

        query = come_back()
        tokens = httpx.get(f"{code}?{query}")
        assert tokens.status_code == 200, tokens.text
        headers = {"Authorization": f"Bearer {tokens.json()['access_token']}"}
        assert httpx.get(f"{server.url}/api/auth/whoami", headers=headers).json()["identities"][0]["id"] == "bob"
        assert httpx.get(f"{code}?{query}").status_code == 401  # once only
        assert httpx.get(f"{code}?code=x&state=y").status_code == 401
        for claims in (
            {"email": "stranger"},
            {"email": "bob", "nonce": "another"},
            {"email": "bob", "aud": "another"},
            {"email": "bob", "iss": "another"},
            {"email": "bob", "exp": 1},
            {"email": "bob", "email_verified": False},
            {"email": None},
        ):
            provider.claims = claims
            assert httpx.get(f"{code}?{come_back()}").status_code == 401, claims
        query = come_back()
    away = httpx.get(f"{code}?{query}")
    assert (away.status_code, away.headers["retry-after"]) == (503, "5"), away.text


def test_an_openid_provider_that_was_never_there_is_503(
    start_server: Start, manager_with_environment: ContractManager
) -> None:
    [port] = free_ports(1)
    arguments = {
        "client_id": "queueserver",
        "client_secret": "SECRETWORD",
        "well_known_uri": f"http://127.0.0.1:{port}/.well-known/openid-configuration",
        "redirect_uri": "http://localhost/api/auth/provider/toy/code",
    }
    server = start_server(manager_with_environment, configuration=configuration_with("OIDCAuthenticator", arguments))
    answer = httpx.get(f"{server.url}/api/auth/provider/toy/code")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), answer.text
    assert "SECRETWORD" not in server.log


def test_an_ldap_server_that_is_away_is_503_and_counts_as_no_failed_login(
    start_server: Start, manager_with_environment: ContractManager
) -> None:
    [port] = free_ports(1)
    arguments = {"server_address": "127.0.0.1", "server_port": port, "bind_dn_template": "uid={username},dc=example"}
    server = start_server(manager_with_environment, configuration=configuration_with("LDAPAuthenticator", arguments))
    answers = [log_in(server, "bob", "bob_password") for _ in range(25)]
    assert {(one.status_code, one.headers.get("retry-after")) for one in answers} == {(503, "5")}


# SAML ------------------------------------------------------------------------------------------------------------


@pytest.mark.row("http-api", "authenticator SAML", "POST /auth/provider/{provider}/code")
def test_users_of_a_saml_provider_log_in(start_server: Start, manager_with_environment: ContractManager) -> None:
    provider = SamlProvider()
    arguments = {"saml_settings": provider.settings, "attribute_name": "uid"}
    server = start_server(manager_with_environment, configuration=configuration_with("SAMLAuthenticator", arguments))
    code = f"{server.url}/api/auth/provider/toy/code"

    def leave() -> str:
        away = httpx.get(code)
        assert away.status_code == 302
        return away.headers["location"]

    form = provider.answer(leave())
    tokens = httpx.post(code, data=form)
    assert tokens.status_code == 200, tokens.text + server.log
    headers = {"Authorization": f"Bearer {tokens.json()['access_token']}"}
    assert httpx.get(f"{server.url}/api/auth/whoami", headers=headers).json()["identities"][0]["id"] == "bob"
    assert httpx.post(code, data=form).status_code == 401  # once only
    for form in (
        provider.answer(leave(), signed=False),
        provider.answer(leave(), minutes=-5),
        provider.answer(leave(), request="_another"),
        provider.answer(leave(), audience="https://another.example.org"),
        provider.answer(leave(), issuer="https://another.example.org"),
        provider.answer(leave(), user="stranger"),
        SamlProvider().answer(leave()),
        {**provider.answer(leave()), "RelayState": "another"},
        {"SAMLResponse": "nonsense", "RelayState": provider.answer(leave())["RelayState"]},
    ):
        assert httpx.post(code, data=form).status_code == 401
    assert "Traceback" not in server.log


# PAM -------------------------------------------------------------------------------------------------------------


@pytest.mark.row("http-api", "authenticator PAM")
def test_passwords_are_checked_by_pam(
    start_server: Start, manager_with_environment: ContractManager, tmp_path: Path
) -> None:
    check = tmp_path / "check"
    check.write_text('#!/bin/sh\n[ "$(tr -d "\\0")" = bob_password ] && [ "$PAM_USER" = bob ]\n')
    check.chmod(0o755)
    (tmp_path / "qst").write_text(
        f"auth required pam_exec.so quiet expose_authtok {check}\naccount required pam_permit.so\n"
    )
    settings = configuration_with("PAMAuthenticator", {"service": "qst", "config_dir": str(tmp_path)})
    server = start_server(manager_with_environment, configuration=settings)
    assert log_in(server, "bob", "bob_password").status_code == 200
    for name, word in (("bob", "wrong"), ("eve", "bob_password")):
        assert log_in(server, name, word).status_code == 401


# An access server ------------------------------------------------------------------------------------------------


@pytest.mark.row("http-api", "policy ServerBased")
def test_users_and_roles_come_from_an_access_server(
    start_server: Start, manager_with_environment: ContractManager
) -> None:
    users = {"expert": {"bob": {"displayed_name": "Bob", "mail": "bob@example.org"}}, "observer": ["eve"]}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(users).encode())

    with serving(Handler) as port:
        policy = {
            "policy": "bluesky_httpserver.authorization:ServerBasedAPIAccessControl",
            "args": {"instrument": "TST", "server": "127.0.0.1", "port": port},
        }
        settings = {**configuration_with("DummyAuthenticator", {}), "api_access": policy}
        server = start_server(manager_with_environment, configuration=settings)
        assert asked == ["/instrument/tst/qserver/access"]
        token = log_in(server, "bob", "x").json()["access_token"]
        who = httpx.get(f"{server.url}/api/auth/scopes", headers={"Authorization": f"Bearer {token}"}).json()
        assert who["roles"] == ["expert"]
        assert log_in(server, "eve", "x").status_code == 200
        assert log_in(server, "stranger", "x").status_code == 401


# Kubernetes ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ApiServer, Path]]:
    directory = tmp_path_factory.mktemp("api-server")
    with running_api_server(directory) as running:
        yield running, directory


def test_tokens_of_kubernetes_are_reviewed(
    api_server: tuple[ApiServer, Path], start_server: Start, manager_with_environment: ContractManager, tmp_path: Path
) -> None:
    api, directory = api_server
    own = tmp_path / "token"
    own.write_text(api.token)
    accounts = "/api/v1/namespaces/default/serviceaccounts"

    def token_of(name: str, audience: str) -> str:
        api.create(accounts, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": 600},
        }
        answer = api.create(f"{accounts}/{name}/token", request)
        assert answer.is_success, answer.text
        token: str = answer.json()["status"]["token"]
        return token

    kubernetes = {
        "enabled": True,
        "audiences": ["https://kubernetes.default.svc"],
        "api_server": api.url,
        "token_file": str(own),
        "ca_file": str(directory / "certificates" / "apiserver.crt"),
        "groups": {"system:masters": ["admin"]},
        "users": {"system:serviceaccount:default:robot": ["user"]},
    }
    server = start_server(manager_with_environment, configuration={"kubernetes": kubernetes})

    def ask(token: str, path: str = "/api/auth/whoami") -> httpx.Response:
        return httpx.get(server.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=20)

    robot = token_of("robot", "https://kubernetes.default.svc")
    answer = ask(robot)
    assert answer.status_code == 200, answer.text + server.log
    assert answer.json()["identities"] == [{"provider": "kubernetes", "id": "system:serviceaccount:default:robot"}]
    assert ask(robot, "/api/queue/get").status_code == 200
    assert ask(robot, "/metrics").status_code == 401
    assert ask(api.token, "/metrics").status_code == 200  # of the group system:masters
    assert ask(token_of("stranger", "https://kubernetes.default.svc")).status_code == 401
    assert ask(token_of("robot", "another")).status_code == 401
    assert ask(robot[:-4] + "AAAA").status_code == 401
    assert ask("nonsense").status_code == 401
    with server.client(Authorization=f"ApiKey {KEY}") as client:
        assert client.get("/api/status").status_code == 200  # the single user is still there
