"""Configurations of the HTTP server with several users, and how they log in."""

from __future__ import annotations

from typing import Any

import httpx

from running_http_server import KEY, RunningHttpServer

SECRET = "a secret key of these tests"
PASSWORDS = {"bob": "bob_password", "alice": "alice_password", "tom": "tom_password", "nobody": "nobody_password"}
CONFIGURATION: dict[str, Any] = {
    "authentication": {
        "providers": [
            {
                "provider": "toy",
                "authenticator": "bluesky_httpserver.authenticators:DictionaryAuthenticator",
                "args": {"users_to_passwords": PASSWORDS},
            }
        ],
        "secret_keys": [SECRET],
        "single_user_api_key": KEY,
    },
    "api_access": {
        "policy": "bluesky_httpserver.authorization:DictionaryAPIAccessControl",
        "args": {
            "roles": {"nothing": {"scopes_set": []}},
            "users": {
                "bob": {"roles": ["admin", "expert"]},
                "alice": {"roles": "user", "displayed_name": "Alice Doe", "email": "alice@example.org"},
                "tom": {"roles": ["nothing"]},
            },
        },
    },
}
_POLICY: dict[str, Any] = {
    "policy": "bluesky_httpserver.authorization:DictionaryAPIAccessControl",
    "args": {"users": {"bob": {"roles": ["admin", "expert"]}, "eve": {"roles": ["observer"]}}},
}


def configuration_with(authenticator: str, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The configuration of a server at which bob and eve log in with one provider, `toy`."""
    provider = {
        "provider": "toy",
        "authenticator": f"bluesky_httpserver.authenticators:{authenticator}",
        "args": arguments,
    }
    return {"authentication": {"providers": [provider], "secret_keys": ["k" * 32]}, "api_access": _POLICY, **more}


def log_in(server: RunningHttpServer, name: str, password: str | None = None) -> httpx.Response:
    form = {"username": name, "password": PASSWORDS.get(name, "") if password is None else password}
    return httpx.post(f"{server.url}/api/auth/provider/toy/token", data=form)
