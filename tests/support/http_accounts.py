"""A configuration of the HTTP server with several users, and how they log in."""

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


def log_in(server: RunningHttpServer, name: str, password: str | None = None) -> httpx.Response:
    form = {"username": name, "password": PASSWORDS.get(name, "") if password is None else password}
    return httpx.post(f"{server.url}/api/auth/provider/toy/token", data=form)
