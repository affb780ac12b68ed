from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import zmq

from queueserver_manager.core.writes import AppendHistory, PutItems, StoredState
from queueserver_manager.store.packaged_server import server_binary
from queueserver_manager.store.redis_store import RedisStore
from queueserver_manager.store.upstream_import import IMPORT_MARK, UpstreamLock, import_writes, read_upstream

MODE = {"loop": True, "ignore_failures": False}
PERMISSIONS = {"user_groups": {"root": {"allowed_plans": [None]}}}
RESULT = {
    "exit_status": "completed",
    "run_uids": ["r"],
    "scan_ids": [1],
    "time_start": 1.0,
    "time_stop": 2.5,
    "msg": "",
}


def _plan(uid: object, **more: object) -> dict[str, Any]:
    return {"name": "count", "item_type": "plan", "user": "u", "user_group": "primary", "item_uid": uid, **more}


async def _put_upstream(store: RedisStore, prefix: str, **keys: object) -> None:
    for name, value in keys.items():
        if isinstance(value, list):
            texts = [entry if isinstance(entry, bytes) else json.dumps(entry).encode() for entry in value]
            await store.ask("RPUSH", f"{prefix}_{name}", *texts)
        else:
            text = value if isinstance(value, bytes) else json.dumps(value).encode()
            await store.ask("SET", f"{prefix}_{name}", text)


async def _import(store: RedisStore, prefix: str) -> StoredState:
    state = await store.load()
    data = await read_upstream(store, prefix, state)
    assert data is not None
    uids = (f"new-{number}" for number in itertools.count())
    writes = import_writes(data, state, now=99.5, rank_step=1024, new_uid=lambda: next(uids))
    await store.commit("import", writes)
    return await store.load()


def _read(state: StoredState) -> list[dict[str, Any]]:
    return [json.loads(text) for _, _, text in state.items]


