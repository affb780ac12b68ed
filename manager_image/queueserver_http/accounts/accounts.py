"""Several users: logging in, refreshing, API keys; and what their credentials allow at the time of a request."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from queueserver_http.access.policies import AccessPolicy, User, displayed, scopes_of
from queueserver_http.access.principal import Principal
from queueserver_http.access.scopes import INHERIT
from queueserver_http.accounts.model import Account, FoundKey, NewKey, hashed
from queueserver_http.accounts.tokens import Tokens
from queueserver_http.exchange.errors import bad_request, not_found, unauthorized

if TYPE_CHECKING:  # a server with a single user does without the database's 20 MB
    from queueserver_http.accounts.threads import RecordsInThreads

_KEY_CACHE_S = 5.0
"""Seconds for which a key that was found is not looked up again; another server's deletion takes that long."""
_MOST_CACHED = 10_000

_LONGEST_KEY = 128
_HEX = frozenset("0123456789abcdef")


class Accounts:
    """The identifier of a server with providers. What needs the database raises 503 while that is away."""

    def __init__(self, database: RecordsInThreads, policy: AccessPolicy, tokens: Tokens, *, session_age: float) -> None:
        self._database = database
        self._records = database.records
        self._do = database.do
        self._policy = policy
        self._tokens = tokens
        self._session_age = session_age
        self._found: dict[str, tuple[float, FoundKey]] = {}

    async def close(self) -> None:
        """Close the database."""
        await self._database.close()

    @property
    def opened(self) -> bool:
        """Whether the database has been reached since the start."""
        return self._database.opened

    async def check(self) -> None:
        """Raise 503 when the database does not answer."""
        await self._do(self._records.check)

    # Credentials of requests ------------------------------------------------------------------------------------

    async def by_api_key(self, key: str) -> Principal:
        """The owner of a key, with the key's scopes as far as the owner still has them."""
        if not 8 <= len(key) <= _LONGEST_KEY or not _HEX.issuperset(key):
            raise unauthorized("Invalid API key")
        now = time.time()
        digest = hashed(key)
        until, found = self._found.get(digest, (0.0, None))
        if found is None or until <= now or (found.expires is not None and found.expires <= now):
            self._found.pop(digest, None)
            found = await self._do(self._records.find_key, key)
            if found is None:
                raise unauthorized("Invalid API key")
            if len(self._found) >= _MOST_CACHED:
                self._found.clear()
            self._found[digest] = (now + _KEY_CACHE_S, found)
        allowed = None if INHERIT in found.scopes else frozenset(found.scopes)
        return self._principal(found.account, allowed, api_key=found.first_eight)

    async def by_token(self, token: str) -> Principal:
        """The bearer of an access token, with its scopes as far as the bearer still has them."""
        claims = self._tokens.claims(token, "access")
        try:
            identities = tuple((str(one["idp"]), str(one["id"])) for one in claims["ids"])
            account = Account(str(claims["sub"]), str(claims["sub_typ"]), identities)
            scopes = frozenset(map(str, claims["scp"]))
        except (KeyError, TypeError):
            raise unauthorized("Could not validate credentials") from None
        return self._principal(account, scopes)

    def _principal(self, account: Account, allowed: frozenset[str] | None, api_key: str | None = None) -> Principal:
        users = self._users(account)
        if not users:
            raise unauthorized("User is not authorized to access the server")
        roles = frozenset[str]().union(*(user.roles for _, user in users))
        scopes = scopes_of(roles, self._policy.roles)
        return Principal(
            displayed(*users[0]),
            scopes if allowed is None else scopes & allowed,
            roles,
            account.uuid,
            account.kind,
            account.identities,
            api_key,
        )

    def _users(self, account: Account) -> list[tuple[str, User]]:
        """Names that the policy knows, with what it knows."""
        found = [(name, self._policy.user(name)) for _, name in account.identities]
        return [(name, user) for name, user in found if user is not None]

    # Sessions ---------------------------------------------------------------------------------------------------

    async def log_in(self, provider: str, name: str) -> dict[str, Any]:
        """Tokens of a new session for somebody whom a provider has authenticated; raises 401."""
        if self._policy.user(name) is None:
            raise unauthorized("User is not authorized to access the server")
        account = await self._do(self._records.logged_in, provider, name)
        return self._new_tokens(account, await self._do(self._records.add_session, account.uuid, self._session_age))

    async def refresh(self, refresh_token: str) -> dict[str, Any]:
        """New tokens of a session; raises 401."""
        session = str(self._tokens.claims(refresh_token, "refresh").get("sid"))
        account = await self._do(self._records.refresh_session, session)
        if account is None:
            raise unauthorized("Session has expired. Please re-authenticate.")
        if not self._users(account):
            raise unauthorized("Permissions for the user are revoked. Contact the administrator of the server.")
        return self._new_tokens(account, session)

    async def revoke(self, session: str, principal: Principal) -> None:
        """End a session of one's own; raises 404."""
        if not principal.uuid or not await self._do(self._records.revoke_session, session, principal.uuid):
            raise not_found(f"No session {session} of this principal.")

    def _new_tokens(self, account: Account, session: str) -> dict[str, Any]:
        principal = self._principal(account, None)
        scopes = sorted(principal.scopes)
        return {
            "access_token": self._tokens.access(account.uuid, account.kind, scopes, account.identities),
            "expires_in": self._tokens.access_age,
            "refresh_token": self._tokens.refresh(session),
            "refresh_token_expires_in": self._tokens.refresh_age,
            "token_type": "bearer",
        }

    # API keys and principals ------------------------------------------------------------------------------------

    async def new_key(self, owner: Principal, wanted: NewKey) -> dict[str, Any]:
        """A key for oneself, with no more than the scopes of this request."""
        if owner.uuid is None:
            raise bad_request("Only principals with an account have API keys.")
        return await self._new_key(owner.uuid, owner.scopes, wanted)

    async def new_key_for(self, uuid: str, wanted: NewKey) -> dict[str, Any]:
        """A key for a principal, made by an administrator; raises 404."""
        account = await self._do(self._records.account, uuid)
        if account is None:
            raise not_found(f"No principal {uuid}.")
        return await self._new_key(uuid, self._principal(account, None).scopes, wanted)

    async def _new_key(self, uuid: str, owned: frozenset[str], wanted: NewKey) -> dict[str, Any]:
        scopes = sorted(set([INHERIT] if wanted.scopes is None else wanted.scopes))
        if INHERIT in scopes:
            # A request with less than everything its principal may do cannot make a key that has everything.
            account = await self._do(self._records.account, uuid)
            whole = self._principal(account, None).scopes if account else frozenset()
            scopes = [INHERIT] if owned >= whole else sorted(owned)
        elif not owned.issuperset(scopes):
            raise bad_request(
                f"Requested scopes {scopes} must be a subset of the allowed principal's scopes {sorted(owned)}."
            )
        secret = secrets.token_hex(32)
        expires = None if wanted.expires_in is None else time.time() + wanted.expires_in
        shown = await self._do(self._records.add_key, uuid, secret, scopes, wanted.note, expires)
        return {**shown, "secret": secret}

    async def key_info(self, secret: str) -> dict[str, Any]:
        """What is known of a key; raises 404."""
        shown = await self._do(self._records.shown_key, secret)
        if shown is None:
            raise not_found("No such API key.")
        return shown

    async def delete_key(self, owner: Principal, first_eight: str) -> None:
        """Delete a key of one's own; raises 404."""
        if not owner.uuid or not await self._do(self._records.delete_key, owner.uuid, first_eight):
            raise not_found(f"The principal has no API key that begins with {first_eight!r}.")
        self._found = {digest: one for digest, one in self._found.items() if one[1].first_eight != first_eight}

    async def shown(self, uuid: str) -> dict[str, Any]:
        """A principal with roles and scopes; raises 404."""
        shown = await self._do(self._records.shown, uuid)
        if shown is None:
            raise not_found(f"No principal {uuid}.")
        return self._with_roles(shown)

    async def all_shown(self) -> list[dict[str, Any]]:
        """All principals with their roles and scopes."""
        return [self._with_roles(one) for one in await self._do(self._records.all_shown)]

    def _with_roles(self, shown: dict[str, Any]) -> dict[str, Any]:
        users = [self._policy.user(one["id"]) for one in shown["identities"]]
        roles = frozenset[str]().union(*(user.roles for user in users if user is not None))
        return {**shown, "roles": sorted(roles), "scopes": sorted(scopes_of(roles, self._policy.roles))}
