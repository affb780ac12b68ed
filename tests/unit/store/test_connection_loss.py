from __future__ import annotations

import asyncio
import signal
import time

import pytest

from queueserver_manager.core.writes import AppendHistory, ClearQueue, PutItems, SetRunning
from queueserver_manager.store.errors import StoreEmptied, StoreLost
from queueserver_manager.store.redis_store import RedisStore


def test_redis_that_does_not_run_is_told_in_a_sentence(place, run) -> None:
    async def scenario() -> None:
        for address, shown in (
            ("localhost:1", "localhost:1"),
            ("unix://u:secret@/nowhere.sock", "unix:///nowhere.sock"),
        ):
            with pytest.raises(StoreLost, match=f"Redis at {shown} cannot be reached") as caught:
                await RedisStore.connect(address, "p", "1@h")
            assert caught.value.unknown is False
            assert "secret" not in str(caught.value)

    run(scenario())


def test_wrong_password_is_told_in_a_sentence(server, run) -> None:
    async def scenario() -> None:
        store = await server.connect("p")
        await store.ask("CONFIG", "SET", "requirepass", "right")
        with pytest.raises(StoreLost, match="does not accept the log-in: invalid username") as caught:
            await RedisStore.connect(server.address.replace("unix://", "unix://u:wrong@"), "p", "1@h")
        assert "wrong" not in str(caught.value)
        with pytest.raises(StoreLost, match="Authentication required"):
            await server.connect("p")

    run(scenario())


def test_start_waits_for_a_redis_that_comes_later(place, run) -> None:
    async def scenario() -> None:
        address = await place.start()
        place.kill()
        connecting = asyncio.create_task(RedisStore.connect(address, "p", "1@h", wait_seconds=10))
        await place.start()
        store = await connecting
        assert await store.take_epoch() == 1
        await store.close()

    run(scenario())


def test_start_gives_up_after_the_time_it_was_given(place, run) -> None:
    async def scenario() -> None:
        before = time.monotonic()
        with pytest.raises(StoreLost, match="cannot be reached"):
            await RedisStore.connect("localhost:1", "p", "1@h", wait_seconds=0.2)
        assert 0.2 <= time.monotonic() - before < 5

    run(scenario())


def test_loss_is_told_at_once_and_the_return_too(server, run) -> None:
    async def scenario() -> None:
        told: list[object] = []
        lost = asyncio.Event()
        store = await server.manager("p")
        store.on_lost = lambda reason: (told.append(reason), lost.set())
        store.on_back = told.append
        await store.commit("1", [PutItems((("a", 1, b"A"),))])
        server.kill()
        await lost.wait()  # nothing was asked of Redis meanwhile
        assert not store.connected
        with pytest.raises(StoreLost) as caught:
            await store.commit("2", [ClearQueue()])
        assert caught.value.unknown is False
        await server.start()
        await store.wait_connected()
        assert store.connected
        assert [type(word) for word in told] == [str, bool]
        assert await store.committed("1")
        assert not await store.committed("2")
        await store.commit("3", [PutItems((("b", 2, b"B"),))])
        assert [uid for uid, _, _ in (await store.load()).items] == ["a", "b"]

    run(scenario())


@pytest.mark.parametrize("before_the_kill", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55])
@pytest.mark.parametrize("appendfsync", ["everysec", "always"])
def test_token_tells_what_became_of_a_commit_when_redis_was_killed_under_it(
    place, run, appendfsync, before_the_kill
) -> None:
    """Redis is killed with commits in flight: for each, its token and the queue must agree.

    With `everysec` Redis may hold back what it has acknowledged while the disk is busy, so a kill can take that too;
    the store then says that Redis rolled back.
    """

    async def scenario() -> None:
        place.appendfsync = appendfsync
        await place.start()
        back: list[bool] = []
        store = await place.manager("p")
        store.on_back = back.append
        commits = [
            asyncio.create_task(
                store.commit(f"t{n}", [PutItems(((f"u{n:03d}", n, b"x" * 1000),)), SetRunning(b"%d" % n)])
            )
            for n in range(60)
        ]
        if before_the_kill:
            await commits[before_the_kill - 1]
        else:
            await asyncio.sleep(0)  # sent, not answered
        place.kill()
        results = await asyncio.gather(*commits, return_exceptions=True)
        await place.start()
        await store.wait_connected()
        state = await store.load()
        stored = [uid for uid, _, _ in state.items]
        assert stored == [f"u{n:03d}" for n in range(len(stored))]
        assert state.running == (b"%d" % (len(stored) - 1) if stored else None)
        for n, result in enumerate(results):
            assert await store.committed(f"t{n}") == (n < len(stored))
            if result is not None:
                assert isinstance(result, StoreLost)
                assert result.unknown or n >= len(stored)
        acknowledged = results.count(None)
        assert acknowledged >= before_the_kill
        assert back == [acknowledged > len(stored)]
        if appendfsync == "always":
            assert back == [False]

    run(scenario())


