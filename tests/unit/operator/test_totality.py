"""Decisions and views never fail, whatever they are given, and never make a second worker."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from operator_world import OPTIONS, SIMULATED, START, World
from queueserver_operator import views
from queueserver_operator.decide import decide
from queueserver_operator.model import OpenGate
from queueserver_operator.observed import Observed
from queueserver_operator.references import references
from queueserver_operator.spec import QueueServerSpec

SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3) | st.floats(allow_nan=False)
KEYS = st.sampled_from(
    [
        *("metadata", "spec", "status", "name", "uid", "environment", "profile", "simulated", "configMap", "manager"),
        *("conditions", "type", "labels", "annotations", "creationTimestamp", "containerStatuses", "state", "waiting"),
        *("terminated", "running", "exitCode", "lastState", "resources", "limits", "podTemplate", "image", "redis"),
        *("storage", "size", "network", "keys", "permissions", "home", "epics", "channelAccess", "volumes", "env"),
        *("schedulingGates", "ownerReferences", "taints", "involvedObject", "data", "queueServerRef", "phase"),
    ]
)
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)
BODIES = st.dictionaries(KEYS, JUNK, max_size=6)


@given(BODIES)
@settings(deadline=None)
def test_every_view_is_total(body: dict[str, Any]):
    for view in (
        *(views.child, views.stateful_set, views.pod, views.claim, views.secret, views.config_map),
        *(views.environment, views.lease, views.node, views.pod_event),
    ):
        view(body)
    QueueServerSpec.parse(body)
    references(body)


@given(BODIES, BODIES, BODIES)
@settings(deadline=None)
def test_decide_is_total(queue_server: dict[str, Any], environment: dict[str, Any], pod: dict[str, Any]):
    observed = Observed(
        "ns",
        "q",
        queue_server,
        environments=(views.environment(environment),),
        worker_pods=(views.pod(pod),),
        manager_pod=views.pod(pod),
    )
    decide(observed, OPTIONS, START)
    decide(replace(observed, queue_server=None), OPTIONS, START)


EVENTS = st.lists(
    st.sampled_from(
        [
            "operator",
            "operator dies",
            "open",
            "delete environment",
            "run",
            "end",
            "delete pod",
            "force pod",
            "ghosts end",
            "kubelet",
            "kill manager",
            "start manager",
            "linked",
            "unlinked",
            "silent",
            "hour",
            "change",
        ]
    ),
    max_size=40,
)


class Simulated(World):
    """A world that knows which workers really run, whatever the API says."""

    def __init__(self) -> None:
        super().__init__(SIMULATED)
        self.alive: set[str] = set()
        self.openings = 0

    def step(self, event: str) -> None:
        pods = [body for (kind, _, _), body in self.objects.items() if kind == "Pod" and "component" in str(body)]
        workers = [body["metadata"]["name"] for body in pods if body["metadata"]["name"] != "q-manager-0"]
        environments = self.names("WorkerEnvironment")
        match event:
            case "operator":
                self.settle()
            case "operator dies":
                self.gone_pods.clear()
                self.carry_out(self.plan(), at_most=1 + self.openings % 3)
            case "open":
                self.openings += 1
                self.open_environment(f"{self.openings:010d}-0000")
            case "delete environment" if environments:
                self.remove("WorkerEnvironment", environments[0])
            case "run":
                for name in workers:
                    pod = self.get("Pod", name)
                    if not pod["spec"].get("schedulingGates") and not pod["spec"].get("nodeName"):
                        self.alive.add(pod["metadata"]["uid"])
                        self.run_worker(name)
            case "end" if workers:
                self.alive.discard(self.get("Pod", workers[0])["metadata"]["uid"])
                if self.get("Pod", workers[0])["spec"].get("nodeName"):
                    self.end_worker(workers[0], 1)
            case "delete pod" if workers:
                self.delete_pod(workers[0])
            case "force pod" if workers and self._linked(workers[0]):
                self.pod_vanishes(workers[0], seen=False)
            case "ghosts end":
                self.alive &= {self.get("Pod", name)["metadata"]["uid"] for name in workers}
            case "kubelet":
                for name in workers:
                    if self.get("Pod", name)["metadata"].get("deletionTimestamp"):
                        self.alive.discard(self.get("Pod", name)["metadata"]["uid"])
                        self.kubelet_ends(name)
            case "kill manager" if self.has("Pod", "q-manager-0"):
                self.pod_vanishes("q-manager-0")
            case "start manager" if self.has("StatefulSet", "q-manager"):
                self.start_manager()
            case "linked" if workers and self._linkable(workers[-1]):
                self.manager_says("idle", "idle", link="connected", environment_name=workers[-1])
            case "unlinked" if not self.alive:
                self.manager_says()
            case "hour":
                self.now += 3600
            case "change":
                self.change_template(image=f"image:{self.now}")

    def _linked(self, name: str) -> bool:
        state = self.queue_server.get("status", {}).get("state", {})
        return (state.get("environmentName"), state.get("link")) == (name, "connected")

    def _linkable(self, name: str) -> bool:
        return self.has("Pod", "q-manager-0") and self.get("Pod", name)["metadata"]["uid"] in self.alive

    def _carry_out(self, action: Any) -> None:
        super()._carry_out(action)
        if isinstance(action, OpenGate):
            assert not self.alive, "a second worker was let run while the first may be alive"


@given(EVENTS)
@settings(deadline=None, max_examples=150)
def test_there_is_never_a_second_worker_whatever_happens(events: list[str]):
    world = Simulated()
    world.settle()
    for event in events:
        world.step(event)
        assert len(world.alive) <= 1
