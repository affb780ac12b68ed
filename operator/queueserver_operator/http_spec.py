"""`spec.http` of a QueueServer as the operator reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from queueserver_operator import names
from queueserver_operator.reading import integer, mapping, text
from queueserver_operator.spec import PodSettings, QueueServerSpec, Volume

_RESOURCES = {"requests": {"cpu": "50m"}, "limits": {"memory": "256Mi"}}


@dataclass(frozen=True, slots=True)
class TokenReview:
    """`spec.http.tokenReview`: bearer tokens of Kubernetes."""

    settings: Mapping[str, Any]
    """Audiences, groups and users, as the HTTP server's configuration names them."""


@dataclass(frozen=True, slots=True)
class HttpSpec:
    """An HTTP server that is wanted."""

    pod: PodSettings
    replicas: int
    config_map: str
    """Name of a ConfigMap with more settings; empty: none."""
    secret: str
    """Name of a Secret with more settings; empty: none."""
    keys: str
    """Name of the Secret with the server's keys."""
    keys_given: bool
    """The Secret is somebody else's."""
    claim: Volume | None
    """The volume of the database that the operator makes."""
    uri_secret: str
    """Name of the Secret with the address of an external database; empty: none."""
    uri_key: str
    token_review: TokenReview | None
    service_type: str
    service_annotations: Mapping[str, str]
    root_path: str


def http_of(spec: QueueServerSpec) -> HttpSpec | None:
    """The HTTP server of a QueueServer; None when none is wanted."""
    found = mapping(spec.raw, "spec").get("http")
    if not isinstance(found, Mapping):
        return None
    database = mapping(found, "database")
    given = text(found, "keys", "name")
    return HttpSpec(
        pod=PodSettings.parse(found, _RESOURCES),
        replicas=integer(found, "replicas", default=1),
        config_map=text(found, "configuration", "configMap", "name"),
        secret=text(found, "configuration", "secret", "name"),
        keys=given or names.http_secret(spec.name),
        keys_given=bool(given),
        claim=Volume.parse(mapping(database, "claim"), "100Mi") if "claim" in database else None,
        uri_secret=text(database, "uriSecret", "name"),
        uri_key=text(database, "uriSecret", "key") or "uri",
        token_review=_token_review(found),
        service_type=text(found, "service", "type") or "ClusterIP",
        service_annotations=mapping(found, "service", "annotations"),
        root_path=text(found, "rootPath"),
    )


def _token_review(parent: Mapping[str, Any]) -> TokenReview | None:
    if "tokenReview" not in parent:
        return None
    given = mapping(parent, "tokenReview")
    return TokenReview({key: given[key] for key in ("audiences", "groups", "users") if given.get(key)})
