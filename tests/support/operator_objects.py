"""Worlds of one QueueServer, and the objects in them that tests look at."""

from __future__ import annotations

from typing import Any

from operator_world import SIMULATED, World

OTHER_OPENING = "fedcba9876543210fedcba9876543210"


def world(**spec: Any) -> World:
    return World({**SIMULATED, **spec})


def manifests(some: World, kind: str) -> list[dict[str, Any]]:
    return [body for (found, _, _), body in sorted(some.objects.items()) if found == kind]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def pods_of(some: World) -> list[dict[str, Any]]:
    """Specifications of all pods that the operator makes."""
    worker_pods = [body["spec"] for body in manifests(some, "Pod") if "schedulingGates" in body["spec"]]
    return [manifests(some, "StatefulSet")[0]["spec"]["template"]["spec"], *worker_pods]


def with_all_pods(**spec: Any) -> World:
    """A world in which the manager's StatefulSet and a worker's pod have been made."""
    some = world(**spec)
    some.settle()
    some.open_environment()
    while not some.names("Pod"):
        some.carry_out(some.plan())
    return some
