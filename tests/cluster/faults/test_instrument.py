"""Two environments claim one instrument: the second waits and names the holder."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cluster_beamline import DEADLINE, Beamline
from deadline import wait_until
from faults_of_cluster import holder

pytestmark = pytest.mark.timeout(500)

Make = Callable[[str], Beamline]


def two_branches(new_beamline: Make, **environment: object) -> tuple[Beamline, Beamline]:
    """Two QueueServers with one instrument of this test's own; the first one has an open environment."""
    first, second = new_beamline("first"), new_beamline("second")
    instrument = f"{first.cluster.namespace} hutch"
    first.start(instrument=instrument)
    first.open_environment()
    second.start(instrument=instrument, environment=second.environment_with(**environment))
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


def test_the_second_opens_when_the_first_is_closed(new_beamline: Make):
    first, second = two_branches(new_beamline)
    name = waits_for_the_holder(first, second)
    first.close_environment()
    status = second.wait_idle()
    assert status["worker_environment_exists"], status["environment_error"]
    assert environment_of(second) == name
    assert name in holder(second, f"{second.cluster.namespace} hutch")


def test_the_second_opens_when_the_first_is_dead_and_not_before(new_beamline: Make):
    first, second = two_branches(new_beamline)
    waits_for_the_holder(first, second)
    first.cluster.delete("pod", environment_of(first))
    first.wait_closed()
    status = second.wait_idle()
    assert status["worker_environment_exists"], status["environment_error"]


def test_the_second_fails_at_its_deadline_and_names_the_holder(new_beamline: Make):
    first, second = two_branches(new_beamline, openingDeadlineSeconds=15)
    waits_for_the_holder(first, second)
    status = second.wait_closed()
    assert environment_of(first) in status["environment_error"]
    assert first.status()["worker_environment_exists"]
    first.close_environment()
    second.open_environment()