def test_commit_is_carried_out_or_refused_but_never_done_after_it_was_looked_up(server, run) -> None:
    """Redis stands still, the manager gives the connection up and looks the commit up over a new one.

    The old connection still carries the commit, and Redis reads either connection first.
    """

    async def scenario() -> None:
        store = await server.manager("p", reply_seconds=0.3)
        for number in range(5):
            server.signal(signal.SIGSTOP)
            with pytest.raises(StoreLost, match=r"did not answer within 0.3 s") as caught:
                await store.commit(f"t{number}", [PutItems(((f"u{number}", number, b""),))])
            assert caught.value.unknown is True
            server.signal(signal.SIGCONT)
            await store.wait_connected()
            committed = await store.committed(f"t{number}")
            await store.commit(f"later{number}", [])
            assert committed == (f"u{number}" in {uid for uid, _, _ in (await store.load()).items})
            assert committed == await store.committed(f"t{number}")

    run(scenario())


def test_write_that_arrives_over_an_older_connection_is_refused(server, run) -> None:
    async def scenario() -> None:
        lost = asyncio.Event()
        store = await server.manager("p")
        store.on_lost = lambda _: lost.set()
        late = await server.connect("p")
        late._fence = store._fence  # a connection of the same manager, left over from before the break
        watcher = await server.connect("p")
        await watcher.ask("CLIENT", "KILL", "ID", await store.ask("CLIENT", "ID"))
        await lost.wait()
        await store.wait_connected()
        with pytest.raises(Exception, match="no longer write"):
            await late.commit("2", [PutItems((("a", 1, b"A"),))])
        assert (await store.load()).items == ()

    run(scenario())


def test_redis_that_lost_acknowledged_commits_is_noticed(server, run) -> None:
    async def scenario() -> None:
        back: list[bool] = []
        store = await server.manager("p")
        store.on_back = back.append
        await store.commit("1", [AppendHistory(0, "a", 0.0, b"A")])
        incremental = next((server.data / "appendonlydir").glob("*.incr.aof"))
        size = incremental.stat().st_size
        await store.commit("2", [AppendHistory(1, "b", 0.0, b"B")])
        server.kill()
        with incremental.open("r+b") as file:
            file.truncate(size)  # what a crash of the machine takes
        await server.start()
        await store.wait_connected()
        assert back == [True]
        with pytest.raises(StoreLost, match="out of step"):
            await store.commit("3", [AppendHistory(2, "c", 0.0, b"C")])
        assert (await store.load()).history_next == 1

    run(scenario())


def test_append_only_file_that_ends_within_a_commit_is_accepted_without_that_commit(server, run) -> None:
    async def scenario() -> None:
        store = await server.manager("p")
        await store.commit("1", [PutItems((("a", 1, b"A"),))])
        await store.commit("2", [PutItems((("b", 2, b"B"),)), SetRunning(b"r")])
        server.kill()
        incremental = next((server.data / "appendonlydir").glob("*.incr.aof"))
        with incremental.open("r+b") as file:
            file.truncate(incremental.stat().st_size - 3)
        await server.start()
        await store.wait_connected()
        state = await store.load()
        assert [uid for uid, _, _ in state.items] == ["a"]
        assert state.running is None
        assert not await store.committed("2")

    run(scenario())


def test_epoch_that_redis_lost_is_not_taken_for_another_manager(server, run) -> None:
    async def scenario() -> None:
        first = await server.manager("p")
        await first.close()
        incremental = next((server.data / "appendonlydir").glob("*.incr.aof"))
        size = incremental.stat().st_size
        store = await server.manager("p")
        server.kill()
        with incremental.open("r+b") as file:
            file.truncate(size)
        await server.start()
        await store.wait_connected()
        await store.commit("1", [ClearQueue()])
        await store.close()
        assert await (await server.connect("p")).take_epoch() == 3

    run(scenario())


def test_redis_that_comes_back_empty_is_told(server, run) -> None:
    async def scenario() -> None:
        refused: list[type[Exception]] = []
        store = await server.manager("p")
        store.on_refused = lambda error: refused.append(type(error))
        server.kill()
        for file in (server.data / "appendonlydir").iterdir():
            file.unlink()
        await server.start()
        with pytest.raises(StoreEmptied, match="'p' vanished from Redis at unix://"):
            await store.wait_connected()
        assert refused == [StoreEmptied]

    run(scenario())


def test_holder_is_named_again_after_it_reconnected(server, run) -> None:
    async def scenario() -> None:
        store = await server.manager("p", "77@beamline")
        server.kill()
        await server.start()
        await store.wait_connected()
        with pytest.raises(Exception, match="process 77 on host beamline"):
            await server.manager("p")

    run(scenario())


def test_closed_store_says_so(server, run) -> None:
    async def scenario() -> None:
        store = await server.manager("p")
        await store.close()
        with pytest.raises(StoreLost, match="was closed") as caught:
            await store.commit("1", [ClearQueue()])
        assert caught.value.unknown is False

    run(scenario())
