"""Lists of plans and devices: what is damaged is not taken, and what changes under a request is noticed."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from queueserver_common.descriptions import DescriptionError
from queueserver_common.link.messages import EnvironmentReady
from queueserver_common.permissions import Permissions
from queueserver_manager.core import recovery, worker_events
from queueserver_manager.core.core import Core
from queueserver_manager.core.decision import Decision
from queueserver_manager.core.requests import Work, decide
from queueserver_manager.core.states import ManagerState
from simulated_worker import PLANS
from simulated_world import PERMISSIONS, World

NOW = 1000.0
COUNT = {"item_type": "plan", "name": "count"}


@pytest.fixture
def core() -> Core:
    core = Core(lambda: str(uuid.uuid4()))
    core.lists.set_existing(PLANS, b"{}")
    core.lists.set_permissions(PERMISSIONS)
    recovery.restore(core, World(0).disk.load())
    recovery.begin(core, NOW)
    return core


def begin_batch(core: Core) -> Work:
    """A batch of three items of which one has been validated."""
    params = {"items": [COUNT] * 3, "user": "somebody", "user_group": "primary"}
    work = decide(core, "queue_item_add_batch", params, NOW)
    assert isinstance(work, Work)
    assert work.advance(NOW, lambda: True) is None
    return work


def end_batch(work: Work) -> dict[str, Any]:
    decision = work.advance(NOW, lambda: False)
    assert decision is not None
    assert decision.reply is not None
    return dict(decision.reply)


@pytest.mark.parametrize(
    ("plans", "devices"),
    [
        ([], {}),
        ({"count": {}}, {}),
        ({"count": {"name": "other", "parameters": []}}, {}),
        ({}, {"det": {"is_readable": True}}),
    ],
)
def test_damaged_descriptions_are_refused_and_the_old_ones_stay(core: Core, plans: object, devices: object) -> None:
    with pytest.raises(DescriptionError):
        core.lists.set_existing(json.dumps(plans).encode(), json.dumps(devices).encode())
    assert core.lists.plans_text == PLANS
    assert core.lists.knows_group("primary")


def test_a_batch_during_which_nothing_changes_is_added(core: Core) -> None:
    assert end_batch(begin_batch(core))["success"]
    assert len(core.state.queue) == 3


def test_a_batch_is_validated_anew_when_the_lists_change_meanwhile(core: Core) -> None:
    work = begin_batch(core)
    core.lists.set_existing(b"{}", b"{}")
    reply = end_batch(work)
    assert not reply["success"]
    assert [result["success"] for result in reply["results"]] == [False] * 3
    assert len(core.state.queue) == 0


def test_a_batch_of_a_group_that_vanishes_meanwhile_is_refused(core: Core) -> None:
    work = begin_batch(core)
    groups = {"user_groups": {"root": {"allowed_plans": [None], "allowed_devices": [None]}}}
    core.lists.set_permissions(Permissions.parse(groups))
    reply = end_batch(work)
    assert not reply["success"]
    assert "Unknown user group: 'primary'" in reply["msg"]
    assert reply["qsize"] == 0


def test_a_worker_whose_lists_are_damaged_fails_the_opening_with_a_sentence(core: Core) -> None:
    assert isinstance(opening := decide(core, "environment_open", {}, NOW), Decision)
    assert opening.reply == {"success": True, "msg": ""}
    worker_events.worker_event(core, 1, EnvironmentReady(b'{"count": {}}', b"{}"), NOW)
    assert core.state.manager_state is ManagerState.CLOSING_ENVIRONMENT
    assert core.state.environment_error == (
        "The worker's lists of plans and devices are damaged: plan 'count': key 'name' must be 'count', it is None"
    )
    assert core.lists.plans_text == PLANS
