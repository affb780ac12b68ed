from __future__ import annotations

import asyncio
import json
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from http_in_a_thread import serving
from queueserver_http.access.failed_logins import FailedLogins
from queueserver_http.access.policies import (
    BasicAPIAccessControl,
    DictionaryAPIAccessControl,
    User,
    displayed,
    scopes_of,
)
from queueserver_http.access.resources import DefaultResourceAccessControl
from queueserver_http.access.scopes import DEFAULT_ROLES, SCOPES
from queueserver_http.access.server_based import ServerBasedAPIAccessControl
from queueserver_http.accounts.tokens import Tokens
from queueserver_http.exchange.errors import HttpError


@pytest.mark.row(
    "http-api",
    "role unauthenticated_public",
    "role observer",
    "role user",
    "role advanced",
    "role expert",
    "role admin",
)
def test_roles_have_the_scopes_of_the_contract() -> None:
    reads = {scope for scope in SCOPES if scope.startswith("read:")}
    operate = {"write:queue:edit", "write:queue:control", "write:manager:control", "write:plan:control"} | {
        *("write:execute", "write:history:edit")
    }
    configure = {"write:permissions", "write:scripts", "write:config", "write:lock"}
    assert len(SCOPES) == 25
    assert DEFAULT_ROLES["unauthenticated_public"] == {"read:status"}
    assert DEFAULT_ROLES["observer"] == reads | {"user:apikeys"}
    assert DEFAULT_ROLES["user"] == DEFAULT_ROLES["advanced"] == reads | {"user:apikeys"} | operate
    assert DEFAULT_ROLES["expert"] == DEFAULT_ROLES["user"] | configure
    assert DEFAULT_ROLES["admin"] == {
        *("read:status", "user:apikeys", "admin:apikeys", "admin:read:principals", "admin:metrics")
    }
    single_user = DEFAULT_ROLES["expert"] | {"write:manager:stop", "write:testing"}
    assert DEFAULT_ROLES["unauthenticated_single_user"] == single_user


@pytest.mark.row("http-api", "roles changed by the policy", "policy Basic")
def test_roles_are_changed_by_the_policy() -> None:
    policy = BasicAPIAccessControl(
        roles={
            "observer": {"scopes_remove": "read:testing"},
            "user": {"scopes_add": ["admin:metrics"]},
            "mine": {"scopes_set": ["read:status"]},
        }
    )
    assert policy.roles["observer"] == DEFAULT_ROLES["observer"] - {"read:testing"}
    assert policy.roles["user"] == DEFAULT_ROLES["user"] | {"admin:metrics"}
    assert policy.roles["mine"] == {"read:status"}
    assert policy.user("anybody") is None


@pytest.mark.parametrize(
    "roles",
    [{"user": {"scopes_set": ["nope"]}}, {"user": {"nope": []}}, {"user": "x"}, ["user"], {"user": {"scopes_add": 1}}],
)
def test_roles_that_cannot_be_used_are_refused(roles: Any) -> None:
    with pytest.raises(ValueError, match=r"scopes|expected|must map|understood"):
        BasicAPIAccessControl(roles=roles)


def test_users_have_roles_and_names() -> None:
    policy = DictionaryAPIAccessControl(users={"jdoe": {"roles": ["observer", "admin"], "email": "j@x"}, "a": {}})
    user = policy.user("jdoe")
    assert user == User(frozenset({"observer", "admin"}), "", "j@x")
    assert scopes_of(user.roles, policy.roles) == DEFAULT_ROLES["observer"] | DEFAULT_ROLES["admin"]
    assert policy.user("JDOE") is None
    for users in ({"a": {"roles": "nope"}}, {"a": {"nope": 1}}, ["a"], {"a": "user"}):
        with pytest.raises(ValueError, match="user"):
            DictionaryAPIAccessControl(users=users)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("user", "name"),
    [
        (User(frozenset()), "jdoe"),
        (User(frozenset(), "", "m@x"), "jdoe <m@x>"),
        (User(frozenset(), "John Doe"), 'jdoe "John Doe"'),
        (User(frozenset(), "John Doe", "m@x"), 'jdoe "John Doe <m@x>"'),
    ],
)
def test_the_displayed_name_shows_what_the_policy_knows(user: User, name: str) -> None:
    assert displayed("jdoe", user) == name


def test_the_group_root_cannot_be_given_to_everybody() -> None:
    assert DefaultResourceAccessControl().group_of("x") == "primary"
    assert DefaultResourceAccessControl("test_user").group_of("x") == "test_user"
    for group in ("root", "", 1):
        with pytest.raises(ValueError, match="default_group"):
            DefaultResourceAccessControl(group)


def test_tokens_of_an_older_key_are_still_taken_and_of_unknown_ones_not() -> None:
    old, new, other = "o" * 16, "n" * 16, "x" * 16
    token = Tokens([old], 60, 60).access("uuid", "user", ["read:status"], [("toy", "bob")])
    claims = Tokens([new, old], 60, 60).claims(token, "access")
    assert (claims["sub"], claims["ids"]) == ("uuid", [{"id": "bob", "idp": "toy"}])
    for tokens in (Tokens([new], 60, 60), Tokens([other], 60, 60), Tokens([], 60, 60)):
        with pytest.raises(HttpError, match="Could not validate"):
            tokens.claims(token, "access")
    with pytest.raises(HttpError, match="Could not validate"):
        Tokens([old], 60, 60).claims(token, "refresh")
    with pytest.raises(ValueError, match="shorter"):
        Tokens(["short"], 60, 60)


def test_failures_are_forgotten_after_the_period() -> None:
    now = 0.0
    failed = FailedLogins(2, 10, lambda: now)
    for _ in range(2):
        failed.check("a")
        failed.failed("a")
    with pytest.raises(HttpError) as refused:
        failed.check("a")
    assert refused.value.status_code == 429
    failed.check("b")
    now = 10.0
    failed.check("a")


def test_an_answer_of_the_access_server_that_makes_no_sense_changes_nothing() -> None:
    replies: list[object] = [{"expert": ["bob"]}]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(replies[-1]).encode())

    async def run(port: int) -> None:
        policy = ServerBasedAPIAccessControl(instrument="tst", server="127.0.0.1", port=port)
        assert await policy.update()
        for reply in ({"expert": [{"name": "eve"}]}, {"expert": [["eve"]]}, {"expert": 5}, {"expert": None}, [], "x"):
            replies.append(reply)
            assert not await policy.update(), reply
            assert policy.user("bob") == User(frozenset(["expert"]))
        replies.append({"observer": {"eve": {}}})
        assert await policy.update()
        assert policy.user("bob") is None
        assert policy.user("eve") == User(frozenset(["observer"]))

    with serving(Handler) as port:
        asyncio.run(run(port))
