"""A namespace as the operator's decisions see it: objects in a dict, and what API server, kubelet and manager would do.

`settle` decides and carries out until there is nothing left to do, as the operator does; it fails when that never ends.
"""

from __future__ import annotations

import base64
import copy
import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from queueserver_common.cluster import API_VERSION, COMPONENT_LABEL, QUEUE_SERVER_LABEL, environment_name
from queueserver_operator import views
from queueserver_operator.build.parts import digest
from queueserver_operator.decide import decide
from queueserver_operator.model import (
    Action,
    AddFinalizer,
    ApplyObject,
    CreateKeys,
    CreateOnly,
    DeleteObject,
    OpenGate,
    Options,
    PatchStatus,
    Plan,
    PostEvent,
    ReleaseLease,
    RemoveFinalizer,
    TakeLease,
)
from queueserver_operator.names import FINALIZER, NAMESPACE_LABEL
from queueserver_operator.observed import Node, Observed, Pod, PodEvent, Refusal
from queueserver_operator.reading import mapping, text, timestamp

START = 1_800_000_000.0
"""The time at which every world begins."""

OPENING = "0123456789ab4def8123456789abcdef"
OPTIONS = Options(
    identity="queueserver-operator/operator",
    version="1.2.3",
    manager_image="registry/manager:1",
    worker_image="registry/worker:1",
    lock_namespace="locks",
)


class Conflict(Exception):
    """What the API server answers with 409, where that ends a chain."""


