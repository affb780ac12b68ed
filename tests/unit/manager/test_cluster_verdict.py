"""What the state of pod and WorkerEnvironment proves about a worker."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueserver_common.cluster import CONFIRMED_DEAD_ANNOTATION
from queueserver_manager.cluster.verdict import (
    Contradicted,
    Deleted,
    Evidence,
    Failed,
    Going,
    Verdict,
    judge,
    waits_for,
)
from queueserver_manager.cluster.views import (
    MANAGER_MADE_ANNOTATION,
    EnvironmentView,
    PodView,
    Terminated,
    belongs_to,
    environment_view,
    pod_view,
)
from queueserver_manager.launch.interface import WorkerEnd

ENVIRONMENT = EnvironmentView("qs-1", "env-uid", "opening")
POD = PodView("qs-1", "pod-uid", "env-uid", node="node-1")
RUNNING = Evidence("opening", ENVIRONMENT, POD, pod_uid="pod-uid", heard=True)

VIEWS_OF_PODS = st.builds(
    PodView,
    name=st.just("qs-1"),
    uid=st.just("pod-uid"),
    node=st.sampled_from(["", "node-1"]),
    deleting=st.booleans(),
    reason=st.sampled_from(["", "Evicted", "Shutdown", "anything"]),
    disruption=st.sampled_from(["", "DeletionByPodGC", "EvictionByEvictionAPI", "anything"]),
    terminated=st.none() | st.builds(Terminated, st.integers(0, 255), st.sampled_from(["", "OOMKilled", "Error"])),
)
VIEWS_OF_ENVIRONMENTS = st.builds(
    EnvironmentView,
    name=st.just("qs-1"),
    uid=st.just("env-uid"),
    opening_id=st.just("opening"),
    deleting=st.booleans(),
    failure=st.sampled_from(["", "It failed."]),
    proof=st.sampled_from(["", "NodeGone", "OutOfService", "PodGone", "ContainerTerminated", "NeverStarted"]),
    confirmed_dead=st.sampled_from(["", "pod-uid", "another"]),
)
EVIDENCE = st.builds(
    Evidence,
    st.just("opening"),
    st.none() | VIEWS_OF_ENVIRONMENTS,
    st.none() | VIEWS_OF_PODS,
    pod_gone=st.booleans(),
    pod_uid=st.sampled_from(["", "pod-uid"]),
    heard=st.booleans(),
)


def verdict(**changes: Any) -> Verdict:
    return judge(replace(RUNNING, **changes))


def ended(**changes: Any) -> WorkerEnd:
    end = verdict(**changes)
    assert isinstance(end, WorkerEnd), end
    return end


@given(EVIDENCE)
def test_a_worker_that_is_heard_has_ended_only_when_its_container_has_or_a_person_says_so(evidence: Evidence) -> None:
    found = judge(evidence)
    if not (evidence.heard and isinstance(found, WorkerEnd)):
        return
    terminated = evidence.pod is not None and evidence.pod.terminated is not None
    confirmed = evidence.environment is not None and evidence.environment.confirmed_dead == evidence.pod_uid != ""
    assert terminated or confirmed


@given(EVIDENCE)
def test_a_pod_that_is_there_and_has_not_terminated_never_proves_an_end_by_itself(evidence: Evidence) -> None:
    found = judge(evidence)
    environment = evidence.environment
    if evidence.pod is None or evidence.pod.terminated is not None or evidence.pod_gone:
        return
    if environment is None or (
        environment.proof not in ("NodeGone", "OutOfService") and not environment.confirmed_dead
    ):
        assert not isinstance(found, WorkerEnd)


@given(EVIDENCE)
def test_every_end_tells_how(evidence: Evidence) -> None:
    found = judge(evidence)
    if isinstance(found, WorkerEnd):
        assert found.opening_id == "opening"
        assert found.cause
        assert not found.cause.endswith(".")


@pytest.mark.parametrize("phase", ["Failed", "Succeeded", "Unknown"])
def test_the_phase_of_a_pod_proves_nothing(phase: str) -> None:
    body = {
        "metadata": {"name": "qs-1", "uid": "pod-uid"},
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": phase,
            "containerStatuses": [{"name": "worker", "state": {"running": {}}}],
        },
    }
    assert verdict(pod=pod_view(body), heard=False) == Going()


@pytest.mark.parametrize(
    ("terminated", "cause"),
    [
        (Terminated(137, "OOMKilled"), "the worker's container was killed for want of memory (OOMKilled)"),
        (Terminated(0, "Completed"), "the worker's container ended with exit code 0"),
        (Terminated(3, "Error"), "the worker's container ended with exit code 3"),
        (Terminated(139, "Error"), "the worker's container was killed by SIGSEGV (exit code 139)"),
        (Terminated(255, "Error"), "the worker's container was killed by signal 127 (exit code 255)"),
    ],
)
def test_a_terminated_container_is_an_end_with_its_reason(terminated: Terminated, cause: str) -> None:
    end = ended(pod=replace(POD, terminated=terminated))
    assert (end.cause, end.exit_code) == (cause, terminated.exit_code)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"deleting": True}, "the worker's pod was deleted"),
        ({"deleting": True, "disruption": "EvictionByEvictionAPI"}, "the worker's pod was evicted"),
        ({"disruption": "PreemptionByScheduler"}, "the worker's pod was evicted for one of higher priority"),
        ({"disruption": "DeletionByPodGC"}, "the worker's node is gone"),
        (
            {
                "reason": "Evicted",
                "message": "The node was low on resource: memory. ",
                "disruption": "TerminationByKubelet",
            },
            "the worker's pod was evicted by its node (The node was low on resource: memory)",
        ),
        ({"reason": "Shutdown"}, "the worker's node was shut down"),
    ],
)
def test_who_ends_the_pod_is_told_before_and_after_its_end(changes: dict[str, Any], cause: str) -> None:
    ending = replace(POD, **changes)
    assert verdict(pod=ending) == Going(cause)
    for left_in_order in (0, 143):
        assert ended(pod=replace(ending, terminated=Terminated(left_in_order))).cause == cause
    killed = ended(pod=replace(ending, terminated=Terminated(137)))
    assert killed.cause == f"{cause}, its container was killed by SIGKILL (exit code 137)"


def test_a_pod_that_is_gone_while_its_worker_is_heard_is_a_contradiction() -> None:
    assert verdict(pod_gone=True) == Contradicted("the worker's pod was deleted by force")
    assert ended(pod_gone=True, heard=False).cause == "the worker's pod was deleted by force"
    assert ended(pod_gone=True, heard=False, pod=None).cause == "the worker's pod is gone"


def test_a_pod_that_never_had_a_place_never_ran() -> None:
    gone = ended(pod=replace(POD, node="", deleting=True), pod_gone=True, heard=False)
    assert gone.cause == "the worker's pod was deleted before it had a place on a node"


@pytest.mark.parametrize("proof", ["NodeGone", "OutOfService"])
def test_the_operator_may_look_at_nodes_and_the_manager_believes_it_when_the_worker_is_silent(proof: str) -> None:
    environment = replace(ENVIRONMENT, proof=proof)
    assert isinstance(verdict(environment=environment), Contradicted)
    assert "the worker is lost: its node" in ended(environment=environment, heard=False).cause


def test_an_administrator_is_believed_about_exactly_one_pod() -> None:
    assert verdict(environment=replace(ENVIRONMENT, confirmed_dead="another")) == Going()
    assert "confirmed" in ended(environment=replace(ENVIRONMENT, confirmed_dead="pod-uid")).cause
    assert verdict(environment=replace(ENVIRONMENT, confirmed_dead="pod-uid"), pod_uid="", pod=None) == Going()


def test_an_environment_that_is_gone_is_a_deletion_while_there_is_a_pod_and_an_end_when_there_never_was_one() -> None:
    assert verdict(environment=None) == Deleted()
    assert verdict(environment=replace(ENVIRONMENT, deleting=True)) == Deleted()
    assert "before there was a pod" in ended(environment=None, pod=None, heard=False).cause


def test_an_opening_fails_with_the_operators_sentence_unless_a_worker_is_heard() -> None:
    failing = replace(ENVIRONMENT, failure="The image cannot be pulled.")
    assert verdict(environment=failing, heard=False) == Failed("The image cannot be pulled.")
    assert verdict(environment=failing) == Going()


def test_the_output_of_a_worker_is_told_when_it_failed() -> None:
    text = "\n".join(f"line {number}" for number in range(30))
    assert ended(pod=replace(POD, terminated=Terminated(1, "Error", text))).output.splitlines()[0] == "line 10"
    assert ended(pod=replace(POD, terminated=Terminated(0, "Completed", text))).output == ""


def test_what_an_opening_waits_for_is_told() -> None:
    assert waits_for(None, None) == "The Kubernetes API server did not take the WorkerEnvironment."
    assert waits_for(ENVIRONMENT, None) == "There is no pod: is the operator running?"
    assert waits_for(replace(ENVIRONMENT, progress="It waits."), None) == "It waits."
    assert waits_for(ENVIRONMENT, replace(POD, waiting="ErrImagePull: no such image")) == (
        "Its pod waits: ErrImagePull: no such image"
    )


# Views ------------------------------------------------------------------------------------------------------------


def test_a_pod_without_a_status_is_read() -> None:
    assert pod_view({"metadata": {"name": "n", "uid": "u"}}) == PodView("n", "u")


def test_a_pod_is_read() -> None:
    body = {
        "metadata": {
            "name": "qs-1",
            "uid": "pod-uid",
            "deletionTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{"kind": "Other", "uid": "x"}, {"kind": "WorkerEnvironment", "uid": "env-uid"}],
        },
        "spec": {"nodeName": "node-1"},
        "status": {
            "reason": "Evicted",
            "message": "low on memory",
            "conditions": [
                {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"},
                {"type": "PodScheduled", "status": "True"},
            ],
            "containerStatuses": [
                {"name": "sidecar", "state": {"terminated": {"exitCode": 1}}},
                {"name": "worker", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}},
            ],
        },
    }
    assert pod_view(body) == PodView(
        "qs-1",
        "pod-uid",
        "env-uid",
        "node-1",
        deleting=True,
        reason="Evicted",
        message="low on memory",
        disruption="TerminationByKubelet",
        waiting="ErrImagePull: no such image",
    )


def test_a_pod_that_has_no_place_tells_why() -> None:
    conditions = [
        {"type": "DisruptionTarget", "status": "False", "reason": "x"},
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"},
    ]
    view = pod_view({"metadata": {"name": "n", "uid": "u"}, "status": {"conditions": conditions}})
    assert (view.waiting, view.disruption) == ("Unschedulable: 0/1 nodes are available", "")


def test_an_environment_is_read() -> None:
    body = {
        "metadata": {
            "name": "qs-1",
            "uid": "env-uid",
            "creationTimestamp": "1970-01-01T00:01:40Z",
            "annotations": {MANAGER_MADE_ANNOTATION: "true", CONFIRMED_DEAD_ANNOTATION: "pod-uid"},
        },
        "spec": {"queueServerRef": {"name": "qs"}, "openingId": "opening"},
        "status": {
            "phase": "failed",
            "pod": {"uid": "pod-uid"},
            "conditions": [
                {"type": "Ready", "status": "False", "message": "It cannot be pulled."},
                {"type": "Stalled", "status": "True", "message": "It never will be."},
            ],
            "end": {"proof": "NodeGone", "reason": "NodeGone", "exitCode": 1},
        },
    }
    view = environment_view(body)
    assert view == EnvironmentView(
        "qs-1",
        "env-uid",
        "opening",
        created=100.0,
        made_by_manager=True,
        pod_uid="pod-uid",
        failure="It never will be.",
        progress="It cannot be pulled.",
        final=True,
        proof="NodeGone",
        confirmed_dead="pod-uid",
    )
    assert belongs_to(body, "qs")
    assert not belongs_to(body, "another")


def test_an_environment_that_was_made_a_moment_ago_is_read() -> None:
    body = {"metadata": {"name": "n", "uid": "u"}, "spec": {"openingId": "o"}}
    assert environment_view(body) == EnvironmentView("n", "u", "o")
    assert not belongs_to(body, "qs")
