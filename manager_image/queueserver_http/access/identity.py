"""Who sends a request: credentials become a principal, or an error (http-api 3 and 4)."""

from __future__ import annotations

import hmac
import secrets
import time
from typing import TYPE_CHECKING, Protocol

from queueserver_http.access.credentials import Credentials, Kind
from queueserver_http.access.principal import Principal, anonymous, single_user
from queueserver_http.exchange.errors import unauthorized
from queueserver_http.routes.table import AUTHENTICATED, PUBLIC

if TYPE_CHECKING:  # few servers need it, and its packages take 10 MB
    from queueserver_http.access.token_review import TokenReview

_TICKET_LIFE_S = 30
_MOST_TICKETS = 10_000


class Identifier(Protocol):
    """One way to know requesters: a single user's key, or accounts."""

    async def by_api_key(self, key: str) -> Principal:
        """The owner of an API key; raises 401."""
        ...

    async def by_token(self, token: str) -> Principal:
        """The bearer of an access token; raises 401."""
        ...


class SingleUser:
    """One key, one principal."""

    def __init__(self, key: str, roles: dict[str, frozenset[str]]) -> None:
        self._key = key.encode()
        self._principal = single_user(roles)

    async def by_api_key(self, key: str) -> Principal:
        if hmac.compare_digest(key.encode(), self._key):
            return self._principal
        raise unauthorized("Invalid API key")

    async def by_token(self, token: str) -> Principal:
        raise unauthorized("Could not validate credentials: this server has a single user and no tokens.")


class Identity:
    """Turns credentials into principals, and issues tickets for websockets."""

    def __init__(
        self,
        identifier: Identifier,
        roles: dict[str, frozenset[str]],
        *,
        allow_anonymous: bool,
        token_review: TokenReview | None = None,
    ) -> None:
        self._identifier = identifier
        self._token_review = token_review
        self._anonymous = anonymous(roles) if allow_anonymous else None
        self._tickets: dict[str, tuple[float, Credentials]] = {}

    async def principal(self, credentials: Credentials) -> Principal:
        """The principal; raises 401 for wrong credentials, and for none where they are required."""
        if credentials.kind is Kind.API_KEY:
            return await self._identifier.by_api_key(credentials.secret)
        if credentials.kind is Kind.TOKEN:
            if self._token_review is not None and self._token_review.concerns(credentials.secret):
                return await self._token_review.by_token(credentials.secret)
            return await self._identifier.by_token(credentials.secret)
        if self._anonymous is not None:
            return self._anonymous
        raise unauthorized(
            "Not enough permissions: the request has no credentials. Send the header 'Authorization: Apikey SECRET' "
            "or 'Authorization: Bearer TOKEN'."
        )

    def new_ticket(self, credentials: Credentials) -> tuple[str, int]:
        """A ticket that stands for `credentials` at one websocket, and its life in seconds."""
        now = time.monotonic()
        self._tickets = {ticket: one for ticket, one in self._tickets.items() if one[0] > now}
        if len(self._tickets) >= _MOST_TICKETS:
            self._tickets.pop(next(iter(self._tickets)))
        ticket = secrets.token_urlsafe(32)
        self._tickets[ticket] = (now + _TICKET_LIFE_S, credentials)
        return ticket, _TICKET_LIFE_S

    def by_ticket(self, ticket: str) -> Credentials:
        """What a ticket stands for; raises 401. A ticket is good for one use."""
        expires, credentials = self._tickets.pop(ticket, (float("-inf"), None))
        if credentials is None or expires < time.monotonic():
            raise unauthorized("Invalid ticket: it is unknown, was used already or is older than 30 s.")
        return credentials


def check_scope(principal: Principal, scope: str) -> None:
    """Raise 401 when the principal may not use a route with this scope."""
    if scope == PUBLIC or scope in principal.scopes or (scope == AUTHENTICATED and not principal.anonymous):
        return
    had = sorted(principal.scopes)
    required = [] if scope == AUTHENTICATED else [scope]
    raise unauthorized(f"Not enough permissions. Requires scopes {required}. Request had scopes {had}")
