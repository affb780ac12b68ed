"""Secrets with keys: made once, never overwritten; or somebody else's, named in the specification."""

from __future__ import annotations

from queueserver_operator import names
from queueserver_operator.build.small import key_secret
from queueserver_operator.conditions import Trouble
from queueserver_operator.decisions.context import Context
from queueserver_operator.model import Chain, CreateKeys
from queueserver_operator.spec import QueueServerSpec

_KEYS = frozenset({"private_key", "public_key"})


def own_secrets(spec: QueueServerSpec) -> tuple[str, ...]:
    """Names of the Secrets with keys that are ours."""
    ours = (
        (spec.keys.control, names.control_secret(spec.name)),
        (spec.keys.link_server, names.link_server_secret(spec.name)),
        (spec.keys.link_worker, names.link_worker_secret(spec.name)),
    )
    return tuple(name for given, name in ours if not given)


def missing_keys(context: Context) -> tuple[Chain, ...]:
    """Makes the Secrets that are ours and are not there."""
    spec, secrets = context.spec, context.observed.secrets
    return tuple((CreateKeys(key_secret(spec, name)),) for name in own_secrets(spec) if name not in secrets)


def key_trouble(context: Context) -> Trouble | None:
    """A Secret that the manager needs and that is missing or not complete."""
    spec, secrets = context.spec, context.observed.secrets
    fields = (
        ("control", spec.keys.control, names.control_secret(spec.name)),
        ("linkServer", spec.keys.link_server, names.link_server_secret(spec.name)),
        ("linkWorker", spec.keys.link_worker, names.link_worker_secret(spec.name)),
    )
    for field, given, ours in fields:
        secret = secrets.get(given or ours)
        if secret is None and given:
            return Trouble("SecretNotFound", f"The Secret {given}, which spec.keys.{field} names, does not exist.")
        if secret is None:
            return Trouble("KeysNotFound", f"The Secret {ours} with keys is being made.", stalled=False)
        if missing := sorted(_KEYS - secret.keys):
            message = (
                f"The Secret {secret.name} has no {' and no '.join(missing)}; both keys of a CURVE pair belong in it."
            )
            return Trouble("SecretIncomplete", message)
    return None
