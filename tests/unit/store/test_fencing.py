from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys

import pytest

from queueserver_manager.core.writes import ClearQueue, PutItems
from queueserver_manager.store.errors import Fenced, StoreHeld
from queueserver_manager.store.holder import Holder, this_process

HOST = socket.gethostname()


def test_each_start_takes_a_higher_epoch(shared_server, run) -> None:
    async def scenario() -> None:
        epochs = []
        for at_least in (0, 0, 10, 3):
            store = await shared_server.connect("epochs")
            epochs.append(await store.take_epoch(at_least))
            await store.close()
        assert epochs == [1, 2, 10, 11]

    run(scenario())


def test_epoch_is_raised_to_what_a_worker_has_seen_and_writes_go_on(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("raised")
        assert await store.raise_epoch(8) == 8
        assert await store.raise_epoch(5) == 8
        await store.commit("1", [PutItems((("a", 1, b"A"),))])
        await store.close()
        store = await shared_server.connect("raised")
        assert await store.take_epoch() == 9

    run(scenario())


def test_second_manager_is_told_who_holds_the_data_since_when(shared_server, run) -> None:
    async def scenario() -> None:
        first = await shared_server.manager("held", "4711@beamline-7")
        second = await shared_server.connect("held", "1@elsewhere")
        with pytest.raises(StoreHeld) as caught:
            await second.take_epoch()
        assert "process 4711 on host beamline-7, since 20" in str(caught.value)
        assert "CLIENT KILL ID" in str(caught.value)
        await first.commit("1", [ClearQueue()])
        await first.close()
        assert await second.take_epoch() == 2

    run(scenario())


def test_manager_of_another_prefix_is_in_nobodys_way(shared_server, run) -> None:
    async def scenario() -> None:
        stores = [await shared_server.manager(prefix) for prefix in ("way", "way2", "way:2", "way 2", "wä*")]
        for store in stores:
            await store.commit("1", [ClearQueue()])
            await store.close()

    run(scenario())


def test_of_managers_that_start_together_at_most_one_gets_the_data(shared_server, run) -> None:
    async def scenario() -> None:
        for attempt in range(20):
            stores = [await shared_server.connect(f"race{attempt}", f"{n}@host-{n}") for n in range(1, 5)]
            results = await asyncio.gather(*(store.take_epoch() for store in stores), return_exceptions=True)
            assert results.count(1) == 1
            assert all(result == 1 or isinstance(result, StoreHeld) for result in results)
            for store in stores:
                await store.close()

    run(scenario())


def test_manager_that_was_cut_off_and_comes_back_is_fenced(shared_server, run) -> None:
    async def scenario() -> None:
        refused: list[Exception] = []
        old = await shared_server.manager("cut", "1@old")
        old.on_refused = refused.append
        watcher = await shared_server.connect("cut")
        # Its connection is cut, and before it is back the next manager starts.
        connection = int(await old.ask("CLIENT", "ID"))
        await asyncio.gather(watcher.ask("CLIENT", "KILL", "ID", connection), _take_over(watcher))
        with pytest.raises(Fenced, match=r"manager 1@elsewhere holds the data 'cut' since"):
            await old.wait_connected()
        assert [type(error) for error in refused] == [Fenced]
        with pytest.raises(Fenced):
            await old.commit("1", [ClearQueue()])
        await watcher.commit("2", [ClearQueue()])

    async def _take_over(store) -> None:
        assert await store.take_epoch() == 2

    run(scenario())


def test_manager_that_does_not_know_that_it_was_cut_off_cannot_write(shared_server, run) -> None:
    async def scenario() -> None:
        old = await shared_server.manager("unaware", "1@old")
        await old.commit("1", [PutItems((("a", 1, b"A"),))])
        await old.ask("CLIENT", "SETNAME", "")  # as if Redis had already given up the connection
        new = await shared_server.manager("unaware", "2@new")
        with pytest.raises(Fenced, match="2@new"):
            await old.commit("2", [ClearQueue()])
        with pytest.raises(Fenced):
            await old.raise_epoch(99)
        assert len((await new.load()).items) == 1

    run(scenario())


def test_start_waits_for_the_connection_of_a_manager_that_was_killed(shared_server, run) -> None:
    holding = f"""
import asyncio
from queueserver_manager.store.holder import this_process
from queueserver_manager.store.redis_store import RedisStore
async def hold():
    store = await RedisStore.connect({shared_server.address!r}, "killed", this_process())
    await store.take_epoch()
    print("held", flush=True)
    await asyncio.Event().wait()
asyncio.run(hold())
"""
    with subprocess.Popen([sys.executable, "-c", holding], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"

        async def scenario() -> None:
            store = await shared_server.connect("killed", this_process())
            with pytest.raises(StoreHeld, match=f"process {process.pid} on host"):
                await store.take_epoch()
            process.kill()
            process.wait()
            assert await store.take_epoch() == 2

        try:
            run(scenario())
        finally:
            process.kill()


def test_holder_of_the_own_pid_is_a_predecessor_in_a_container(shared_server, run) -> None:
    async def scenario() -> None:
        predecessor = await shared_server.manager("same-pid", this_process())
        store = await shared_server.connect("same-pid", this_process())
        taken = asyncio.create_task(store.take_epoch())
        await asyncio.wait([taken], timeout=0.05)
        assert not taken.done()
        await predecessor.close()
        assert await taken == 2

    run(scenario())


def test_start_is_refused_after_a_second_when_a_dead_holders_connection_stays(shared_server, run) -> None:
    async def scenario() -> None:
        await shared_server.manager("stays", this_process())
        with pytest.raises(StoreHeld):
            await shared_server.manager("stays", this_process())

    run(scenario())


@pytest.mark.parametrize(
    ("name", "ended"),
    [
        (f"1@{HOST}", False),
        (f"{os.getppid()}@{HOST}", False),
        (f"{os.getpid()}@{HOST}", True),
        (f"{2**22 + 1}@{HOST}", True),
        (f"{2**22 + 1}@elsewhere", False),
        ("nonsense", False),
    ],
    ids=["first process", "another process", "this process", "no process", "another host", "nonsense"],
)
def test_process_is_known_to_have_ended_only_on_this_host(name: str, ended: bool) -> None:
    assert Holder(name, 1, 0).has_ended() is ended


def test_killed_process_that_nobody_has_waited_for_has_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = f"{process.pid}@{HOST}"
    assert not Holder(name, 1, 0).has_ended()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert Holder(name, 1, 0).has_ended()
    process.communicate()


def test_holder_is_named_even_if_its_name_is_not_ours() -> None:
    assert "'nonsense', connected for 7 s" in Holder("nonsense", 1, 7).sentence(None)
