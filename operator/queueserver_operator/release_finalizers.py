"""Let go of the QueueServers before the operator is uninstalled; the chart runs this module in a Job.

Without an operator nobody removes its finalizer, and the deletion of a QueueServer or of its namespace would wait for
ever. The operator is stopped first, so that it does not put the finalizer back. Nothing is deleted: managers, workers
and running plans go on.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from queueserver_operator.api_error import ApiError
from queueserver_operator.kinds import POD, QUEUE_SERVER, Kind
from queueserver_operator.kubernetes_api import KubernetesApi, connected
from queueserver_operator.model import FIELD_MANAGER
from queueserver_operator.names import FINALIZER
from queueserver_operator.reading import mapping, text, texts

_DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")

_LONGEST_STOP = 90.0
"""Seconds that the operator's pod has to end."""
_LOOK_INTERVAL = 0.5
_ATTEMPTS = 5

Say = Callable[[str], None]


async def stop_operator(
    api: KubernetesApi, namespace: str, name: str, say: Say, *, longest: float = _LONGEST_STOP
) -> None:
    """Scale the operator's Deployment to zero and wait until its pods are gone, `longest` seconds at most.

    Raises:
        ApiError: A request failed.
    """
    deployment = await api.get(_DEPLOYMENT, namespace, name)
    if deployment is None:
        say(f"There is no Deployment {namespace}/{name} to stop.")
        return
    await api.merge(_DEPLOYMENT, namespace, name, {"spec": {"replicas": 0}})
    selector = ",".join(
        f"{key}={value}" for key, value in mapping(deployment, "spec", "selector", "matchLabels").items()
    )
    deadline = time.monotonic() + longest
    while remaining := [text(pod, "metadata", "name") async for pod in api.list(POD, namespace, labels=selector)]:
        if time.monotonic() >= deadline:
            say(f"The pod {', '.join(remaining)} has not ended within {longest:.0f} s; its node may be dead. Going on.")
            return
        await asyncio.sleep(_LOOK_INTERVAL)
    say("The operator is stopped.")


async def release_all(api: KubernetesApi, identity: str, namespaces: Sequence[str], say: Say) -> int:
    """Let go of every QueueServer that the operator with this identity looks after; returns how many there were.

    Args:
        api: Connection to the API server.
        identity: As the operator wrote it to `status.operator.identity`.
        namespaces: Those that the operator serves; empty: all.
        say: Is told what was done, in sentences.

    Raises:
        ApiError: A request failed.
    """
    if not await api.served(QUEUE_SERVER):
        say("The definition of QueueServer is not installed; there is nothing to release.")
        return 0
    released = 0
    for namespace in namespaces or ("",):
        # The list is complete before anything is written: it is read in chunks of one moment.
        for body in [body async for body in api.list(QUEUE_SERVER, namespace)]:
            released += await _release(api, body, identity, say)
    say(f"Released {released} QueueServer{'' if released == 1 else 's'}.")
    return released


async def _release(api: KubernetesApi, body: Mapping[str, Any], identity: str, say: Say) -> bool:
    namespace, name = text(body, "metadata", "namespace"), text(body, "metadata", "name")
    for attempt in range(1, _ATTEMPTS + 1):
        owner = text(body, "status", "operator", "identity")
        if owner not in ("", identity):
            say(f"{namespace}/{name} belongs to the operator {owner} and is left alone.")
            return False
        try:
            return await _let_go(api, body, namespace, name, named=bool(owner))
        except ApiError as error:
            if error.not_found:
                return True
            if not error.conflict or attempt == _ATTEMPTS:
                raise
        present = await api.get(QUEUE_SERVER, namespace, name)
        if present is None:
            return True
        body = present
    raise AssertionError("the last attempt returns or raises")


async def _let_go(api: KubernetesApi, body: Mapping[str, Any], namespace: str, name: str, *, named: bool) -> bool:
    finalizers = texts(body, "metadata", "finalizers")
    if FINALIZER in finalizers:
        others = [one for one in finalizers if one != FINALIZER]
        # With the version that was read, finalizers of others are never lost.
        change = {"finalizers": others, "resourceVersion": text(body, "metadata", "resourceVersion")}
        await api.merge(QUEUE_SERVER, namespace, name, {"metadata": change})
    if named:
        await api.merge(QUEUE_SERVER, namespace, name, {"status": {"operator": None}}, "status")
    return named or FINALIZER in finalizers


async def _run(options: argparse.Namespace) -> None:
    async with connected(FIELD_MANAGER) as api:
        if options.deployment is not None:
            namespace, name = options.deployment
            await stop_operator(api, namespace, name, _print)
        await release_all(api, options.identity, options.namespace, _print)


def _print(sentence: str) -> None:
    print(sentence, flush=True)  # noqa: T201 - a program for the log of a Job


def _deployment(value: str) -> tuple[str, str]:
    namespace, slash, name = value.partition("/")
    if not (namespace and slash and name):
        raise argparse.ArgumentTypeError(f"{value!r} is not of the form NAMESPACE/NAME")
    return namespace, name


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0: all were released; 1: a request failed, a sentence on standard error says which."""
    parser = argparse.ArgumentParser(
        prog="python -P -m queueserver_operator.release_finalizers",
        description="Let go of the QueueServers before the operator is uninstalled. Nothing is deleted.",
    )
    parser.add_argument("--deployment", type=_deployment, metavar="NAMESPACE/NAME", help="the operator, to be stopped")
    parser.add_argument("--identity", required=True, help="what the operator wrote to status.operator.identity")
    parser.add_argument("--namespace", action="append", default=[], help="served by the operator; none: all")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_run(options))
    except ApiError as error:
        print(f"The QueueServers could not be released: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
