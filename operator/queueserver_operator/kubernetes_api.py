"""Requests to the API server: plain dicts in and out, tries again what may pass, counts and times everything.

The only module that uses the package `kubernetes`. Paths come from the fixed table of kinds, so nothing is discovered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.dynamic import DynamicClient
from kubernetes.aio.dynamic.exceptions import DynamicApiError

from queueserver_operator.api_error import ApiError, refusal, unanswered
from queueserver_operator.kinds import Kind, kind_of
from queueserver_operator.metrics import API_REQUESTS, API_SECONDS, APPLY_CONFLICTS

Body = dict[str, Any]

_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

_ATTEMPTS = 4
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0
_TIMEOUT = aiohttp.ClientTimeout(total=30.0, sock_connect=10.0)
_CHUNK = 250

logger = logging.getLogger(__name__)


class KubernetesApi:
    """A connection to the API server; see `connected`.

    All methods raise `ApiError`. A request is tried up to four times while the server answers 429 or 5xx or not at all.
    """

    def __init__(self, transport: Any, field_manager: str) -> None:
        self._transport = transport
        self._field_manager = field_manager

    async def get(self, kind: Kind, namespace: str, name: str) -> Body | None:
        """One object; None: there is none."""
        try:
            return await self._send("get", kind, kind.path(namespace, name), f"{namespace}/{name}")
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def apply(self, manifest: Mapping[str, Any], subresource: str = "") -> Body:
        """Server-side apply: what the manifest says becomes so, what it no longer says goes, the rest stays.

        A uid in the metadata is a precondition. Conflicts with other managers are decided in our favour.
        """
        body = plain(manifest)
        kind, namespace, name = kind_of(body), body["metadata"].get("namespace", ""), body["metadata"]["name"]
        return await self._send(
            "apply",
            kind,
            kind.path(namespace, name, subresource),
            f"{namespace}/{name}",
            body=body,
            content_type=_APPLY,
            field_manager=self._field_manager,
            force_conflicts="true",
        )

    async def create(self, manifest: Mapping[str, Any]) -> Body | None:
        """Create an object; None: one of that name exists, and it was left alone. An unknown field is refused (400)."""
        body = plain(manifest)
        kind, namespace, name = kind_of(body), body["metadata"].get("namespace", ""), body["metadata"]["name"]
        try:
            return await self._send(
                "create",
                kind,
                kind.path(namespace),
                f"{namespace}/{name}",
                body=body,
                field_manager=self._field_manager,
                query_params=[("fieldValidation", "Strict")],
            )
        except ApiError as error:
            if error.conflict and error.reason == "AlreadyExists":
                return None
            raise

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str = "", resource_version: str = "", orphan: bool = False
    ) -> Body | None:
        """Delete an object with its own grace period; the answer is the object while it is still ending.

        None: it is gone, or it is not the one with this uid and resourceVersion, which is left alone.
        """
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Orphan" if orphan else "Background",
            "preconditions": {key: value for key, value in preconditions.items() if value},
        }
        try:
            answer = await self._send("delete", kind, kind.path(namespace, name), f"{namespace}/{name}", body=body)
        except ApiError as error:
            if error.not_found or error.conflict:
                return None
            raise
        return answer if answer.get("kind") == kind.name else None

    async def merge(
        self, kind: Kind, namespace: str, name: str, change: Mapping[str, Any], subresource: str = ""
    ) -> Body:
        """JSON merge patch; a resourceVersion in the metadata is a precondition (409)."""
        return await self._patch(kind, namespace, name, plain(change), _MERGE, subresource)

    async def json_patch(self, kind: Kind, namespace: str, name: str, operations: list[dict[str, Any]]) -> Body:
        """JSON patch; a failed `test` is refused with 422."""
        return await self._patch(kind, namespace, name, operations, _JSON_PATCH)

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "", metadata_only: bool = False
    ) -> AsyncIterator[Body]:
        """The objects of a kind in one namespace or in all, in chunks, so that few bodies are in memory at a time."""
        continuation = ""
        while True:
            answer = await self._send(
                "list",
                kind,
                kind.path(namespace),
                namespace or "all namespaces",
                label_selector=labels or None,
                field_selector=fields or None,
                limit=_CHUNK,
                _continue=continuation or None,
                header_params={"Accept": _METADATA_LIST} if metadata_only else {},
            )
            for item in answer.get("items") or ():
                yield item
            continuation = (answer.get("metadata") or {}).get("continue", "")
            if not continuation:
                return

    async def served(self, kind: Kind) -> bool:
        """Whether the API server knows the kind: its CRD is installed."""
        try:
            answer = await self._send("discover", kind, f"/apis/{kind.api_version}", kind.api_version)
        except ApiError as error:
            if error.not_found:
                return False
            raise
        return any(resource.get("name") == kind.plural for resource in answer.get("resources") or ())

    async def _patch(
        self, kind: Kind, namespace: str, name: str, body: Any, content_type: str, subresource: str = ""
    ) -> Body:
        return await self._send(
            "patch",
            kind,
            kind.path(namespace, name, subresource),
            f"{namespace}/{name}",
            body=body,
            content_type=content_type,
            field_manager=self._field_manager,
        )

    async def _send(self, verb: str, kind: Kind, path: str, subject: str, **parameters: Any) -> Body:
        what = f"{verb} {kind.name} {subject}"
        pause = _FIRST_PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._send_once(verb, kind, path, what, parameters)
            except ApiError as error:
                if attempt == _ATTEMPTS or not _worth_another_try(verb, error):
                    raise
                wait = max(error.retry_after, pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads the tries
                logger.debug("%s; trying again in %.1f s", error, wait)
                await asyncio.sleep(min(wait, _LONGEST_PAUSE))
                pause *= 2
        raise AssertionError("the last attempt returns or raises")

    async def _send_once(self, verb: str, kind: Kind, path: str, what: str, parameters: Mapping[str, Any]) -> Body:
        started, code = time.monotonic(), 0
        try:
            response = await self._transport.request(
                _METHODS[verb], path, serialize=False, _request_timeout=_TIMEOUT, **_copied(parameters)
            )
            code = int(response.status)
            answer = await response.json(content_type=None)
        except DynamicApiError as error:
            code = int(error.status or 0)
            headers = error.headers or {}
            raise refusal(code, error.body, headers.get("Retry-After"), what) from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise unanswered(error, what) from None
        finally:
            API_SECONDS.labels(verb).observe(time.monotonic() - started)
            API_REQUESTS.labels(verb, kind.name, str(code)).inc()
            if code == 409:
                APPLY_CONFLICTS.labels(kind.name).inc()
        return answer if isinstance(answer, dict) else {}


_METHODS = {
    "get": "get",
    "list": "get",
    "discover": "get",
    "create": "post",
    "delete": "delete",
    "apply": "patch",
    "patch": "patch",
}


def _worth_another_try(verb: str, error: ApiError) -> bool:
    # A conflict without preconditions of ours means that two writes met inside the API server.
    return error.passing or (verb == "apply" and error.conflict and "modified" in str(error))


def _copied(parameters: Mapping[str, Any]) -> dict[str, Any]:
    # The client adds to both, and a second attempt must start from what was given.
    changed: Mapping[str, Callable[[Any], Any]] = {"header_params": dict, "query_params": list}
    return {key: changed[key](value) if key in changed else value for key, value in parameters.items()}


def plain(value: Any) -> Any:
    """A copy of a manifest in dicts and lists, as the client can serialize it."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def in_cluster() -> bool:
    """Whether this process runs in a pod."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


@contextlib.asynccontextmanager
async def connected(field_manager: str) -> AsyncIterator[KubernetesApi]:
    """Connect with the pod's ServiceAccount, or with the kubeconfig of the person who runs the operator."""
    configuration = client.Configuration()
    if in_cluster():
        config.load_incluster_config(client_configuration=configuration)
    else:
        await config.load_kube_config(client_configuration=configuration)
    async with client.ApiClient(configuration) as transport:
        yield KubernetesApi(DynamicClient(transport), field_manager)
