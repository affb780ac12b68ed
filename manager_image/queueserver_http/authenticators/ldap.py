"""Passwords checked by binding to an LDAP server (http-api 5.2)."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Sequence
from typing import Any

import ldap3
from ldap3.core.exceptions import LDAPException
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import escape_rdn

from queueserver_http import loggers
from queueserver_http.authenticators.external import ProviderAway
from queueserver_http.authenticators.passwords import PasswordAuthenticator

_log = logging.getLogger(loggers.AUTHENTICATORS)


class LDAPAuthenticator(PasswordAuthenticator):
    """Binds as the user, whose DN is made from a template or looked up; times are seconds.

    `bind_dn_template`: a template or a list of them, such as `uid={username},ou=people,dc=example,dc=org`.
    `lookup_dn`: search for the user's DN below `user_search_base` by `user_attribute`, as `lookup_dn_search_user`
    or anonymously. `allowed_groups`: DNs of groups one of which must have the user as a member.
    """

    def __init__(
        self,
        server_address: str | Sequence[str],
        server_port: int | None = None,
        *,
        use_ssl: bool = False,
        use_tls: bool = True,
        connect_timeout: float = 5,
        receive_timeout: float = 60,
        bind_dn_template: str | Sequence[str] | None = None,
        allowed_groups: Sequence[str] | None = None,
        valid_username_regex: str = r"^[a-z][.a-z0-9_-]*$",
        lookup_dn: bool = False,
        user_search_base: str | None = None,
        user_attribute: str | None = None,
        lookup_dn_search_filter: str = "({login_attr}={login})",
        lookup_dn_search_user: str | None = None,
        lookup_dn_search_password: str | None = None,
        lookup_dn_user_dn_attribute: str | None = None,
        escape_userdn: bool = True,
        ca_certs_file: str | None = None,
    ) -> None:
        addresses = [server_address] if isinstance(server_address, str) else list(server_address)
        templates = [bind_dn_template] if isinstance(bind_dn_template, str) else list(bind_dn_template or ())
        if not addresses:
            raise ValueError("'server_address' must name at least one server")
        if not templates and not lookup_dn:
            raise ValueError("give 'bind_dn_template', or 'lookup_dn' with 'user_search_base' and 'user_attribute'")
        if lookup_dn and not (user_search_base and user_attribute):
            raise ValueError("'lookup_dn' needs 'user_search_base' and 'user_attribute'")
        tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=ca_certs_file)
        self._servers = [
            ldap3.Server(
                *_host_and_port(address, server_port),
                use_ssl=use_ssl,
                tls=tls,
                connect_timeout=connect_timeout,
                get_info=ldap3.NONE,
            )
            for address in addresses
        ]
        self._start_tls = use_tls and not use_ssl
        self._receive_timeout = receive_timeout
        self._templates = templates
        self._groups = list(allowed_groups or ())
        self._valid = re.compile(valid_username_regex)
        self._lookup = lookup_dn
        self._base, self._attribute = user_search_base or "", user_attribute or ""
        self._filter = lookup_dn_search_filter
        self._searcher = (lookup_dn_search_user, lookup_dn_search_password)
        self._dn_attribute = lookup_dn_user_dn_attribute
        self._escape = escape_userdn

    async def authenticate(self, username: str, password: str) -> str | None:
        name = username.lower()
        # An empty password would be an anonymous bind, which servers accept.
        if not password or self._valid.fullmatch(name) is None:
            return None
        return name if await asyncio.to_thread(self._check_any, name, password) else None

    def _check_any(self, name: str, password: str) -> bool:
        for server in self._servers:
            try:
                return self._check(server, name, password)
            except LDAPException as error:
                _log.error("The LDAP server %s cannot be asked: %s", server.host, error)
        raise ProviderAway

    def _check(self, server: ldap3.Server, name: str, password: str) -> bool:
        for dn in self._names(server, name):
            connection = self._connection(server, dn, password)
            try:
                if connection.bind():
                    return self._is_member(connection, dn, name)
            finally:
                connection.unbind()
        return False

    def _connection(self, server: ldap3.Server, dn: str | None, password: str | None) -> ldap3.Connection:
        connection = ldap3.Connection(server, dn, password, receive_timeout=self._receive_timeout, read_only=True)
        connection.open()
        if self._start_tls:
            connection.start_tls()
        return connection

    def _names(self, server: ldap3.Server, name: str) -> list[str]:
        """DNs that the user may have."""
        if not self._lookup:
            return [template.format(username=self._in_dn(name)) for template in self._templates]
        connection = self._connection(server, *self._searcher)
        try:
            if not connection.bind():
                _log.error("The LDAP server %s refuses the user of the search", server.host)
                return []
            condition = self._filter.format(login_attr=self._attribute, login=escape_filter_chars(name))
            attributes = [self._dn_attribute] if self._dn_attribute else None
            connection.search(self._base, condition, attributes=attributes)
            found = [entry for entry in connection.response or () if entry.get("type") == "searchResEntry"]
        finally:
            connection.unbind()
        if len(found) != 1:
            return []
        if not self._dn_attribute:
            return [str(found[0]["dn"])]
        values = _list(found[0]["attributes"].get(self._dn_attribute))
        return [template.format(username=self._in_dn(str(one))) for one in values for template in self._templates]

    def _in_dn(self, name: str) -> str:
        return str(escape_rdn(name)) if self._escape else name

    def _is_member(self, connection: ldap3.Connection, dn: str, name: str) -> bool:
        if not self._groups:
            return True
        shown, user = escape_filter_chars(dn), escape_filter_chars(name)
        condition = f"(|(member={shown})(uniqueMember={shown})(memberUid={user}))"
        return any(
            connection.search(group, condition, ldap3.BASE) and bool(connection.response) for group in self._groups
        )


def _host_and_port(address: str, port: int | None) -> tuple[str, int | None]:
    host, _, own = address.rpartition(":") if address.count(":") == 1 else (address, "", "")
    return host, int(own) if own.isdecimal() else port


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []
