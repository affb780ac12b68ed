"""Endpoints below `/api/auth` (http-api 2.4)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from queueserver_http.access.credentials import Kind, delete_cookies, presented
from queueserver_http.access.failed_logins import FailedLogins
from queueserver_http.access.guard import principal_of
from queueserver_http.access.identity import Identity
from queueserver_http.access.principal import Principal
from queueserver_http.accounts.model import NewKey, Refresh
from queueserver_http.authenticators.external import ExternalAuthenticator
from queueserver_http.authenticators.passwords import AnyAuthenticator, PasswordAuthenticator
from queueserver_http.exchange.errors import bad_request, not_found, unauthorized, unprocessable
from queueserver_http.exchange.forms import read_form
from queueserver_http.exchange.models import read_model
from queueserver_http.exchange.parameters import read_parameters
from queueserver_http.exchange.replies import json_reply
from queueserver_http.routes.table import Route

if TYPE_CHECKING:  # a server with a single user does without the packages for tokens
    from queueserver_http.accounts.accounts import Accounts

_NO_ACCOUNTS = (
    "This server has no accounts (no authentication/providers), so there are no tokens, sessions or API keys."
)
_OK = {"success": True, "msg": ""}
_LONGEST_CREDENTIAL = 4096
_FIRST = 8


def _address(request: Request) -> str:
    """The client's, as far as the server or a trusted proxy tells."""
    return request.client.host if request.client else "unknown"


