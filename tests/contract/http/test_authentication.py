"""Who may do what: every route with no, wrong and insufficient credentials (http-api 2.4, 3, 4 and 5)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import jwt
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from contract_manager import COUNT, ContractManager
from http_accounts import CONFIGURATION, SECRET, log_in
from queueserver_http.routes.table import HTTP_ROUTES, PUBLIC, WEBSOCKET_ROUTES, Route
from running_http_server import KEY, RunningHttpServer

PROTECTED = [route for route in HTTP_ROUTES if route.scope != PUBLIC]


def path_of(route: Route) -> str:
    return route.path.replace("{uuid}", "x").replace("{session_id}", "x").replace("{provider}", "toy")


# Every route -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", PROTECTED, ids=lambda route: f"{route.verb} {route.path}")
@pytest.mark.row("http-api", "a wrong API key is 401", "a token that is not ours is 401")
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
@pytest.mark.row("http-api", "missing scopes are 401", "several users: the single-user key counts no more")
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
@pytest.mark.row("http-api", "a websocket without credentials is 403", "no scopes in the query of websockets")
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


@pytest.mark.row("http-api", "another scheme of authorization is 400")
def test_another_scheme_is_400(server_with_environment: RunningHttpServer) -> None:
    response = httpx.get(f"{server_with_environment.url}/api/status", auth=("user", "password"))
    assert response.status_code == 400


# Single user -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["ApiKey", "Apikey", "apikey", "APIKEY"])
@pytest.mark.row("http-api", "credentials: key in the header")
def test_the_scheme_of_the_header_may_be_written_in_any_case(scheme: str, server: RunningHttpServer) -> None:
    with server.client(Authorization=f"{scheme} {KEY}") as client:
        assert client.get("/api/status").status_code == 200


@pytest.mark.row("http-api", "credentials: their order")
def test_a_key_in_the_query_counts_before_the_header_and_the_header_before_the_cookie(
    server: RunningHttpServer,
) -> None:
    good, bad = {"Authorization": f"ApiKey {KEY}"}, {"Authorization": "ApiKey WRONG"}
    cookie = f"bluesky_httpserver_api_key={KEY}"
    bearer = {"Authorization": "Bearer WRONG"}
    url = f"{server.url}/api/status"
    for query, headers, status in (
        (f"?api_key={KEY}", bad, 200),
        ("?api_key=WRONG", good, 401),
        ("", {**bad, "Cookie": cookie}, 401),
        ("", {**bearer, "Cookie": cookie}, 200),
        ("", bearer, 401),
    ):
        assert httpx.get(url + query, headers=headers).status_code == status, (query, headers)


@pytest.mark.row(
    "http-api",
    "credentials: key in the query",
    "credentials: key in the cookie",
    "a key in the query sets the cookie",
    "a failed CSRF check is 403",
    "CSRF: header equals cookie",
    "CSRF: query parameter",
    "POST /auth/logout",
)
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


@pytest.mark.row(
    "http-api", "what needs accounts is no error of the server", "role unauthenticated_single_user", "GET /auth/scopes"
)
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


@pytest.mark.row(
    "http-api",
    "a wrong password is 401",
    "a user without roles is 401",
    "POST /auth/provider/{provider}/token",
    "authenticator Dictionary",
)
def test_wrong_passwords_and_users_are_refused(accounts: RunningHttpServer) -> None:
    for name, word in (("bob", "wrong"), ("stranger", "x"), ("bob", "bob_password "), ("BOB", "bob_password")):
        response = log_in(accounts, name, word)
        assert (response.status_code, response.json()["detail"]) == (401, "Incorrect username or password")
    response = log_in(accounts, "nobody")
    assert (response.status_code, response.json()["detail"]) == (401, "User is not authorized to access the server")
    assert httpx.post(f"{accounts.url}/api/auth/provider/toy/token", json={}).status_code == 422
    assert httpx.post(f"{accounts.url}/api/auth/provider/nope/token", data={"username": "a"}).status_code == 404
    assert httpx.get(f"{accounts.url}/api/auth/provider/toy/code").status_code == 400


@pytest.mark.row("http-api", "form of tokens")
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


@pytest.mark.row("http-api", "displayed names", "policy Dictionary", "credentials: bearer token")
def test_items_are_stored_with_the_displayed_name(
    as_user: Callable[[str], httpx.Client], manager: ContractManager
) -> None:
    item = as_user("alice").post("/api/queue/item/add", json={"item": COUNT}).json()["item"]
    assert item["user"] == 'alice "Alice Doe <alice@example.org>"'
    assert as_user("bob").post("/api/queue/item/add", json={"item": COUNT}).json()["item"]["user"] == "bob"


@pytest.mark.row(
    "http-api", "POST /auth/session/refresh", "DELETE /auth/session/revoke/{session_id}", "an unknown session is 404"
)
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


@pytest.mark.row("http-api", "an expired access token is 401", "an expired session is 401")
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
    refresh = {"refresh_token": tokens["refresh_token"]}
    while (refused := httpx.post(f"{server.url}/api/auth/session/refresh", json=refresh)).status_code == 200:
        assert time.monotonic() < deadline
    assert refused.json()["detail"] == "Session has expired. Please re-authenticate."


def test_too_many_wrong_passwords_of_one_user_are_429(
    start_server: Callable[..., RunningHttpServer], manager_with_environment: ContractManager
) -> None:
    server = start_server(manager_with_environment, configuration=CONFIGURATION)
    codes = [log_in(server, "bob", "wrong").status_code for _ in range(21)]
    assert codes == [401] * 20 + [429]
    assert int(log_in(server, "bob", "wrong").headers["retry-after"]) > 0


# Modes -----------------------------------------------------------------------------------------------------------


@pytest.mark.row("http-api", "anonymous access", "configuration: --public before file")
def test_the_public_may_read_the_status_and_nothing_else(
    start_server: Callable[..., RunningHttpServer], manager_with_environment: ContractManager
) -> None:
    server = start_server(manager_with_environment, options=["--public"])
    assert httpx.get(f"{server.url}/api/status").status_code == 200
    assert httpx.get(f"{server.url}/api/status", headers={"Authorization": "ApiKey WRONG"}).status_code == 401
    for route in PROTECTED:
        if route.scope != "read:status":
            assert httpx.request(route.verb, server.url + path_of(route), json={}).status_code == 401, route


@pytest.mark.row("http-api", "single user: a key is made and shown")
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


@pytest.mark.row("http-api", "a user removed from the policy is 401")
def test_a_session_of_a_user_who_is_in_the_policy_no_more_is_not_refreshed(
    start_server: Callable[..., RunningHttpServer], manager_with_environment: ContractManager
) -> None:
    tokens = log_in(start_server(manager_with_environment, configuration=CONFIGURATION), "alice").json()
    arguments = CONFIGURATION["api_access"]["args"]
    others = {name: user for name, user in arguments["users"].items() if name != "alice"}
    policy = {**CONFIGURATION["api_access"], "args": {**arguments, "users": others}}
    server = start_server(manager_with_environment, configuration={**CONFIGURATION, "api_access": policy})
    answer = httpx.post(f"{server.url}/api/auth/session/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert answer.status_code == 401
    assert answer.json()["detail"].startswith("Permissions for the user are revoked")