class World:
    """One namespace with one QueueServer."""

    def __init__(self, spec: Mapping[str, Any] | None = None, *, options: Options = OPTIONS, name: str = "q") -> None:
        self.options = options
        self.now = START
        self.name, self.namespace = name, "beamline"
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.gone_pods: dict[str, Pod] = {}
        self.nodes: dict[str, Node | None] = {}
        self.events: list[PodEvent] = []
        self.refusals: list[Refusal] = []
        self.http_failure = ""
        self.posted: list[PostEvent] = []
        self.done: list[Action] = []
        self.drifted: set[tuple[str, str]] = set()
        self._counter = itertools.count(1)
        self._keys = itertools.count(1)
        if spec is not None:
            self.put("QueueServer", self.name, {"spec": dict(spec)})

    # Objects ---------------------------------------------------------------------------------------------------------

    def put(self, kind: str, name: str, body: Mapping[str, Any], *, namespace: str = "") -> dict[str, Any]:
        """Write an object whole, as somebody else would."""
        namespace = namespace or self.namespace
        known = self.objects.get((kind, namespace, name), {})
        metadata: dict[str, Any] = {
            **mapping(body, "metadata"),
            "name": name,
            "namespace": namespace,
            "uid": text(known, "metadata", "uid") or f"uid-{next(self._counter)}",
            "resourceVersion": str(next(self._counter)),
            "creationTimestamp": text(known, "metadata", "creationTimestamp") or timestamp(self.now),
        }
        spec_changed = mapping(body, "spec") != mapping(known, "spec")
        generation = mapping(known, "metadata").get("generation", 0) + spec_changed
        metadata["generation"] = generation
        whole = {"kind": kind, "status": known["status"]} if "status" in known else {"kind": kind}
        self.objects[kind, namespace, name] = {**whole, **copy.deepcopy(dict(body)), "metadata": metadata}
        return self.objects[kind, namespace, name]

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any]:
        return self.objects[kind, namespace or self.namespace, name]

    def has(self, kind: str, name: str, namespace: str = "") -> bool:
        return (kind, namespace or self.namespace, name) in self.objects

    def names(self, kind: str) -> list[str]:
        return sorted(name for found, _, name in self.objects if found == kind)

    def remove(self, kind: str, name: str, namespace: str = "") -> None:
        """The object is gone, and with it what it owns; pods stay until their containers have ended."""
        body = self.objects.pop((kind, namespace or self.namespace, name))
        uid = body["metadata"]["uid"]
        for (owned_kind, owned_namespace, owned_name), owned in list(self.objects.items()):
            if any(owner["uid"] == uid for owner in owned["metadata"].get("ownerReferences", ())):
                if owned_kind == "Pod":
                    self.delete_pod(owned_name)
                elif (owned_kind, owned_namespace, owned_name) in self.objects:
                    self.remove(owned_kind, owned_name, owned_namespace)

    @property
    def queue_server(self) -> dict[str, Any]:
        return self.get("QueueServer", self.name)

    def change_spec(self, **fields: Any) -> None:
        body = copy.deepcopy(self.queue_server)
        body["spec"] |= fields
        self.put("QueueServer", self.name, body)

    def change_template(self, **fields: Any) -> None:
        """Change `spec.environment`."""
        self.change_spec(environment={**self.queue_server["spec"]["environment"], **fields})

    def delete_queue_server(self) -> None:
        self.queue_server["metadata"]["deletionTimestamp"] = timestamp(self.now)
        if FINALIZER not in self.queue_server["metadata"].get("finalizers", []):
            self.remove("QueueServer", self.name)

    # What others do --------------------------------------------------------------------------------------------------

    def start_manager(self, *, ready: bool = True, node: str = "node-1") -> None:
        """The StatefulSet's controller makes the pod, and its containers run."""
        stateful_set = self.get("StatefulSet", f"{self.name}-manager")
        template = stateful_set["spec"]["template"]
        name = f"{self.name}-manager-0"
        self.gone_pods.pop(name, None)
        self.objects.pop(("Pod", self.namespace, name), None)
        self.put("Pod", name, {"metadata": template["metadata"], "spec": {**template["spec"], "nodeName": node}})
        self._bind_claims(stateful_set)
        self.set_containers(name, manager={"state": {"running": {}}, "ready": ready})

    def _bind_claims(self, stateful_set: Mapping[str, Any]) -> None:
        name = f"data-{self.name}-manager-0"
        if not self.has("PersistentVolumeClaim", name):
            self.put("PersistentVolumeClaim", name, {"status": {"phase": "Bound"}})

    def manager_says(self, manager: str = "idle", environment: str = "closed", **fields: Any) -> None:
        """The manager writes its part of the status."""
        state = {
            "manager": manager,
            "environment": environment,
            "link": fields.pop("link", "none"),
            "environmentName": fields.pop("environment_name", ""),
            "redisConnected": fields.pop("redis_connected", True),
        }
        queue = {"items": fields.pop("items", 0), "running": fields.pop("running", "")}
        assert not fields
        status = self.queue_server.setdefault("status", {})
        status["state"], status["queue"] = state, queue

    def open_environment(self, opening_id: str = OPENING, *, queue_server: str = "") -> str:
        """The manager makes a WorkerEnvironment; its name is returned."""
        queue_server = queue_server or self.name
        name = environment_name(queue_server, opening_id)
        spec = {"queueServerRef": {"name": queue_server}, "openingId": opening_id}
        self.put("WorkerEnvironment", name, {"apiVersion": API_VERSION, "spec": spec})
        return name

    def run_worker(self, name: str, *, node: str = "node-1") -> None:
        """The scheduler finds a node and the container runs."""
        pod = self.get("Pod", name)
        assert not pod["spec"].get("schedulingGates"), "a pod behind a gate runs nowhere"
        pod["spec"]["nodeName"] = node
        self.nodes.setdefault(node, Node(node))
        self.set_containers(name, worker={"state": {"running": {}}, "ready": True})

    def end_worker(self, name: str, exit_code: int = 0, *, reason: str = "", message: str = "") -> None:
        """The container of a worker ends."""
        ended = {"exitCode": exit_code, "reason": reason or ("Error" if exit_code else "Completed"), "message": message}
        self.set_containers(name, worker={"state": {"terminated": ended | {"finishedAt": timestamp(self.now)}}})

    def set_containers(self, pod: str, **containers: Mapping[str, Any]) -> None:
        body = self.get("Pod", pod)
        status = body.setdefault("status", {})
        known = {one["name"]: one for one in status.get("containerStatuses", ())}
        for name, container in containers.items():
            known[name] = {"name": name, "image": f"registry/{name}:1", **container}
        status["containerStatuses"] = list(known.values())
        status["phase"] = "Running" if any("running" in one["state"] for one in known.values()) else "Pending"

    def delete_pod(self, name: str) -> None:
        """Somebody asks for the deletion of a pod; one that runs nowhere is gone at once."""
        pod = self.get("Pod", name)
        pod["metadata"]["deletionTimestamp"] = timestamp(self.now)
        if not pod["spec"].get("nodeName"):
            self.pod_vanishes(name)

    def pod_vanishes(self, name: str, *, seen: bool = True) -> None:
        """The API has the pod no more; `seen`: the operator was there and keeps its last sight."""
        body = self.objects.pop(("Pod", self.namespace, name))
        if seen:
            self.gone_pods[name] = views.pod(body, gone=True)

    def kubelet_ends(self, name: str, exit_code: int = 0) -> None:
        """The kubelet ends a pod that is being deleted, and tells so."""
        self.end_worker(name, exit_code)
        self.pod_vanishes(name)

    def opened(self, opening_id: str = OPENING) -> str:
        """A manager that runs, and an environment that is open."""
        if not self.has("Pod", f"{self.name}-manager-0"):
            self.settle()
            self.start_manager()
            self.manager_says()
        name = self.open_environment(opening_id)
        self.settle()
        self.run_worker(name)
        self.manager_says("idle", "idle", link="connected", environment_name=name)
        self.settle()
        return name

    # The operator ----------------------------------------------------------------------------------------------------

    def observe(self, queue_server: str = "") -> Observed:
        name = queue_server or self.name
        own = [
            body
            for (_, namespace, _), body in self.objects.items()
            if namespace == self.namespace and text(body, "metadata", "labels", QUEUE_SERVER_LABEL) == name
        ]
        apart = ("Pod", "PersistentVolumeClaim", "Secret", "StatefulSet", "Lease")
        pods = [views.pod(body) for body in own if body["kind"] == "Pod"]
        live = {pod.name for pod in pods}
        pods += [pod for pod in self.gone_pods.values() if pod.name not in live]
        sets = [body for body in own if body["kind"] == "StatefulSet"]
        everything = list(self.objects.values())
        return Observed(
            namespace=self.namespace,
            name=name,
            queue_server=self.objects.get(("QueueServer", self.namespace, name)),
            children={
                (body["kind"], body["metadata"]["name"]): views.child(body, drifted=self._drifted(body))
                for body in own
                if body["kind"] not in apart
            },
            stateful_set=views.stateful_set(sets[0], drifted=self._drifted(sets[0])) if sets else None,
            manager_pod=next((pod for pod in pods if pod.component == "manager"), None),
            worker_pods=tuple(pod for pod in pods if pod.component == "worker"),
            http_pods=tuple(pod for pod in pods if pod.component == "http"),
            http_failure=self.http_failure,
            environments=tuple(
                view
                for body in everything
                if body["kind"] == "WorkerEnvironment" and (view := views.environment(body)).queue_server == name
            ),
            claims=self._by_name("PersistentVolumeClaim", views.claim),
            secrets=self._by_name("Secret", views.secret),
            config_maps=self._by_name("ConfigMap", views.config_map),
            leases=tuple(views.lease(body) for body in everything if body["kind"] == "Lease"),
            nodes=dict(self.nodes),
            events=tuple(self.events),
            refusals=tuple(self.refusals),
        )

    def _drifted(self, body: Mapping[str, Any]) -> bool:
        return (body["kind"], body["metadata"]["name"]) in self.drifted

    def _by_name(self, kind: str, view: Any) -> dict[str, Any]:
        return {
            name: view(body)
            for (found, namespace, name), body in self.objects.items()
            if found == kind and namespace == self.namespace
        }

    def plan(self, queue_server: str = "") -> Plan:
        """What the operator would do now."""
        observed = self.observe(queue_server)
        plan = decide(observed, self.options, self.now)
        assert plan == decide(observed, self.options, self.now), "the same observation gives the same plan"
        return plan

    def settle(self, queue_server: str = "") -> list[Action]:
        """Decide and carry out until nothing is left to do; everything that was done is returned."""
        begin = len(self.done)
        for _ in range(20):
            plan = self.plan(queue_server)
            if not plan.chains:
                return self.done[begin:]
            self.carry_out(plan)
        raise AssertionError(f"the operator never comes to rest: {[*self.plan(queue_server).actions()]}")

    def carry_out(self, plan: Plan, *, at_most: int | None = None) -> None:
        """Carry out a plan as the API server would; `at_most`: the operator dies after so many actions."""
        left = itertools.count(0 if at_most is None else -at_most)
        for chain in plan.chains:
            for action in chain:
                if at_most is not None and next(left) >= 0:
                    return
                try:
                    self._carry_out(action)
                except Conflict:
                    break
                self.done.append(action)

    def _carry_out(self, action: Action) -> None:
        match action:
            case ApplyObject(manifest):
                self._apply(manifest)
                self.drifted.discard((manifest["kind"], manifest["metadata"]["name"]))
            case CreateOnly(manifest):
                self._create(manifest)
            case CreateKeys(manifest, texts):
                self._create({**manifest, "data": self.new_texts(texts) if texts else self.new_keys()})
            case TakeLease(manifest):
                if not self._create(manifest):
                    raise Conflict
            case ReleaseLease(ref, uid, version):
                metadata = self.get(ref.kind, ref.name, ref.namespace)["metadata"]
                if (metadata["uid"], metadata["resourceVersion"]) != (uid, version):
                    raise Conflict
                self.remove(ref.kind, ref.name, ref.namespace)
            case DeleteObject(ref, uid, orphan):
                self._delete(ref.kind, ref.name, ref.namespace, uid, orphan)
            case OpenGate(ref, uid):
                pod = self.get(ref.kind, ref.name, ref.namespace)
                if pod["metadata"]["uid"] != uid:
                    raise Conflict
                pod["spec"].pop("schedulingGates", None)
            case PatchStatus(ref, status):
                if not self.has(ref.kind, ref.name, ref.namespace):
                    raise Conflict
                body = self.get(ref.kind, ref.name, ref.namespace)
                kept = {key: body.get("status", {})[key] for key in ("state", "queue") if key in body.get("status", {})}
                body["status"] = {**kept, **copy.deepcopy(dict(status))} if ref.kind == "QueueServer" else dict(status)
            case PostEvent():
                self.posted.append(action)
            case AddFinalizer(ref):
                self.get(ref.kind, ref.name, ref.namespace)["metadata"].setdefault("finalizers", []).append(FINALIZER)
            case RemoveFinalizer(ref):
                body = self.get(ref.kind, ref.name, ref.namespace)
                body["metadata"]["finalizers"].remove(FINALIZER)
                if "deletionTimestamp" in body["metadata"]:
                    self.remove(ref.kind, ref.name, ref.namespace)

    def new_keys(self) -> dict[str, str]:
        number = next(self._keys)
        pair = {"private_key": f"private-{number}", "public_key": f"public-{number}"}
        return {key: base64.b64encode(value.encode()).decode() for key, value in pair.items()}

    def new_texts(self, keys: tuple[str, ...]) -> dict[str, str]:
        return {key: base64.b64encode(f"private-text-{next(self._keys)}".encode()).decode() for key in keys}

    def _apply(self, manifest: Mapping[str, Any]) -> None:
        self.put(manifest["kind"], manifest["metadata"]["name"], manifest, namespace=manifest["metadata"]["namespace"])

    def _create(self, manifest: Mapping[str, Any]) -> bool:
        if self.has(manifest["kind"], manifest["metadata"]["name"], manifest["metadata"]["namespace"]):
            return False
        self._apply(manifest)
        return True

    def _delete(self, kind: str, name: str, namespace: str, uid: str, orphan: bool) -> None:
        if not self.has(kind, name, namespace):
            return
        if uid and self.get(kind, name, namespace)["metadata"]["uid"] != uid:
            return
        if kind == "Pod":
            self.delete_pod(name)
        elif orphan:
            self.objects.pop((kind, namespace, name))
        else:
            self.remove(kind, name, namespace)

    # Looking at the outcome ------------------------------------------------------------------------------------------

    def status(self, environment: str = "") -> dict[str, Any]:
        """Status of the QueueServer, or of an environment."""
        kind, name = ("WorkerEnvironment", environment) if environment else ("QueueServer", self.name)
        found: dict[str, Any] = self.get(kind, name).get("status", {})
        return found

    def condition(self, kind: str, environment: str = "") -> tuple[str, str, str]:
        """Status, reason and message of a condition; ("", "", "") when there is none."""
        for one in self.status(environment).get("conditions", ()):
            if one["type"] == kind:
                return one["status"], one["reason"], one["message"]
        return "", "", ""

    def leases(self) -> dict[str, str]:
        """Holders by name of the lock."""
        return {
            name: body["spec"]["holderIdentity"] for (kind, _, name), body in self.objects.items() if kind == "Lease"
        }

    def worker_pods_made(self) -> int:
        """How many worker pods the operator has created, ever."""
        return sum(
            isinstance(action, CreateOnly)
            and action.manifest["kind"] == "Pod"
            and action.manifest["metadata"]["labels"][COMPONENT_LABEL] == "worker"
            for action in self.done
        )

    def other_holder(self, instrument: str, holder: str = "elsewhere/other-0000000000/uid-x") -> None:
        """A lock that a WorkerEnvironment of another QueueServer holds."""
        manifest = lease_of(instrument, holder)
        self.put("Lease", manifest["metadata"]["name"], manifest, namespace="locks")


def lease_of(instrument: str, holder: str) -> dict[str, Any]:
    from queueserver_operator import names

    namespace, environment, _ = holder.split("/")
    labels = {QUEUE_SERVER_LABEL: environment.rpartition("-")[0], NAMESPACE_LABEL: namespace}
    metadata = {"name": names.lease(instrument), "labels": labels}
    return {"kind": "Lease", "metadata": metadata, "spec": {"holderIdentity": holder}}


def refusal(manifest: Mapping[str, Any], message: str, at: float, code: int = 422) -> Refusal:
    from queueserver_operator.names import HASH_ANNOTATION

    return Refusal(
        manifest["kind"],
        manifest["metadata"]["name"],
        text(manifest, "metadata", "annotations", HASH_ANNOTATION),
        code,
        message,
        at,
    )


def set_node(world: World, name: str, **fields: Any) -> None:
    world.nodes[name] = replace(world.nodes.get(name) or Node(name), **fields)


SIMULATED: dict[str, Any] = {"environment": {"profile": {"simulated": {}}}}

__all__ = ["OPENING", "OPTIONS", "SIMULATED", "START", "World", "digest", "lease_of", "refusal", "set_node"]
