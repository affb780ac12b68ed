"""The specification changes, or was wrong: nothing that runs is disturbed, and nothing has to be deleted to heal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cluster_beamline import DEADLINE, Beamline
from deadline import wait_until

pytestmark = pytest.mark.timeout(400)

NOWHERE = "localhost/queueserver/nowhere:0"


def test_a_changed_environment_waits_for_the_next_opening(open_beamline: Beamline):
    beamline = open_beamline
    worker = beamline.environment
    beamline.run_held_plan()
    beamline.apply(environment=beamline.environment_with(env=[{"name": "SAMPLE", "value": "nickel"}]))

    def pending() -> tuple[str, str, str]:
        return beamline.condition("queueserver", beamline.name, "RolloutPending")

    wait_until(lambda: pending()[:2] == ("True", "EnvironmentOpen"), "it says that the change waits", DEADLINE)
    assert beamline.environment == worker
    beamline.let_go()
    beamline.wait_history(1)
    beamline.wait_idle()
    assert beamline.environment == worker
    assert "SAMPLE" not in beamline.in_worker("env")
    beamline.close_environment()
    beamline.open_environment()
    assert "SAMPLE=nickel" in beamline.in_worker("env")
    wait_until(lambda: pending()[0] != "True", "nothing waits any more", DEADLINE)


def test_a_manager_image_that_cannot_be_pulled_heals_by_a_good_one(new_beamline: Callable[[], Beamline]):
    beamline = new_beamline()
    beamline.apply(manager={"image": NOWHERE})

    def ready() -> tuple[str, str, str]:
        return beamline.condition("queueserver", beamline.name, "Ready")

    wait_until(lambda: ready()[:2] == ("False", "ImageCannotBePulled"), "it says what is wrong", DEADLINE)
    assert NOWHERE in ready()[2]
    beamline.apply()
    beamline.wait_ready()


def test_a_worker_image_that_cannot_be_pulled_ends_the_opening_with_its_name_and_heals(beamline: Beamline):
    beamline.apply(environment=beamline.environment_with(image=NOWHERE))
    beamline.accepted("environment_open")
    status = beamline.wait_closed()
    assert NOWHERE in status["environment_error"]
    beamline.apply()
    beamline.open_environment()
