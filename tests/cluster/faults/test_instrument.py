"""Two environments claim one instrument: the second waits and names the holder."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from cluster_beamline import DEADLINE, Beamline
from cluster_of_tests import Kubectl
from deadline import wait_until
from faults_of_cluster import holder
from helm_release import Releases
from shared_beamline import SharedBeamline

pytestmark = pytest.mark.timeout(500)

INSTRUMENT = f"hutch {uuid.uuid4()}"


@pytest.fixture(scope="module")
def shared(cluster: Kubectl, images: dict[str, str]) -> Iterator[list[SharedBeamline]]:
    """Two QueueServers with one instrument of these tests' own."""
    both = [SharedBeamline(cluster, images, {"instrument": INSTRUMENT}, name) for name in ("first", "second")]
    yield both
    for one in both:
        one.discard()


@pytest.fixture
def branches(operator: Releases, shared: list[SharedBeamline]) -> tuple[Beamline, Beamline]:
    """The two; the first one has an open environment."""
    first, second = (one.take() for one in shared)
    first.open_environment()
    return first, second


def waits_for_the_holder(first: Beamline, second: Beamline) -> str:
    """Ask for the second environment; returns its name when it says whom it waits for."""
    held = environment_of(first)
    second.accepted("environment_open")
    wait_until(lambda: environment_of(second), "there is a second WorkerEnvironment", DEADLINE)
    name = environment_of(second)

    def says_why() -> bool:
        _, reason, message = second.condition("workerenvironment", name, "Ready")
        return reason == "InstrumentHeld" and held in message

    wait_until(says_why, "it names the holder", DEADLINE)
    assert second.cluster.get("pod", name) is None
    assert second.status()["manager_state"] == "creating_environment"
    return name


def environment_of(beamline: Beamline) -> str:
    """Name of the only environment of one of several QueueServers; empty when it has none."""
    names = [one["metadata"]["name"] for one in beamline.environments()]
    return next((name for name in names if name.startswith(f"{beamline.name}-")), "")


def test_the_second_opens_when_the_first_is_closed(branches: tuple[Beamline, Beamline]):
    first, second = branches
    name = waits_for_the_holder(first, second)
    first.close_environment()
    status = second.wait_idle()
    assert status["worker_environment_exists"], status["environment_error"]
    assert environment_of(second) == name
    assert name in holder(second, INSTRUMENT)


def test_the_second_opens_when_the_first_is_dead_and_not_before(branches: tuple[Beamline, Beamline]):
    first, second = branches
    waits_for_the_holder(first, second)
    first.cluster.delete("pod", environment_of(first))
    first.wait_closed()
    status = second.wait_idle()
    assert status["worker_environment_exists"], status["environment_error"]


def test_the_second_fails_at_its_deadline_and_names_the_holder(branches: tuple[Beamline, Beamline]):
    first, second = branches
    # The deadline is a setting of the manager as well, which is replaced for it.
    before = second.cluster.get("pod", second.manager_pod)
    assert before
    second.change(openingDeadlineSeconds=30)
    second.reusable = False

    def replaced() -> bool:
        found = second.cluster.get("pod", second.manager_pod)
        return bool(found) and found["metadata"]["uid"] != before["metadata"]["uid"]

    wait_until(replaced, "another manager is there", DEADLINE)
    second.wait_ready()
    second.wait_idle()  # over a connection to the new one
    waits_for_the_holder(first, second)
    status = second.wait_closed()
    assert environment_of(first) in status["environment_error"]
    wait_until(lambda: environment_of(second) == "", "the second WorkerEnvironment is deleted", DEADLINE)
    assert first.status()["worker_environment_exists"]
    first.close_environment()
    second.open_environment()