def test_nothing_is_imported_where_upstream_left_nothing(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("none")
        await store.ask("SET", "none_other", "x")
        assert await read_upstream(store, "none", StoredState()) is None

    run(scenario())


def test_everything_that_upstream_left_is_found(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("all")
        await _put_upstream(
            store,
            "all",
            plan_queue=[_plan("a"), _plan("b", meta={"x": 1.5})],
            plan_history=[_plan("h", result=RESULT)],
            running_plan={},
            plan_queue_mode=MODE,
            user_group_permissions=PERMISSIONS,
            lock_info={
                "environment": True,
                "queue": False,
                "lock_key": "k",
                "user": "u",
                "note": None,
                "time": 5,
                "uid": "x",
            },
            autostart_mode_info={"enabled": True},
            stop_pending_info={"enabled": True},
        )
        data = await read_upstream(store, "all", await store.load())
        assert data is not None
        assert data.items == (_plan("a"), _plan("b", meta={"x": 1.5}))
        assert data.history == (_plan("h", result=RESULT),)
        assert data.running is None
        assert data.queue_mode == MODE
        assert data.permissions == PERMISSIONS
        assert data.lock == UpstreamLock(key="k", environment=True, queue=False, user="u", note=None, time=5.0)
        assert (data.autostart, data.stop_pending, data.left_out) == (True, True, 0)
        assert "lock_key" not in repr(data)
        assert "'k'" not in repr(data)
        assert data.summary() == (
            "Taken over from bluesky-queueserver: 2 queued items, 1 history entries, the permissions, the lock. "
            "Its own keys stay untouched."
        )

    run(scenario())


def test_import_keeps_order_and_uids_leaves_upstreams_keys_and_is_made_once(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("once")
        queue, history = [_plan(f"q{n}") for n in range(1500)], [_plan(f"h{n}", result=RESULT) for n in range(2500)]
        await _put_upstream(store, "once", plan_queue=queue, plan_history=history)
        state = await _import(store, "once")
        assert _read(state) == queue
        assert [json.loads(text) for text in await store.history(0, 9999)] == history
        assert await store.history_seq_of("h1700") == 1700
        assert json.loads((state.fields or {})[IMPORT_MARK]) == {
            "time": 99.5,
            "items": 1500,
            "history": 2500,
            "left_out": 0,
        }
        assert await read_upstream(store, "once", state) is None
        assert await store.ask("LLEN", "once_plan_queue") == 1500
        assert await store.ask("LLEN", "once_plan_history") == 2500

    run(scenario())


@pytest.mark.row("zmq-api", "damaged entries of a queue are left out")
def test_queue_entries_that_are_no_items_or_have_no_uid_of_their_own_are_left_out(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("damaged")
        no_uid = _plan("x")
        del no_uid["item_uid"]
        broken: list[object] = [b"no json", b"\xff", [], "text", None, no_uid, _plan(None), _plan(""), _plan(5)]
        broken += [_plan("a"), _plan("r"), b"[" * 100_000, b'{"item_uid": "s", "name": "\\ud800"}']
        await _put_upstream(
            store,
            "damaged",
            plan_queue=[_plan("a"), *broken, _plan("b")],
            plan_history=[_plan("h"), b"no json", [], no_uid],
            running_plan=_plan("r", properties={"immediate_execution": True}),
            plan_queue_mode=b"no json",
            lock_info={"environment": True, "lock_key": 5},
            autostart_mode_info=b"[]",
        )
        data = await read_upstream(store, "damaged", await store.load())
        assert data is not None
        assert data.left_out == len(broken) + 2
        assert (data.queue_mode, data.permissions, data.lock, data.autostart) == ({}, None, None, False)
        state = await _import(store, "damaged")
        assert [item["item_uid"] for item in _read(state)] == ["a", "b"]
        assert [json.loads(text)["item_uid"] for text in await store.history(0, 9)] == ["h", "new-0", "r"]

    run(scenario())


@pytest.mark.row("zmq-api", "manager restarted, report lost")
def test_item_that_was_running_is_recorded_as_unknown_and_put_at_the_front(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("running")
        running = _plan("r", properties={"time_start": 7.5})
        await _put_upstream(store, "running", plan_queue=[_plan("a")], running_plan=running)
        state = await _import(store, "running")
        first, second = _read(state)
        (entry,) = [json.loads(text) for text in await store.history(0, 9)]
        assert entry.pop("result") == {
            "exit_status": "unknown",
            "run_uids": [],
            "scan_ids": [],
            "time_start": 7.5,
            "time_stop": 99.5,
            "msg": "The item was running under bluesky-queueserver when its data were taken over: "
            "how it ended is not known.",
            "traceback": "",
        }
        assert entry == _plan("r")
        assert first.pop("result")["exit_status"] == "unknown"
        assert first == _plan("new-0")
        assert second == _plan("a")
        assert state.running is None

    run(scenario())


def test_item_that_was_executed_directly_does_not_enter_the_queue(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("direct")
        running = _plan("r", properties={"time_start": 7.5, "immediate_execution": True})
        await _put_upstream(store, "direct", running_plan=running)
        state = await _import(store, "direct")
        assert state.items == ()
        assert [json.loads(text)["item_uid"] for text in await store.history(0, 9)] == ["r"]

    run(scenario())


def test_import_goes_on_behind_what_the_store_already_holds(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("behind")
        own = json.dumps(_plan("own")).encode()
        await store.commit("1", [PutItems((("own", 500, own),)), AppendHistory(0, "old", 0.0, own)])
        await _put_upstream(store, "behind", plan_queue=[_plan("own"), _plan("a")], plan_history=[_plan("h")])
        state = await _import(store, "behind")
        assert [(uid, rank) for uid, rank, _ in state.items] == [("own", 500), ("a", 1524)]
        assert await store.history_seq_of("h") == 1

    run(scenario())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _redis_on_a_port(base: Path):
    """Upstream only knows Redis on a port."""
    port = _free_port()
    options = (
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(base),
        "--logfile",
        str(base / "log"),
    )
    with subprocess.Popen([server_binary(), *options]) as process:
        try:
            yield port
        finally:
            process.kill()


@contextlib.contextmanager
def _upstream_manager(base: Path, redis_port: int):
    control, info = _free_port(), _free_port()
    startup = base / "startup"
    startup.mkdir()
    (startup / "user_group_permissions.yaml").write_text(json.dumps(GROUPS))
    (startup / "existing_plans_and_devices.yaml").write_text("existing_plans: {}\nexisting_devices: {}\n")
    program = "from bluesky_queueserver.manager.start_manager import start_manager; start_manager()"
    options = ["--redis-addr", f"localhost:{redis_port}", "--redis-name-prefix", "beamline"]
    options += ["--zmq-control-addr", f"tcp://127.0.0.1:{control}", "--zmq-info-addr", f"tcp://127.0.0.1:{info}"]
    options += ["--startup-dir", str(startup)]
    with (
        (base / "upstream.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-c", program, *options], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            yield f"tcp://127.0.0.1:{control}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)


GROUP = {
    "allowed_plans": [":.*"],
    "forbidden_plans": [None],
    "allowed_devices": [":?.*:depth=5"],
    "forbidden_devices": [None],
    "allowed_functions": [":.*"],
    "forbidden_functions": [None],
}
GROUPS = {"user_groups": {"root": GROUP, "primary": GROUP}}


def _ask(address: str, method: str, **params: object) -> dict[str, Any]:
    """Ask upstream's manager, which may not have started yet."""
    with zmq.Context() as context, context.socket(zmq.REQ) as request:
        request.linger = 0
        request.connect(address)
        request.send_json({"method": method, "params": params})
        assert request.poll(30_000), "upstream did not answer"
        reply = request.recv_json()
    assert isinstance(reply, dict)
    return reply


@pytest.mark.row("zmq-api", "data of upstream are taken over")
@pytest.mark.slow
def test_data_of_a_real_upstream_manager_are_imported(run, tmp_path) -> None:
    pytest.importorskip("bluesky_queueserver.manager.start_manager", exc_type=ImportError)

    async def scenario(port: int, added: list[dict[str, Any]], locked_at: float) -> None:
        store = await RedisStore.connect(f"localhost:{port}", "beamline", "1@h")
        await store.take_epoch()
        data = await read_upstream(store, "beamline", await store.load())
        assert data is not None
        assert data.queue_mode == {"loop": True, "ignore_failures": False}
        assert data.permissions == GROUPS
        assert data.autostart is True
        assert data.lock is not None
        assert (data.lock.key, data.lock.environment, data.lock.queue) == ("secret", False, True)
        assert (data.lock.user, data.lock.note) == ("me", "why")
        assert abs((data.lock.time or 0.0) - locked_at) < 60
        state = await _import(store, "beamline")
        assert _read(state) == added
        assert await read_upstream(store, "beamline", state) is None
        await store.close()

    with _redis_on_a_port(tmp_path) as port:
        with _upstream_manager(tmp_path, port) as address:
            assert _ask(address, "status")["manager_state"] == "idle"
            item = {"item_type": "instruction", "name": "queue_stop"}
            added = [_ask(address, "queue_item_add", item=item, user="u", user_group="primary") for _ in range(3)]
            assert all(reply["success"] for reply in added)
            assert _ask(address, "queue_mode_set", mode={"loop": True})["success"]
            assert _ask(address, "queue_autostart", enable=True)["success"]
            assert _ask(address, "lock", lock_key="secret", user="me", note="why", queue=True)["success"]
        run(scenario(port, [reply["item"] for reply in added], time.time()))
