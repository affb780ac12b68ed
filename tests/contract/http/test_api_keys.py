"""API keys of accounts, and what administrators do with those of others (http-api 2.4 and 3)."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from http_accounts import PASSWORDS, SECRET, log_in
from running_http_server import RunningHttpServer


def new_key(client: httpx.Client, **parameters: Any) -> dict[str, Any]:
    response = client.post("/api/auth/apikey", json={"expires_in": None, **parameters})
    assert response.status_code == 200, response.text
    key: dict[str, Any] = response.json()
    return key


@pytest.mark.row("http-api", "POST /auth/apikey", "GET /auth/apikey", "DELETE /auth/apikey")
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


@pytest.mark.row("http-api", "scopes of a key beyond its maker's are 400", "keys: inherit and intersection")
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


@pytest.mark.row("http-api", "keys: only a hash is stored")
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


@pytest.mark.row(
    "http-api",
    "GET /auth/principal",
    "GET /auth/principal/{uuid}",
    "POST /auth/principal/{uuid}/apikey",
    "GET /auth/whoami",
    "an unknown principal is 404",
)
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


@pytest.mark.parametrize("first_eight", ["12345678", "1e234567", "00000000"])
def test_a_key_that_begins_like_a_number_is_named_like_any_other(
    first_eight: str, as_user: Callable[[str], httpx.Client]
) -> None:
    answer = as_user("alice").delete("/api/auth/apikey", params={"first_eight": first_eight})
    assert (answer.status_code, repr(first_eight) in answer.json()["detail"]) == (404, True), answer.text
    short = as_user("alice").delete("/api/auth/apikey", params={"first_eight": first_eight[1:]})
    assert short.status_code == 422
