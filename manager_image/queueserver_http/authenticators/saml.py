"""SAML 2.0: the browser leaves with a request and comes back with a signed response (http-api 5.2)."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from onelogin.saml2.auth import OneLogin_Saml2_Auth
from onelogin.saml2.errors import OneLogin_Saml2_Error
from onelogin.saml2.settings import OneLogin_Saml2_Settings

from queueserver_http import loggers
from queueserver_http.authenticators.external import ExternalAuthenticator

_LOGIN_S = 600.0
"""Seconds from leaving for the provider to coming back."""
_MOST_LOGINS = 10_000
_HTTPS_PORT = 443

_log = logging.getLogger(loggers.AUTHENTICATORS)


class SAMLAuthenticator(ExternalAuthenticator):
    """`saml_settings`: those of python3-saml, with `sp` and `idp`; responses are checked strictly whatever they say.

    The provider sends the browser to `sp/assertionConsumerService/url`, which is this server's path `/code`.
    `attribute_name` names the attribute that policies know the user by; without it the name identifier does.
    `confirmation_message` is accepted and means nothing: the reply to a login holds tokens.
    """

    answers = ("SAMLResponse",)

    def __init__(
        self, *, saml_settings: Mapping[str, Any], attribute_name: str | None = None, confirmation_message: str = ""
    ) -> None:
        security = {"wantAssertionsSigned": True, **saml_settings.get("security", {})}
        values = {**saml_settings, "strict": True, "debug": False, "security": security}
        if not (security.get("wantAssertionsSigned") or security.get("wantMessagesSigned")):
            raise ValueError("'saml_settings': nothing would have to be signed")
        try:
            self._settings = OneLogin_Saml2_Settings(values)
        except OneLogin_Saml2_Error as error:
            raise ValueError(f"'saml_settings' cannot be used: {error}") from None
        self._attribute = attribute_name
        self._consumer = urlsplit(self._settings.get_sp_data()["assertionConsumerService"]["url"])
        self._leaving: dict[str, tuple[float, str]] = {}

    async def leave(self) -> str:
        now = time.monotonic()
        self._leaving = {state: one for state, one in self._leaving.items() if one[0] > now}
        if len(self._leaving) >= _MOST_LOGINS:
            self._leaving.pop(next(iter(self._leaving)))
        state = secrets.token_urlsafe(32)
        login = self._login({})
        address: str = login.login(return_to=state)
        self._leaving[state] = (now + _LOGIN_S, login.get_last_request_id())
        return address

    async def come_back(self, sent: Mapping[str, str]) -> str | None:
        expires, request = self._leaving.pop(sent.get("RelayState", ""), (float("-inf"), ""))
        if expires < time.monotonic():
            _log.info("A login was not begun here or is too old")
            return None
        login = self._login(sent)
        try:
            await asyncio.to_thread(login.process_response, request_id=request)
        except Exception as error:  # the library raises those of XML and base64 as well
            _log.warning("The provider's response cannot be read: %s", error)
            return None
        if not login.is_authenticated():
            _log.warning("The provider did not confirm a login: %s", login.get_last_error_reason())
            return None
        values = login.get_attribute(self._attribute) if self._attribute else [login.get_nameid()]
        name = values[0] if values else None
        return name if isinstance(name, str) and name else None

    def _login(self, sent: Mapping[str, str]) -> Any:
        """One login of the library, which thinks that the browser used the address that the provider knows."""
        request = {
            "https": "on" if self._consumer.scheme == "https" else "off",
            "http_host": self._consumer.hostname,
            "server_port": str(self._consumer.port or (_HTTPS_PORT if self._consumer.scheme == "https" else 80)),
            "script_name": self._consumer.path,
            "get_data": {},
            "post_data": {name: sent[name] for name in ("SAMLResponse", "RelayState") if name in sent},
        }
        return OneLogin_Saml2_Auth(request, self._settings)