class AuthHandlers:
    """Each takes a request that is admitted to the route.

    `accounts` is None in a server without providers: what needs a database is refused with a sentence.
    """

    def __init__(
        self,
        identity: Identity,
        authenticators: Mapping[str, AnyAuthenticator],
        accounts: Accounts | None,
        failed_logins: FailedLogins,
    ) -> None:
        self._identity = identity
        self._authenticators = authenticators
        self._accounts_or_none = accounts
        self._failed_logins = failed_logins

    @property
    def _accounts(self) -> Accounts:
        if self._accounts_or_none is None:
            raise bad_request(_NO_ACCOUNTS)
        return self._accounts_or_none

    def _provider(self, request: Request) -> tuple[str, AnyAuthenticator]:
        """The provider that the path names; raises 404."""
        name = request.path_params["provider"]
        if name not in self._authenticators:
            raise not_found(f"No authentication provider {name!r}.")
        return name, self._authenticators[name]

    # Logging in and out -----------------------------------------------------------------------------------------

    async def login(self, request: Request, route: Route) -> Response:
        """Tokens for a user name and a password."""
        provider, authenticator = self._provider(request)
        form = await read_form(request)
        username, password = form.get("username"), form.get("password")
        if not isinstance(username, str) or not isinstance(password, str) or not username or not password:
            raise unprocessable("The form must have the fields 'username' and 'password', neither of them empty.")
        if not isinstance(authenticator, PasswordAuthenticator):
            raise bad_request("This provider does not take passwords; use its path /code.")
        if max(len(username), len(password)) > _LONGEST_CREDENTIAL or "\0" in username + password:
            raise unauthorized("Incorrect username or password")
        attempts = (_address(request), f"user {username}")
        for attempt in attempts:
            self._failed_logins.check(attempt)
        found = await authenticator.authenticate(username, password)
        if found is None:
            for attempt in attempts:
                self._failed_logins.failed(attempt)
            raise unauthorized("Incorrect username or password")
        return json_reply(await self._accounts.log_in(provider, found))

    async def login_external(self, request: Request, route: Route) -> Response:
        """Leave for an external provider, or tokens for the code that one came back with."""
        provider, authenticator = self._provider(request)
        if not isinstance(authenticator, ExternalAuthenticator):
            raise bad_request("This provider takes passwords; use its path /token.")
        sent: dict[str, Any] = dict(request.query_params)
        if request.method == "POST":
            sent |= await read_form(request)
        if sent.keys().isdisjoint(authenticator.answers):
            return RedirectResponse(await authenticator.leave(), 302)
        self._failed_logins.check(_address(request))
        answer = {key: value for key, value in sent.items() if isinstance(value, str)}
        found = await authenticator.come_back(answer)
        if found is None:
            self._failed_logins.failed(_address(request))
            raise unauthorized("The provider did not confirm the login.")
        return json_reply(await self._accounts.log_in(provider, found))

    async def logout(self, request: Request, route: Route) -> Response:
        """Delete the cookies."""
        reply = json_reply({})
        delete_cookies(reply)
        return reply

    # Sessions ---------------------------------------------------------------------------------------------------

    async def session_refresh(self, request: Request, route: Route) -> Response:
        """New tokens for a refresh token."""
        sent = await read_model(request, Refresh)
        return json_reply(await self._accounts.refresh(sent.refresh_token))

    async def session_revoke(self, request: Request, route: Route) -> Response:
        """End a session of one's own."""
        await self._accounts.revoke(request.path_params["session_id"], principal_of(request))
        return json_reply(_OK)

    async def ticket(self, request: Request, route: Route) -> Response:
        """A ticket for one websocket."""
        ticket, life = self._identity.new_ticket(presented(request))
        return json_reply({"ticket": ticket, "expires_in": life})

    # API keys ---------------------------------------------------------------------------------------------------

    async def apikey_new(self, request: Request, route: Route) -> Response:
        """A key for oneself."""
        return json_reply(await self._accounts.new_key(principal_of(request), await read_model(request, NewKey)))

    async def apikey_info(self, request: Request, route: Route) -> Response:
        """What is known of the key of this request."""
        credentials = presented(request)
        if credentials.kind is not Kind.API_KEY:
            raise bad_request("The request was not made with an API key.")
        if self._accounts_or_none is None:
            return json_reply(_single_user_key(credentials.secret, principal_of(request)))
        return json_reply(await self._accounts.key_info(credentials.secret))

    async def apikey_delete(self, request: Request, route: Route) -> Response:
        """Delete a key of one's own."""
        first_eight = (await read_parameters(request, route)).get("first_eight")
        if not isinstance(first_eight, str) or len(first_eight) != _FIRST:
            raise unprocessable(f"'first_eight' must be the first {_FIRST} characters of the key.")
        await self._accounts.delete_key(principal_of(request), first_eight)
        return json_reply(_OK)

    async def principal_apikey_new(self, request: Request, route: Route) -> Response:
        """A key for somebody else."""
        wanted = await read_model(request, NewKey)
        return json_reply(await self._accounts.new_key_for(request.path_params["uuid"], wanted))

    # Principals -------------------------------------------------------------------------------------------------

    async def principals(self, request: Request, route: Route) -> Response:
        """All principals."""
        return json_reply(await self._accounts.all_shown())

    async def principal(self, request: Request, route: Route) -> Response:
        """One principal."""
        return json_reply(await self._accounts.shown(request.path_params["uuid"]))

    async def whoami(self, request: Request, route: Route) -> Response:
        """The principal of this request."""
        requester = principal_of(request)
        if requester.uuid is None or self._accounts_or_none is None:
            return json_reply(requester.shown())
        return json_reply(await self._accounts.shown(requester.uuid))

    async def scopes(self, request: Request, route: Route) -> Response:
        """Roles and scopes of this request."""
        requester = principal_of(request)
        return json_reply({"roles": sorted(requester.roles), "scopes": sorted(requester.scopes)})


def _single_user_key(secret: str, owner: Principal) -> dict[str, Any]:
    """The single-user key in the form of the others."""
    return {
        "first_eight": secret[:8] if len(secret) > 16 else "",
        "expiration_time": None,
        "note": "the single-user key of the server",
        "scopes": sorted(owner.scopes),
        "latest_activity": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
    }
