"""What is remembered of single objects, and what never is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from queueserver_operator.kinds import Kind
from queueserver_operator.kubernetes_api import KubernetesApi
from queueserver_operator.lookups import Lookups

READY = {"metadata": {"name": "node-1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
OUT_OF_SERVICE = {**READY, "spec": {"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]}}


class OneNode:
    """An API server with at most one node, which counts how often it is asked."""

    def __init__(self) -> None:
        self.body: Mapping[str, Any] | None = None
        self.asked = 0

    async def get(self, kind: Kind, namespace: str, name: str) -> Mapping[str, Any] | None:
        self.asked += 1
        return self.body


def looked(lookups: Lookups) -> Any:
    return asyncio.run(lookups.nodes({"node-1"}, max_age=60.0))["node-1"]


def test_a_node_that_came_back_under_its_name_is_seen_at_once():
    api = OneNode()
    lookups = Lookups(cast(KubernetesApi, api), clock=lambda: 0.0)
    assert looked(lookups) is None
    api.body = OUT_OF_SERVICE
    assert looked(lookups).out_of_service
    api.body = READY
    node = looked(lookups)
    assert node.ready
    assert not node.out_of_service


def test_a_node_that_is_well_is_remembered():
    api = OneNode()
    api.body = READY
    lookups = Lookups(cast(KubernetesApi, api), clock=lambda: 0.0)
    for _ in range(3):
        assert looked(lookups).ready
    assert api.asked == 1


class SomeEvents:
    """An API server with these events."""

    def __init__(self, *events: tuple[str, str]) -> None:
        self.events = events

    async def list(self, kind: Kind, namespace: str, *, fields: str) -> AsyncIterator[Mapping[str, Any]]:
        assert fields == "involvedObject.name=a-pod,involvedObject.uid=a-uid"
        about = {"kind": "Pod", "name": "a-pod"}
        for type_, reason in self.events:
            yield {"involvedObject": about, "type": type_, "reason": reason, "message": "…"}


def test_warnings_and_the_news_of_a_node_are_worth_telling():
    events = (
        ("Warning", "FailedScheduling"),
        ("Normal", "TriggeredScaleUp"),
        ("Normal", "Nominated"),
        ("Normal", "Pulled"),
    )
    lookups = Lookups(cast(KubernetesApi, SomeEvents(*events)), clock=lambda: 0.0)
    found = asyncio.run(lookups.warnings("beamline", "a-pod", "a-uid", max_age=60.0))
    assert [one.reason for one in found] == ["FailedScheduling", "TriggeredScaleUp", "Nominated"]
