"""Redis stops, ends or is killed in a plan: what reduces motion works, nothing is lost, all recovers by itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq

from contract_manager import QUICK, Held, plan
from faulty_manager import LONG, SLOW_START, FaultyManager, wait_until
from redis_of_manager import ExternalRedis, PackagedRedis, RedisOfManager, options_for

CALLER = {"user": "Tester", "user_group": "primary"}


@dataclass
class Site:
    """A manager with an open environment, and its Redis."""

    manager: FaultyManager
    redis: RedisOfManager

    def wait_away(self) -> None:
        self.manager.wait_status(lambda s: s["store"] == "away", LONG)

    def wait_back(self) -> None:
        self.manager.wait_status(lambda s: s["store"] == "connected", LONG)

    def outage(self, how: str) -> None:
        """Redis goes away; the manager has noticed on return."""
        losses = self._losses()
        getattr(self.redis, how)()
        if how == "stop" or not self.redis.restarts_by_itself:
            self.wait_away()
        else:  # it may be back before anybody sees in the status that it was away
            wait_until(lambda: self._losses() > losses, "notice of the loss")

    def _losses(self) -> int:
        return self.manager.log_text.count("The store is lost")

    def recover(self, how: str) -> None:
        """Redis comes back; the manager has noticed on return."""
        if how == "stop":
            self.redis.go_on()
        else:
            self.redis.start()
        self.wait_back()


@pytest.fixture
def external_redis(tmp_path: Path) -> Iterator[ExternalRedis]:
    server = ExternalRedis(tmp_path / "redis")
    server.start()
    yield server
    server.close()


@pytest.fixture
def external(external_redis: ExternalRedis) -> Iterator[Site]:
    with FaultyManager(options=options_for(external_redis)) as manager:
        manager.open_environment()
        yield Site(manager, external_redis)


@pytest.fixture
def packaged() -> Iterator[Site]:
    with FaultyManager(options=options_for(None)) as manager:
        manager.open_environment()
        yield Site(manager, PackagedRedis(manager))


@pytest.fixture(params=["packaged", "external"])
def site(request: pytest.FixtureRequest) -> Site:
    chosen: Site = request.getfixturevalue(request.param)
    return chosen


def refused(manager: FaultyManager, method: str, **params: object) -> None:
    reply = manager.call(method, params)
    assert reply["success"] is False, f"{method} was accepted without a store"
    assert "cannot do this without its Redis server" in reply["msg"]
    assert "Nothing was changed" in reply["msg"]


def test_what_is_answered_and_what_is_refused_while_redis_is_away(external: Site) -> None:
    manager = external.manager
    queued = manager.add()["item_uid"]
    held = manager.start_holding()
    before = manager.status()
    assert before["store"] == "connected"
    external.outage("stop")

    status = manager.status()
    for name in ("running_item_uid", "items_in_queue", "items_in_history", "manager_state", "plan_queue_uid"):
        assert status[name] == before[name]
    assert manager.running_uid == held.uid
    assert manager.queue_uids == [queued]
    assert manager.accepted("plans_allowed", user_group="primary")["plans_allowed"]
    refused(manager, "queue_item_add", item=QUICK, **CALLER)
    refused(manager, "queue_item_add_batch", items=[QUICK, QUICK], **CALLER)
    refused(manager, "queue_item_remove", uid=queued)
    refused(manager, "queue_clear")
    refused(manager, "queue_stop")
    refused(manager, "queue_autostart", enable=True)
    refused(manager, "queue_mode_set", mode={"loop": True})
    refused(manager, "history_clear")
    refused(manager, "environment_close")
    refused(manager, "manager_stop", option="safe_off")
    assert manager.queue_uids == [queued]

    external.recover("stop")
    assert manager.queue_uids == [queued]
    held.wait_running()
    held.release()
    manager.wait_history(2)
    assert manager.results() == [("hold", "completed"), ("null", "completed")]


HOW = pytest.mark.parametrize("how", ["stop", "kill", "shut_down"])


def run_on(site: Site, held: Held, count: Path) -> None:
    """The item in hand ends, the next one runs once."""
    held.release()
    site.manager.wait_history(2)
    assert site.manager.results() == [("hold", "completed"), ("remember_start", "completed")]
    assert count.read_text() == "started\n"


@HOW
def test_the_plan_goes_on_and_the_next_item_follows(site: Site, how: str) -> None:
    item, count = site.manager.counting_item()
    site.manager.add(item)
    held = site.manager.start_holding()
    site.outage(how)
    site.recover(how)
    run_on(site, held, count)


STOP_OR_KILL = pytest.mark.parametrize("how", ["stop", "kill"])


@STOP_OR_KILL
def test_a_plan_that_ends_meanwhile_is_recorded_later_and_the_next_item_follows(external: Site, how: str) -> None:
    manager = external.manager
    item, count = manager.counting_item()
    manager.add(item)
    held = manager.start_holding()
    external.outage(how)
    held.release()
    wait_until(manager.spooled_ends, "report of the plan's end")
    assert manager.status()["items_in_history"] == 0
    assert not count.exists(), "the next item was started without a store"
    external.recover(how)
    run_on(external, held, count)


@STOP_OR_KILL
def test_pause_works_meanwhile(external: Site, how: str) -> None:
    manager = external.manager
    held = manager.start_holding()
    external.outage(how)
    assert held.pause()["store"] == "away"
    refused(manager, "re_resume")
    external.recover(how)
    status = manager.wait_status(lambda s: s["manager_state"] == "paused")
    assert status["running_item_uid"] == held.uid
    manager.accepted("re_resume")
    held.end()
    assert manager.results() == [("hold", "completed")]


@pytest.mark.parametrize(("method", "end"), [("re_stop", "stopped"), ("re_abort", "aborted"), ("re_halt", "halted")])
def test_a_paused_plan_can_be_ended_meanwhile(external: Site, method: str, end: str) -> None:
    manager = external.manager
    uid = manager.add()["item_uid"]
    held = manager.start_holding()
    held.pause()
    external.outage("kill")
    manager.accepted(method)
    manager.wait_status(lambda s: s["re_state"] == "idle")
    external.recover("kill")
    history = manager.wait_history(1)
    assert history[0]["item_uid"] == held.uid
    assert history[0]["result"]["exit_status"] == end
    if end == "stopped":
        assert manager.queue_uids == [uid]
    else:
        assert manager.queue[0]["requeued_from"] == held.uid
        assert manager.queue_uids[1:] == [uid]


@STOP_OR_KILL
def test_destroy_works_meanwhile(external: Site, how: str) -> None:
    manager = external.manager
    held = manager.start_holding()
    manager.accepted("queue_autostart", enable=True)
    worker = manager.worker_pid
    external.outage(how)
    manager.accepted("environment_destroy")
    wait_until(lambda: worker not in manager.processes(), "end of the worker")
    external.recover(how)
    status = manager.wait_worker_gone()
    assert not status["queue_autostart_enabled"]
    assert [(e["item_uid"], e["result"]["exit_status"]) for e in manager.history] == [(held.uid, "failed")]
    assert "was destroyed" in manager.history[0]["result"]["msg"]
    assert manager.queue[0]["requeued_from"] == held.uid
    held.release()
    manager.works_on()


@STOP_OR_KILL
def test_a_worker_that_is_killed_meanwhile_is_told_later(external: Site, how: str) -> None:
    manager = external.manager
    held = manager.start_holding()
    external.outage(how)
    manager.kill(manager.worker_pid)
    external.recover(how)
    status = manager.wait_worker_gone()
    assert "killed by SIGKILL" in status["environment_error"]
    assert [(e["item_uid"], e["result"]["exit_status"]) for e in manager.history] == [(held.uid, "failed")]
    assert manager.queue[0]["requeued_from"] == held.uid


def test_an_environment_that_opens_meanwhile_is_open_later(external_redis: ExternalRedis) -> None:
    manager = FaultyManager(options=options_for(external_redis))
    assert manager.startup_dir is not None
    (manager.startup_dir / "01-slow.py").write_text(SLOW_START)
    with manager:
        site = Site(manager, external_redis)
        manager.accepted("environment_open")
        manager.wait_status(lambda s: s["worker_environment_state"] == "initializing")
        site.outage("kill")
        manager.let_go_on()
        wait_until(lambda: "The environment is open" in manager.log_text, "open environment in the worker")
        site.recover("kill")
        manager.wait_status(lambda s: s["manager_state"] == "idle" and s["worker_environment_exists"])
        manager.works_on()


def test_a_request_whose_outcome_is_unknown_is_answered_as_it_came_out(site: Site) -> None:
    """Redis stops before it answers: the manager looks the commit up by its token, the client learns the truth."""
    manager = site.manager
    for _ in range(3):
        before = manager.queue_uids
        site.redis.stop()
        answer: list[dict[str, object]] = []

        def ask(answer: list[dict[str, object]] = answer) -> None:
            with zmq.Context() as context, context.socket(zmq.REQ) as client:
                client.linger = 0
                client.connect(manager.control_address)
                client.send(manager.encode({"method": "queue_item_add", "params": {"item": QUICK, **CALLER}}))
                if client.poll(round(LONG * 1000)):
                    answer.append(manager.decode(client.recv()))

        asking = threading.Thread(target=ask)
        asking.start()
        site.wait_away()
        site.recover("stop")
        asking.join(LONG)
        (reply,) = answer
        added = [uid for uid in manager.queue_uids if uid not in before]
        if reply["success"]:
            item = reply["item"]
            assert isinstance(item, dict)
            assert added == [item["item_uid"]]
        else:
            assert added == []


def test_nothing_that_was_accepted_is_lost_when_redis_is_killed_again_and_again(site: Site) -> None:
    manager = site.manager
    accepted: list[str] = []
    refusals = 0
    stop = threading.Event()

    def add() -> None:
        nonlocal refusals
        with zmq.Context() as context, context.socket(zmq.REQ) as client:
            client.linger = 0
            client.connect(manager.control_address)
            while not stop.is_set():
                client.send(manager.encode({"method": "queue_item_add", "params": {"item": QUICK, **CALLER}}))
                assert client.poll(round(LONG * 1000))
                reply = manager.decode(client.recv())
                if reply["success"]:
                    accepted.append(reply["item"]["item_uid"])
                else:
                    assert "cannot do this without its Redis server" in reply["msg"]
                    refusals += 1

    adding = threading.Thread(target=add)
    adding.start()
    try:
        for _ in range(4):
            number = len(accepted)
            wait_until(lambda number=number: len(accepted) > number + 20, "accepted items")
            site.outage("kill")
            site.recover("kill")
    finally:
        stop.set()
        adding.join(LONG)
    assert manager.queue_uids == accepted
    assert refusals > 0
    manager.accepted("queue_clear")


def test_the_packaged_server_is_started_again_and_keeps_its_data(packaged: Site) -> None:
    manager = packaged.manager
    uids = [manager.add()["item_uid"] for _ in range(5)]
    old = packaged.redis.pid  # type: ignore[union-attr]
    packaged.outage("kill")
    packaged.wait_back()
    wait_until(lambda: any(p != old for p in manager._with("valkey-server")), "new Redis server")
    assert manager.queue_uids == uids
    manager.kill_manager_and_supervisor()
    manager.start()
    assert manager.queue_uids == uids
    manager.accepted("queue_clear")


@pytest.mark.parametrize("plan_runs", [False, True])
def test_the_manager_can_be_ended_meanwhile(external: Site, plan_runs: bool) -> None:
    manager = external.manager
    held = manager.start_holding() if plan_runs else None
    external.outage("kill")
    manager.kill(manager.supervisor_pid, signal.SIGTERM)
    manager.wait_end()
    external.redis.start()
    manager.start()
    if held is not None:
        assert held.wait_running()["running_item_uid"] == held.uid
        held.end()
        assert manager.results() == [("hold", "completed")]
    manager.works_on()


def test_a_redis_that_lost_everything_is_not_mistaken_for_the_old_one(external: Site, tmp_path: Path) -> None:
    """Its data are gone: the manager starts anew and says so; the worker of nobody knows what leaves when idle."""
    manager = external.manager
    manager.add()
    old = manager.manager_pid
    external.outage("kill")
    for path in (tmp_path / "redis" / "appendonlydir").iterdir():
        path.unlink()
    external.redis.start()
    manager.wait_new_manager(old)
    assert "vanished from Redis" in manager.log_text
    assert manager.queue == []
    wait_until(lambda: not manager.worker_pids, "end of the worker")
    manager.works_on()


@pytest.mark.parametrize("manager_too", [False, True])
def test_what_redis_lost_is_told_by_the_worker_and_the_queue_stays_stopped(
    external: Site, external_redis: ExternalRedis, manager_too: bool
) -> None:
    """A crash of its machine takes Redis back in time: the worker knows what ran since, nothing runs twice."""
    manager = external.manager
    item, count = manager.counting_item()
    first = manager.add(item)["item_uid"]
    release = manager.release_file()
    second = manager.add(plan("hold", str(release)))["item_uid"]
    last = manager.add()["item_uid"]
    manager.accepted("queue_autostart", enable=False)
    external_redis.remember()
    manager.start_queue()
    manager.wait_status(lambda s: s["running_item_uid"] == second and s["re_state"] == "running")
    if manager_too:
        manager.kill_manager_and_supervisor()
    external_redis.kill()
    external_redis.forget()
    external_redis.start()
    if manager_too:
        manager.start()

    manager.wait_status(lambda s: s["store"] == "connected" and s["running_item_uid"] == second)
    assert [(e["item_uid"], e["result"]["exit_status"]) for e in manager.history] == [(first, "completed")]
    assert manager.queue_uids == [last]
    release.touch()
    history = manager.wait_history(2)
    assert [(e["item_uid"], e["result"]["exit_status"]) for e in history] == [
        (first, "completed"),
        (second, "completed"),
    ]
    assert manager.queue_uids == [last]
    assert count.read_text() == "started\n"
    manager.works_on()
