"""Tokens as others read and write them: PyJWT is the judge."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from base64 import urlsafe_b64encode

import jwt
import pytest

from queueserver_http.access.json_web_tokens import ALGORITHM, TokenError, algorithm, signed, verified

KEY, OTHER = b"k" * 32, b"o" * 32
CLAIMS = {"sub": "Ångström", "scp": ["read:status"], "exp": int(time.time()) + 60, "type": "access"}


def encoded(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_is_what_other_programs_read() -> None:
    token = signed(CLAIMS, KEY)
    assert jwt.decode(token, KEY, ["HS256"]) == CLAIMS
    assert verified(token, [KEY]) == CLAIMS
    assert verified(token, [OTHER, KEY]) == CLAIMS


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b",
        "é.ü.ñ",
        "a" * 10_000,
        signed(CLAIMS, OTHER),
        signed(CLAIMS, KEY) + "=",
        signed(CLAIMS, KEY)[:-1],
        "." + signed(CLAIMS, KEY),
        signed(CLAIMS, KEY).rpartition(".")[0] + ".",
        jwt.encode(CLAIMS, "", "none"),
        jwt.encode(CLAIMS, KEY * 2, "HS512"),
        jwt.encode(CLAIMS, KEY, "HS256", headers={"kid": "another header"}),
        f"{encoded({'alg': 'none'})}.{encoded(CLAIMS)}.",
    ],
)
def test_what_no_key_has_signed_is_no_token(token: str) -> None:
    with pytest.raises(TokenError):
        verified(token, [KEY])


def test_a_changed_claim_is_noticed() -> None:
    head, _, signature = signed(CLAIMS, KEY).split(".")
    with pytest.raises(TokenError):
        verified(f"{head}.{encoded(CLAIMS | {'sub': 'root'})}.{signature}", [KEY])


def test_how_a_token_says_that_it_is_signed() -> None:
    assert algorithm(signed(CLAIMS, KEY)) == ALGORITHM == "HS256"
    assert algorithm(f"{encoded({'alg': 'RS256', 'kid': 'x'})}.{encoded(CLAIMS)}.c2ln") == "RS256"
    for no_token in ("", "abc", "é", "a.b.c", encoded([1]), encoded("x"), "[" * 5000, encoded({})):
        assert algorithm(no_token) == ""


def test_a_server_with_accounts_loads_what_it_uses_and_nothing_more() -> None:
    program = """
import sys
import queueserver_http.main, queueserver_http.accounts.opening
tokens = ("jwt", "cryptography")
heavy = ("fastapi", "alembic", "sqlalchemy.orm", "httpx", "ldap3", "onelogin", "openpyxl", "xlrd", *tokens)
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
