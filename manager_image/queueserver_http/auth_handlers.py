"""Handlers of the routes below `/api/auth` (http-api 2.4)."""

from __future__ import annotations

import time
from typing import Any

from queueserver_http.accounts.accounts import Accounts
from queueserver_http.authenticators.external import ExternalAuthenticator
from queueserver_http.authenticators.passwords import AnyAuthenticator, PasswordAuthenticator
from queueserver_http.credentials import Kind, presented, without_cookies
from queueserver_http.errors import bad_request, not_found, unauthorized, unprocessable
from queueserver_http.forms import read_form
from queueserver_http.http import AnyReply, Reply, Request, json_reply
from queueserver_http.identity import Identity
from queueserver_http.limits import FailedLogins

_NO_ACCOUNTS = (
    "This server has no accounts (no authentication/providers), so there are no tokens, sessions or API keys."
)
_OK = {"success": True, "msg": ""}
_LONGEST_CREDENTIAL = 4096


class AuthHandlers:
    """`accounts` is None in a server without providers: what needs a database is refused with a sentence."""

    def __init__(
        self,
        identity: Identity,
        accounts: Accounts | None,
        authenticators: dict[str, AnyAuthenticator],
        failed_logins: FailedLogins,
    ) -> None:
        self._identity = identity
        self._accounts_or_none = accounts
        self._authenticators = authenticators
        self._failed_logins = failed_logins

    @property
    def _accounts(self) -> Accounts:
        if self._accounts_or_none is None:
            raise bad_request(_NO_ACCOUNTS)
        return self._accounts_or_none

    # Logging in and out -----------------------------------------------------------------------------------------

    async def login(self, request: Request) -> AnyReply:
        """Tokens for a user name and a password."""
        authenticator = self._authenticator(request)
        if not isinstance(authenticator, PasswordAuthenticator):
            raise bad_request("This provider does not take passwords; use its path /code.")
        form = await read_form(request)
        name, password = form.get("username"), form.get("password")
        if not isinstance(name, str) or not isinstance(password, str) or not name or not password:
            raise unprocessable("The form must have the fields 'username' and 'password'.")
        if max(len(name), len(password)) > _LONGEST_CREDENTIAL or "\0" in name + password:
            raise unauthorized("Incorrect username or password")
        attempts = (request.client, f"user {name}")
        for attempt in attempts:
            self._failed_logins.check(attempt)
        found = await authenticator.authenticate(name, password)
        if found is None:
            for attempt in attempts:
                self._failed_logins.failed(attempt)
            raise unauthorized("Incorrect username or password")
        return json_reply(await self._accounts.log_in(request.path_values["provider"], found))

    async def login_external(self, request: Request) -> AnyReply:
        """Leave for an external provider, or tokens for the code that one came back with."""
        authenticator = self._authenticator(request)
        if not isinstance(authenticator, ExternalAuthenticator):
            raise bad_request("This provider takes passwords; use its path /token.")
        sent: dict[str, Any] = dict(request.query)
        if request.verb == "POST":
            sent |= await read_form(request)
        if "code" not in sent and "error" not in sent:
            headers = [(b"location", (await authenticator.leave()).encode())]
            return Reply(b"", 302, headers=headers)
        self._failed_logins.check(request.client)
        found = await authenticator.come_back({key: value for key, value in sent.items() if isinstance(value, str)})
        if found is None:
            self._failed_logins.failed(request.client)
            raise unauthorized("The provider did not confirm the login.")
        return json_reply(await self._accounts.log_in(request.path_values["provider"], found))

    def _authenticator(self, request: Request) -> AnyAuthenticator:
        name = request.path_values["provider"]
        if name not in self._authenticators:
            raise not_found(f"No authentication provider {name!r}.")
        return self._authenticators[name]

    async def logout(self, request: Request) -> AnyReply:
        """Delete the cookies."""
        return json_reply({}, headers=without_cookies())

    # Sessions ---------------------------------------------------------------------------------------------------

    async def session_refresh(self, request: Request) -> AnyReply:
        """New tokens for a refresh token."""
        token = (await request.parameters()).get("refresh_token")
        if not isinstance(token, str):
            raise unprocessable("'refresh_token' must be the refresh token, a string.")
        return json_reply(await self._accounts.refresh(token))

    async def session_revoke(self, request: Request) -> AnyReply:
        """End a session of one's own."""
        await self._accounts.revoke(request.path_values["session_id"], request.principal)
        return json_reply(_OK)

    async def ticket(self, request: Request) -> AnyReply:
        """A ticket for one websocket."""
        ticket, life = self._identity.new_ticket(request.principal)
        return json_reply({"ticket": ticket, "expires_in": life})

    # API keys ---------------------------------------------------------------------------------------------------

    async def apikey_new(self, request: Request) -> AnyReply:
        """A key for oneself."""
        parameters = await request.parameters()
        return json_reply(await self._accounts.new_key(request.principal, parameters))

    async def apikey_info(self, request: Request) -> AnyReply:
        """What is known of the key of this request."""
        credentials = presented(request)
        if credentials.kind is not Kind.API_KEY:
            raise bad_request("The request was not made with an API key.")
        if self._accounts_or_none is None:
            return json_reply(_single_user_key(request))
        return json_reply(await self._accounts.key_info(credentials.secret))

    async def apikey_delete(self, request: Request) -> AnyReply:
        """Delete a key of one's own."""
        first_eight = (await request.parameters()).get("first_eight")
        if not isinstance(first_eight, str) or len(first_eight) != 8:
            raise unprocessable("'first_eight' must be the first eight characters of the key.")
        await self._accounts.delete_key(request.principal, first_eight)
        return json_reply(_OK)

    async def principal_apikey_new(self, request: Request) -> AnyReply:
        """A key for somebody else."""
        parameters = await request.parameters()
        return json_reply(await self._accounts.new_key_for(request.path_values["uuid"], parameters))

    # Principals -------------------------------------------------------------------------------------------------

    async def principals(self, request: Request) -> AnyReply:
        """All principals."""
        return json_reply(await self._accounts.all_shown())

    async def principal(self, request: Request) -> AnyReply:
        """One principal."""
        return json_reply(await self._accounts.shown(request.path_values["uuid"]))

    async def whoami(self, request: Request) -> AnyReply:
        """The principal of this request."""
        if request.principal.uuid is None or self._accounts_or_none is None:
            return json_reply(request.principal.shown())
        return json_reply(await self._accounts.shown(request.principal.uuid))

    async def scopes(self, request: Request) -> AnyReply:
        """Roles and scopes of this request."""
        roles, scopes = sorted(request.principal.roles), sorted(request.principal.scopes)
        return json_reply({"roles": roles, "scopes": scopes})


def _single_user_key(request: Request) -> dict[str, Any]:
    """The single-user key in the form of the others."""
    secret = presented(request).secret
    return {
        "first_eight": secret[:8] if len(secret) > 16 else "",
        "expiration_time": None,
        "note": "the single-user key of the server",
        "scopes": sorted(request.principal.scopes),
        "latest_activity": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
    }
