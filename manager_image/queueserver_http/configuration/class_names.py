"""Classes named in the configuration: `module:Class`, with upstream's names for what we have ourselves (http-api 5)."""

from __future__ import annotations

import importlib
from typing import Any

from queueserver_http.configuration.sources import ConfigurationError

_OURS = {
    "bluesky_httpserver.authorization:BasicAPIAccessControl": "access.policies:BasicAPIAccessControl",
    "bluesky_httpserver.authorization:DictionaryAPIAccessControl": "access.policies:DictionaryAPIAccessControl",
    "bluesky_httpserver.authorization:ServerBasedAPIAccessControl": "access.server_based:ServerBasedAPIAccessControl",
    "bluesky_httpserver.authorization:DefaultResourceAccessControl": "access.resources:DefaultResourceAccessControl",
    "bluesky_httpserver.authenticators:DummyAuthenticator": "authenticators.passwords:DummyAuthenticator",
    "bluesky_httpserver.authenticators:DictionaryAuthenticator": "authenticators.passwords:DictionaryAuthenticator",
    "bluesky_httpserver.authenticators:PAMAuthenticator": "authenticators.pam:PAMAuthenticator",
    "bluesky_httpserver.authenticators:LDAPAuthenticator": "authenticators.ldap:LDAPAuthenticator",
    "bluesky_httpserver.authenticators:OIDCAuthenticator": "authenticators.oidc:OIDCAuthenticator",
    "bluesky_httpserver.authenticators:SAMLAuthenticator": "authenticators.saml:SAMLAuthenticator",
}


def make(name: str, arguments: dict[str, Any], place: str) -> Any:
    """An object of the named class; raises `ConfigurationError`, which says where (`place`) and never an argument."""
    if name.startswith("bluesky_httpserver.") and name not in _OURS:
        raise ConfigurationError(f"{place}: there is no '{name}'. There are: {', '.join(sorted(_OURS))}.")
    module, _, attribute = _OURS.get(name, name).partition(":")
    if not attribute:
        raise ConfigurationError(f"{place}: '{name}' must have the form 'module:Class'.")
    prefix = "queueserver_http." if name in _OURS else ""
    try:
        found = getattr(importlib.import_module(prefix + module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{place}: '{name}' cannot be imported: {error}.") from None
    try:
        return found(**arguments)
    except (TypeError, ValueError) as error:
        text = str(error).replace(f"{attribute}.__init__()", attribute)
        raise ConfigurationError(f"{place}: '{name}' does not take these args: {text}.") from None
