"""Requests to a running plan reach that plan or none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from queueserver_common.link.messages import EnvironmentPhase
from queueserver_worker.runtime.interrupter import Interrupter
from queueserver_worker.runtime.run_engine import Engine
from queueserver_worker.runtime.state import WorkerState


class SlowEngine:
    """Stands for a RunEngine whose own thread is busy: a request for a pause returns when `free` is set."""

    def __init__(self) -> None:
        self.asked: list[bool] = []
        self.entered = threading.Event()
        self.free = threading.Event()

    def request_pause(self, deferred: bool) -> None:
        self.asked.append(deferred)
        self.entered.set()
        assert self.free.wait(10)


@pytest.fixture
def state() -> WorkerState:
    state = WorkerState()
    state.change(lambda view: replace(view, phase=EnvironmentPhase.READY, item_uid="first", engine_state="running"))
    return state


@pytest.fixture
def interrupter(state: WorkerState) -> Interrupter:
    interrupter = Interrupter(state)
    interrupter.start()
    return interrupter


def test_a_pause_for_a_plan_that_has_ended_does_not_reach_the_next_one(
    state: WorkerState, interrupter: Interrupter, wait_until: Callable[..., None]
) -> None:
    engine = SlowEngine()
    engine.free.set()
    state.change(lambda view: replace(view, item_uid="second"))
    interrupter.pause(cast(Any, engine), "first", deferred=False)
    interrupter.pause(cast(Any, engine), "second", deferred=True)
    wait_until(lambda: engine.asked)
    assert engine.asked == [True]


def test_a_plan_does_not_start_while_a_pause_for_the_last_one_is_on_its_way(interrupter: Interrupter) -> None:
    engine = SlowEngine()
    interrupter.pause(cast(Engine, engine), "first", deferred=False)
    assert engine.entered.wait(10)
    passed = threading.Event()
    starter = threading.Thread(target=lambda: (interrupter.let_pauses_pass(), passed.set()))
    starter.start()
    assert not passed.wait(0.05)
    engine.free.set()
    assert passed.wait(10)
    starter.join()
