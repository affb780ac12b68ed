"""Credentials as a request presents them, and the protection of cookies (http-api 3)."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from enum import StrEnum

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from queueserver_http.exchange.errors import HttpError, bad_request

KEY_COOKIE = "bluesky_httpserver_api_key"
CSRF_COOKIE = "bluesky_httpserver_csrf"
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))


class Kind(StrEnum):
    """What was presented."""

    NOTHING = "nothing"
    API_KEY = "api key"
    TOKEN = "token"  # noqa: S105 - the name of a kind


@dataclass(frozen=True, slots=True)
class Credentials:
    """Presented and not checked yet."""

    kind: Kind
    secret: str = field(default="", repr=False)
    source: str = ""
    """query, header, cookie or message."""


NOTHING = Credentials(Kind.NOTHING)


def presented(connection: HTTPConnection) -> Credentials:
    """In the order of the contract: key in the query, in the header, in the cookie; bearer token; nothing.

    Raises 400 for another scheme in the header.
    """
    scheme, value = _authorization(connection)
    if connection.scope["query_string"] and (key := connection.query_params.get("api_key")) is not None:
        return Credentials(Kind.API_KEY, key, "query")
    if scheme == "apikey":
        return Credentials(Kind.API_KEY, value, "header")
    if key := connection.cookies.get(KEY_COOKIE):
        return Credentials(Kind.API_KEY, key, "cookie")
    if scheme == "bearer":
        return Credentials(Kind.TOKEN, value, "header")
    return NOTHING


def _authorization(connection: HTTPConnection) -> tuple[str, str]:
    header = connection.headers.get("authorization")
    if header is None:
        return "", ""
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() not in ("apikey", "bearer"):
        raise bad_request(
            "The header Authorization must be 'Apikey SECRET' or 'Bearer TOKEN'; other schemes are not supported."
        )
    return scheme.lower(), value.strip()


def check_csrf(request: Request) -> None:
    """Raise 403 when a browser sends a changing request with the key's cookie and not with the second token."""
    if request.method in _SAFE or KEY_COOKIE not in request.cookies:
        return
    sent = request.headers.get("x-csrf") or request.query_params.get("csrf", "")
    expected = request.cookies.get(CSRF_COOKIE)
    if not expected:
        raise HttpError(403, f"Expected {CSRF_COOKIE} cookie", plain=True)
    if not sent:
        raise HttpError(403, "Expected csrf query parameter or x-csrf header", plain=True)
    if not hmac.compare_digest(sent.encode(), expected.encode()):
        raise HttpError(403, "Double-submit CSRF tokens do not match", plain=True)


def keep_key_in_cookie(request: Request, key: str) -> None:
    """A browser that was opened with a key in its address goes on with cookies."""
    reply = Response()
    secure = request.url.scheme == "https"
    reply.set_cookie(KEY_COOKIE, key, httponly=True, secure=secure)
    reply.set_cookie(CSRF_COOKIE, secrets.token_hex(32), secure=secure)
    request.state.cookies = [one for one in reply.raw_headers if one[0] == b"set-cookie"]


def delete_cookies(reply: Response) -> None:
    """Make a browser forget the key."""
    for name in (KEY_COOKIE, CSRF_COOKIE):
        reply.delete_cookie(name)
