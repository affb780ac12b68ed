"""Objects outside our labels that a QueueServer names, and that have to be looked at to decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from queueserver_operator.http_spec import http_of
from queueserver_operator.spec import QueueServerSpec


@dataclass(frozen=True, slots=True)
class References:
    """Names of objects in the namespace of the QueueServer."""

    secrets: frozenset[str]
    config_maps: frozenset[str]
    claims: frozenset[str]


def references(queue_server: Mapping[str, Any]) -> References:
    """What the specification names; total: a QueueServer that makes no sense names nothing."""
    spec = QueueServerSpec.parse(queue_server)
    profile, home = spec.environment.profile, spec.environment.home
    config_maps = {profile.name} if profile.kind == "configMap" else set()
    config_maps |= {spec.permissions.config_map, spec.lists.config_map}
    http, secrets = http_of(spec), set[str]()
    if http is not None:
        config_maps.add(http.config_map)
        secrets = {http.keys, http.secret, http.uri_secret}
    claims = {profile.name} if profile.kind == "persistentVolumeClaim" else set()
    return References(
        secrets=_named({spec.keys.control, spec.keys.link_server, spec.keys.link_worker} | secrets),
        config_maps=_named(config_maps),
        claims=_named(claims | {home.existing_claim}),
    )


def _named(names: set[str]) -> frozenset[str]:
    return frozenset(name for name in names if name)
