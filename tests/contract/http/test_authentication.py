"""Who may do what: every route with no, wrong and insufficient credentials (http-api 2.4, 3, 4 and 5)."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from contract_manager import COUNT, ContractManager
from http_accounts import CONFIGURATION, PASSWORDS, SECRET, log_in
from queueserver_http.routes import HTTP_ROUTES, PUBLIC, WEBSOCKET_ROUTES, Route
from running_http_server import KEY, RunningHttpServer

PROTECTED = [route for route in HTTP_ROUTES if route.scope != PUBLIC]


def path_of(route: Route) -> str:
    return route.path.replace("{uuid}", "x").replace("{session_id}", "x").replace("{provider}", "toy")


@pytest.fixture(scope="module")
def accounts(
    manager_with_environment: ContractManager, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningHttpServer]:
    """A server with several users."""
    directory = tmp_path_factory.mktemp("accounts")
    with RunningHttpServer(manager_with_environment, configuration=CONFIGURATION, directory=directory) as server:
        yield server


@pytest.fixture
def as_user(accounts: RunningHttpServer) -> Iterator[Callable[[str], httpx.Client]]:
    """A client with the access token of a user."""
    clients: list[httpx.Client] = []

    def make(name: str) -> httpx.Client:
        token = log_in(accounts, name).json()["access_token"]
        clients.append(accounts.client(Authorization=f"Bearer {token}"))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def new_key(client: httpx.Client, **parameters: Any) -> dict[str, Any]:
    response = client.post("/api/auth/apikey", json={"expires_in": None, **parameters})
    assert response.status_code == 200, response.text
    key: dict[str, Any] = response.json()
    return key


# Every route -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", PROTECTED, ids=lambda route: f"{route.verb} {route.path}")
def test_a_single_user_server_refuses_without_and_with_wrong_credentials(
    route: Route, server_with_environment: RunningHttpServer, anyone: httpx.Client
) -> None:
    url = server_with_environment.url + path_of(route)
    assert anyone.request(route.verb, url, json={}).status_code == 401
    for wrong in ("ApiKey WRONG", "Bearer WRONG", "ApiKey", "Bearer " + "A" * 10_000):
        response = anyone.request(route.verb, url, json={}, headers={"Authorization": wrong})
        assert response.status_code == 401, wrong
        assert isinstance(response.json()["detail"], str)
    assert anyone.request(route.verb, url + "?scopes=", json={}).status_code == 401


@pytest.mark.parametrize("route", PROTECTED, ids=lambda route: f"{route.verb} {route.path}")
def test_a_server_with_accounts_refuses_all_but_sufficient_credentials(
    route: Route, accounts: RunningHttpServer, insufficient: dict[str, str], anyone: httpx.Client
) -> None:
    url = accounts.url + path_of(route)
    assert anyone.request(route.verb, url, json={}).status_code == 401
    for wrong in (f"ApiKey {KEY}", "ApiKey " + "ab" * 32, "Bearer WRONG"):  # the single-user key counts no more
        assert anyone.request(route.verb, url, json={}, headers={"Authorization": wrong}).status_code == 401, wrong
    if route.scope != "authenticated":
        response = anyone.request(route.verb, url, json={}, headers=insufficient)
        assert response.status_code == 401
        detail = f"Not enough permissions. Requires scopes ['{route.scope}']. Request had scopes []"
        assert response.json()["detail"] == detail


@pytest.fixture(scope="module")
def anyone() -> Iterator[httpx.Client]:
    """A client without credentials."""
    with httpx.Client() as client:
        yield client


@pytest.fixture(scope="module")
def insufficient(accounts: RunningHttpServer) -> dict[str, str]:
    return {"Authorization": f"Bearer {log_in(accounts, 'tom').json()['access_token']}"}


@pytest.mark.parametrize("route", WEBSOCKET_ROUTES, ids=lambda route: route.path)
def test_websockets_refuse_all_but_sufficient_credentials(
    route: Route, accounts: RunningHttpServer, insufficient: dict[str, str]
) -> None:
    url = f"ws://{accounts.address}{route.path}"
    for suffix, headers in (
        ("", {}),
        ("?scopes=", {}),
        ("?ticket=WRONG", {}),
        ("", {"Authorization": "ApiKey WRONG"}),
        ("", {"Authorization": "Basic WRONG"}),
        ("", insufficient),
    ):
        with pytest.raises(InvalidStatus) as refused:
            connect(url + suffix, additional_headers=headers)
        assert refused.value.response.status_code == 403


def test_another_scheme_is_400(server_with_environment: RunningHttpServer) -> None:
    response = httpx.get(f"{server_with_environment.url}/api/status", auth=("user", "password"))
    assert response.status_code == 400


# Single user -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["ApiKey", "Apikey", "apikey", "APIKEY"])
def test_the_scheme_of_the_header_may_be_written_in_any_case(scheme: str, server: RunningHttpServer) -> None:
    with server.client(Authorization=f"{scheme} {KEY}") as client:
        assert client.get("/api/status").status_code == 200


def test_a_key_in_the_query_sets_cookies_and_then_the_second_token_is_needed(server: RunningHttpServer) -> None:
    with server.client() as browser:
        assert browser.get("/api/status").status_code == 401
        assert browser.get("/api/status", params={"api_key": KEY}).status_code == 200
        assert browser.get("/api/status").status_code == 200
        refused = browser.post("/api/queue/clear")
        assert (refused.status_code, refused.text) == (403, "Expected csrf query parameter or x-csrf header")
        refused = browser.post("/api/queue/clear", headers={"x-csrf": "wrong"})
        assert (refused.status_code, refused.text) == (403, "Double-submit CSRF tokens do not match")
        token = browser.cookies["bluesky_httpserver_csrf"]
        assert browser.post("/api/queue/clear", headers={"x-csrf": token}).status_code == 200
        assert browser.post("/api/queue/clear", params={"csrf": token}).status_code == 200
        assert browser.post("/api/auth/logout", headers={"x-csrf": token}).json() == {}
        assert browser.get("/api/status").status_code == 401


def test_what_needs_accounts_is_refused_with_a_sentence(http: httpx.Client) -> None:
    assert http.get("/api/auth/whoami").json()["roles"] == ["unauthenticated_single_user"]
    scopes = http.get("/api/auth/scopes").json()
    assert {"write:manager:stop", "write:testing", "write:execute"} <= set(scopes["scopes"])
    for verb, path, body in (
        ("POST", "/api/auth/apikey", {"expires_in": None}),
        ("POST", "/api/auth/session/refresh", {"refresh_token": "x"}),
        ("DELETE", "/api/auth/session/revoke/x", {}),
        ("DELETE", "/api/auth/apikey?first_eight=abcdefgh", {}),
    ):
        response = http.request(verb, path, json=body)
        assert response.status_code == 400
        assert "no accounts" in response.json()["detail"]


# Logging in ------------------------------------------------------------------------------------------------------


def test_wrong_passwords_and_users_are_refused(accounts: RunningHttpServer) -> None:
    for name, word in (("bob", "wrong"), ("stranger", "x"), ("bob", "bob_password "), ("BOB", "bob_password")):
        response = log_in(accounts, name, word)
        assert (response.status_code, response.json()["detail"]) == (401, "Incorrect username or password")
    response = log_in(accounts, "nobody")
    assert (response.status_code, response.json()["detail"]) == (401, "User is not authorized to access the server")
    assert httpx.post(f"{accounts.url}/api/auth/provider/toy/token", json={}).status_code == 422
    assert httpx.post(f"{accounts.url}/api/auth/provider/nope/token", data={"username": "a"}).status_code == 404
    assert httpx.get(f"{accounts.url}/api/auth/provider/toy/code").status_code == 400


def test_tokens_have_the_form_of_the_contract(accounts: RunningHttpServer) -> None:
    tokens = log_in(accounts, "alice").json()
    assert tokens.keys() == {*("access_token", "expires_in", "refresh_token", "refresh_token_expires_in", "token_type")}
    assert (tokens["token_type"], tokens["expires_in"], tokens["refresh_token_expires_in"]) == ("bearer", 900, 604800)
    access = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert access.keys() == {"sub", "sub_typ", "scp", "ids", "exp", "type"}
    assert access["type"] == "access"
    refresh = jwt.decode(tokens["refresh_token"], options={"verify_signature": False})
    assert refresh.keys() == {"sid", "exp", "type"}
    assert jwt.get_unverified_header(tokens["access_token"])["alg"] == "HS256"


def test_forged_tokens_are_refused(accounts: RunningHttpServer) -> None:
    token = log_in(accounts, "alice").json()
    claims = jwt.decode(token["access_token"], options={"verify_signature": False})
    forged = [
        jwt.encode(claims, SECRET + " " * 16, "HS256"),
        jwt.encode(claims, "", "none"),
        jwt.encode(claims, "x" * 32, "HS256"),
        token["refresh_token"],
        token["access_token"][:-2],
    ]
    for one in forged:
        response = httpx.get(f"{accounts.url}/api/auth/whoami", headers={"Authorization": f"Bearer {one}"})
        assert response.status_code == 401
        assert response.json()["detail"] == "Could not validate credentials"


def test_items_are_stored_with_the_displayed_name(
    as_user: Callable[[str], httpx.Client], manager: ContractManager
) -> None:
    item = as_user("alice").post("/api/queue/item/add", json={"item": COUNT}).json()["item"]
    assert item["user"] == 'alice "Alice Doe <alice@example.org>"'
    assert as_user("bob").post("/api/queue/item/add", json={"item": COUNT}).json()["item"]["user"] == "bob"


def test_sessions_are_refreshed_and_revoked(accounts: RunningHttpServer) -> None:
    tokens = log_in(accounts, "alice").json()
    refresh = f"{accounts.url}/api/auth/session/refresh"
    renewed = httpx.post(refresh, json={"refresh_token": tokens["refresh_token"]})
    assert renewed.status_code == 200
    session = jwt.decode(tokens["refresh_token"], options={"verify_signature": False})["sid"]
    revoke = f"{accounts.url}/api/auth/session/revoke/{session}"
    other = {"Authorization": f"Bearer {log_in(accounts, 'bob').json()['access_token']}"}
    assert httpx.delete(revoke, headers=other).status_code == 404
    own = {"Authorization": f"Bearer {renewed.json()['access_token']}"}
    assert httpx.delete(revoke, headers=own).json() == {"success": True, "msg": ""}
    refused = httpx.post(refresh, json={"refresh_token": tokens["refresh_token"]})
    assert (refused.status_code, refused.json()["detail"]) == (401, "Session has expired. Please re-authenticate.")
    assert httpx.post(refresh, json={"refresh_token": tokens["access_token"]}).status_code == 401
    assert httpx.post(refresh, json={}).status_code == 422


def test_an_access_token_expires(
    start_server: Callable[..., RunningHttpServer], manager_with_environment: ContractManager
) -> None:
    short = {**CONFIGURATION["authentication"], "access_token_max_age": 1, "refresh_token_max_age": 1}
    server = start_server(manager_with_environment, configuration={**CONFIGURATION, "authentication": short})
    tokens = log_in(server, "alice").json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    deadline = time.monotonic() + 10
    while (response := httpx.get(f"{server.url}/api/auth/whoami", headers=headers)).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert response.json()["detail"] == "Access token has expired. Refresh token."
    refused = httpx.post(f"{server.url}/api/auth/session/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refused.json()["detail"] == "Session has expired. Please re-authenticate."


# API keys --------------------------------------------------------------------------------------------------------


def test_api_keys_are_made_used_shown_and_deleted(
    as_user: Callable[[str], httpx.Client], accounts: RunningHttpServer
) -> None:
    alice = as_user("alice")
    key = new_key(alice, note="board", scopes=["read:status"], expires_in=600)
    assert key.keys() == {"first_eight", "expiration_time", "note", "scopes", "latest_activity", "secret"}
    assert key["secret"].startswith(key["first_eight"])
    with accounts.client(Authorization=f"ApiKey {key['secret']}") as client:
        assert client.get("/api/status").status_code == 200
        assert client.get("/api/queue/get").status_code == 401
        assert client.post("/api/auth/apikey", json={"expires_in": None}).status_code == 401
        info = client.get("/api/auth/apikey").json()
        assert (info["note"], info["scopes"]) == ("board", ["read:status"])
        assert "secret" not in info
        assert alice.delete("/api/auth/apikey", params={"first_eight": key["first_eight"]}).json()["success"] is True
        assert client.get("/api/status").json() == {"detail": "Invalid API key"}
    assert alice.delete("/api/auth/apikey", params={"first_eight": key["first_eight"]}).status_code == 404


def test_a_key_never_has_more_than_its_maker(
    as_user: Callable[[str], httpx.Client], accounts: RunningHttpServer
) -> None:
    alice = as_user("alice")
    refused = alice.post("/api/auth/apikey", json={"expires_in": None, "scopes": ["admin:apikeys"]})
    assert refused.status_code == 400
    assert "must be a subset of the allowed principal's scopes" in refused.json()["detail"]
    whole = new_key(alice)
    assert whole["scopes"] == ["inherit"]
    narrow = new_key(alice, scopes=["user:apikeys", "read:status"])
    with accounts.client(Authorization=f"ApiKey {narrow['secret']}") as client:
        made = new_key(client)
        assert made["scopes"] == ["read:status", "user:apikeys"]  # and not everything that alice may do
    for wrong in ({}, {"expires_in": -1}, {"expires_in": "x"}, {"expires_in": 1, "scopes": ["nope"]}):
        assert alice.post("/api/auth/apikey", json=wrong).status_code in (400, 422)


def test_a_body_that_does_not_fit_is_refused_without_being_quoted(as_user: Callable[[str], httpx.Client]) -> None:
    alice = as_user("alice")
    for sent, status, words in (
        ({"expires_in": "SECRETWORD"}, 422, "expires_in: Input should be a valid integer"),
        ({"expires_in": 1, "scopes": ["SECRETWORD"]}, 422, "the scopes are"),
        ({"expires_in": 1, "nonsense": "SECRETWORD"}, 400, "nonsense: Extra inputs are not permitted"),
    ):
        response = alice.post("/api/auth/apikey", json=sent)
        assert response.status_code == status
        assert words in response.json()["detail"]
        assert "SECRETWORD" not in response.text
    assert alice.post("/api/auth/apikey", content=b"{", headers={"Content-Type": "application/json"}).status_code == 422


def test_a_key_expires(as_user: Callable[[str], httpx.Client], accounts: RunningHttpServer) -> None:
    key = new_key(as_user("alice"), expires_in=1)["secret"]
    deadline = time.monotonic() + 10
    with accounts.client(Authorization=f"ApiKey {key}") as client:
        assert client.get("/api/auth/whoami").status_code == 200
        while client.get("/api/auth/whoami").status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_secrets_are_in_no_database_and_no_log(
    as_user: Callable[[str], httpx.Client], accounts: RunningHttpServer
) -> None:
    key = new_key(as_user("alice"))["secret"]
    httpx.get(f"{accounts.url}/api/status", params={"api_key": key})
    httpx.get(f"{accounts.url}/api/status", params={"api_key": "0123456789abcdefWRONG"})
    log_in(accounts, "bob", "a_wrong_password_of_bob")
    database = sqlite3.connect(accounts.directory / "bluesky_httpserver.sqlite")
    try:
        dump = "\n".join(database.iterdump())
    finally:
        database.close()
    assert key[:8] in dump
    for secret in (key, key[8:], *PASSWORDS.values(), SECRET, "a_wrong_password_of_bob", "0123456789abcdefWRONG"):
        assert secret not in dump
        assert secret not in accounts.log


def test_an_administrator_sees_principals_and_makes_keys_for_them(
    as_user: Callable[[str], httpx.Client], accounts: RunningHttpServer
) -> None:
    alice, bob = as_user("alice"), as_user("bob")
    uuid = alice.get("/api/auth/whoami").json()["uuid"]
    assert alice.get("/api/auth/principal").status_code == 401
    assert uuid in [one["uuid"] for one in bob.get("/api/auth/principal").json()]
    shown = bob.get(f"/api/auth/principal/{uuid}").json()
    assert {"identities", "roles", "scopes", "api_keys", "sessions"} <= shown.keys()
    assert shown["identities"][0]["id"] == "alice"
    assert bob.get("/api/auth/principal/nope").status_code == 404
    key = bob.post(f"/api/auth/principal/{uuid}/apikey", json={"expires_in": 60}).json()["secret"]
    with accounts.client(Authorization=f"ApiKey {key}") as client:
        assert client.get("/api/auth/whoami").json()["uuid"] == uuid
    metrics = bob.get("/metrics")
    assert metrics.status_code == 200
    assert 'path="/api/auth/principal"' in metrics.text


def test_too_many_wrong_passwords_of_one_user_are_429(
    start_server: Callable[..., RunningHttpServer], manager_with_environment: ContractManager
) -> None:
    server = start_server(manager_with_environment, configuration=CONFIGURATION)
    codes = [log_in(server, "bob", "wrong").status_code for _ in range(21)]
    assert codes == [401] * 20 + [429]
    assert int(log_in(server, "bob", "wrong").headers["retry-after"]) > 0


# Modes -----------------------------------------------------------------------------------------------------------


def test_the_public_may_read_the_status_and_nothing_else(
    start_server: Callable[..., RunningHttpServer], manager_with_environment: ContractManager
) -> None:
    server = start_server(manager_with_environment, options=["--public"])
    assert httpx.get(f"{server.url}/api/status").status_code == 200
    assert httpx.get(f"{server.url}/api/status", headers={"Authorization": "ApiKey WRONG"}).status_code == 401
    for route in PROTECTED:
        if route.scope != "read:status":
            assert httpx.request(route.verb, server.url + path_of(route), json={}).status_code == 401, route


def test_a_server_without_a_key_makes_one_and_shows_it(
    start_server: Callable[..., RunningHttpServer], manager_with_environment: ContractManager
) -> None:
    server = start_server(manager_with_environment, key=None)
    address = server.log.split("Listening at ")[1].split()[0]
    base, _, query = address.partition("?")
    assert httpx.get(f"{base}/api/status?{query}").status_code == 200
    assert httpx.get(f"{base}/api/status").status_code == 401


def test_accounts_and_sessions_outlive_the_server(
    start_server: Callable[..., RunningHttpServer], manager_with_environment: ContractManager, tmp_path: Path
) -> None:
    server = start_server(manager_with_environment, configuration=CONFIGURATION)
    tokens = log_in(server, "alice").json()
    assert server.stop() == 0
    server.start()
    answer = httpx.post(f"{server.url}/api/auth/session/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert answer.status_code == 200
    assert (tmp_path / "bluesky_httpserver.sqlite").exists()
