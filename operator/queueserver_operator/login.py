"""How kopf's watches log in: as the pod's ServiceAccount, or with the kubeconfig of the person who runs the operator.

Without a handler of our own kopf would import the synchronous client of the package `kubernetes` to find credentials.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf

_FRESH = timedelta(minutes=10)
"""The projected token is renewed by the kubelet long before it ends; it is read anew this often."""


def register_login(registry: kopf.OperatorRegistry) -> None:
    """Register the handler."""
    kopf.on.login(id="login", registry=registry)(log_in)


def log_in(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo | None:
    """Credentials of this process."""
    found = kopf.login_with_service_account(settings=settings)
    if found is not None:
        return dataclasses.replace(found, expiration=datetime.now(UTC) + _FRESH)
    return kopf.login_with_kubeconfig(settings=settings)
