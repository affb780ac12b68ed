"""Endpoints below `/api/auth` (http-api 2.4)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel

from queueserver_http.accounts.model import NewKey
from queueserver_http.authenticators.external import ExternalAuthenticator
from queueserver_http.authenticators.passwords import AnyAuthenticator, PasswordAuthenticator
from queueserver_http.credentials import Kind, delete_cookies, presented
from queueserver_http.errors import bad_request, not_found, unauthorized
from queueserver_http.forms import read_form
from queueserver_http.guard import Requester
from queueserver_http.identity import Identity
from queueserver_http.limits import FailedLogins
from queueserver_http.principal import Principal

if TYPE_CHECKING:  # a server with a single user does without the packages for tokens
    from queueserver_http.accounts.accounts import Accounts

_NO_ACCOUNTS = (
    "This server has no accounts (no authentication/providers), so there are no tokens, sessions or API keys."
)
_OK = {"success": True, "msg": ""}
_LONGEST_CREDENTIAL = 4096


class Refresh(BaseModel):
    """What new tokens are made for."""

    refresh_token: str


async def _authenticator(request: Request, provider: str) -> AnyAuthenticator:
    """The provider that the path names; raises 404."""
    authenticators: dict[str, AnyAuthenticator] = request.app.state.authenticators
    if provider not in authenticators:
        raise not_found(f"No authentication provider {provider!r}.")
    return authenticators[provider]


Provider = Annotated[AnyAuthenticator, Depends(_authenticator)]


def _address(request: Request) -> str:
    """The client's, as far as the server or a trusted proxy tells."""
    return request.client.host if request.client else "unknown"


class AuthHandlers:
    """`accounts` is None in a server without providers: what needs a database is refused with a sentence."""

    def __init__(self, identity: Identity, accounts: Accounts | None, failed_logins: FailedLogins) -> None:
        self._identity = identity
        self._accounts_or_none = accounts
        self._failed_logins = failed_logins

    @property
    def _accounts(self) -> Accounts:
        if self._accounts_or_none is None:
            raise bad_request(_NO_ACCOUNTS)
        return self._accounts_or_none

    # Logging in and out -----------------------------------------------------------------------------------------

    async def login(
        self,
        request: Request,
        provider: str,
        authenticator: Provider,
        username: Annotated[str, Form(min_length=1)],
        password: Annotated[str, Form(min_length=1)],
    ) -> dict[str, Any]:
        """Tokens for a user name and a password."""
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
        return await self._accounts.log_in(provider, found)

    async def login_external(self, request: Request, provider: str, authenticator: Provider) -> Any:
        """Leave for an external provider, or tokens for the code that one came back with."""
        if not isinstance(authenticator, ExternalAuthenticator):
            raise bad_request("This provider takes passwords; use its path /token.")
        sent: dict[str, Any] = dict(request.query_params)
        if request.method == "POST":
            sent |= await read_form(request)
        if sent.keys().isdisjoint(authenticator.answers):
            return RedirectResponse(await authenticator.leave(), 302)
        self._failed_logins.check(_address(request))
        found = await authenticator.come_back({key: value for key, value in sent.items() if isinstance(value, str)})
        if found is None:
            self._failed_logins.failed(_address(request))
            raise unauthorized("The provider did not confirm the login.")
        return await self._accounts.log_in(provider, found)

    async def logout(self, response: Response) -> dict[str, Any]:
        """Delete the cookies."""
        delete_cookies(response)
        return {}

    # Sessions ---------------------------------------------------------------------------------------------------

    async def session_refresh(self, sent: Refresh) -> dict[str, Any]:
        """New tokens for a refresh token."""
        return await self._accounts.refresh(sent.refresh_token)

    async def session_revoke(self, session_id: str, requester: Requester) -> dict[str, Any]:
        """End a session of one's own."""
        await self._accounts.revoke(session_id, requester)
        return _OK

    async def ticket(self, requester: Requester) -> dict[str, Any]:
        """A ticket for one websocket."""
        ticket, life = self._identity.new_ticket(requester)
        return {"ticket": ticket, "expires_in": life}

    # API keys ---------------------------------------------------------------------------------------------------

    async def apikey_new(self, wanted: NewKey, requester: Requester) -> dict[str, Any]:
        """A key for oneself."""
        return await self._accounts.new_key(requester, wanted)

    async def apikey_info(self, request: Request, requester: Requester) -> dict[str, Any]:
        """What is known of the key of this request."""
        credentials = presented(request)
        if credentials.kind is not Kind.API_KEY:
            raise bad_request("The request was not made with an API key.")
        if self._accounts_or_none is None:
            return _single_user_key(credentials.secret, requester)
        return await self._accounts.key_info(credentials.secret)

    async def apikey_delete(
        self, first_eight: Annotated[str, Query(min_length=8, max_length=8)], requester: Requester
    ) -> dict[str, Any]:
        """Delete a key of one's own."""
        await self._accounts.delete_key(requester, first_eight)
        return _OK

    async def principal_apikey_new(self, uuid: str, wanted: NewKey) -> dict[str, Any]:
        """A key for somebody else."""
        return await self._accounts.new_key_for(uuid, wanted)

    # Principals -------------------------------------------------------------------------------------------------

    async def principals(self) -> list[dict[str, Any]]:
        """All principals."""
        return await self._accounts.all_shown()

    async def principal(self, uuid: str) -> dict[str, Any]:
        """One principal."""
        return await self._accounts.shown(uuid)

    async def whoami(self, requester: Requester) -> dict[str, Any]:
        """The principal of this request."""
        if requester.uuid is None or self._accounts_or_none is None:
            return requester.shown()
        return await self._accounts.shown(requester.uuid)

    async def scopes(self, requester: Requester) -> dict[str, Any]:
        """Roles and scopes of this request."""
        return {"roles": sorted(requester.roles), "scopes": sorted(requester.scopes)}


def _single_user_key(secret: str, owner: Principal) -> dict[str, Any]:
    """The single-user key in the form of the others."""
    return {
        "first_eight": secret[:8] if len(secret) > 16 else "",
        "expiration_time": None,
        "note": "the single-user key of the server",
        "scopes": sorted(owner.scopes),
        "latest_activity": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
    }
