from __future__ import annotations

import asyncio
import json

import pytest

from queueserver_manager.core.writes import (
    AppendHistory,
    ClearQueue,
    MoveItems,
    PutItems,
    RemoveItems,
    SetField,
    SetRunning,
    StoredState,
    Write,
)
from queueserver_manager.store.errors import StoreEmptied, StoreError, StoreLost, StoreTooNew
from queueserver_manager.store.redis_store import RedisStore


def test_new_store_is_empty(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("new")
        assert await store.load() == StoredState(fields={})
        assert await store.history(0, 100) == []
        assert await store.history_seq_of("a") is None
        assert await store.read_blob("blob:plans") is None

    run(scenario())


def test_commit_carries_out_all_its_writes_in_order(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("order")
        await store.commit("1", [PutItems((("a", 10, b"A"), ("b", -5, b"B"), ("c", 2**53 - 1, b"C")))])
        await store.commit(
            "2",
            [
                ClearQueue(),
                PutItems((("d", 1, b"D"), ("e", 2, b"E"), ("f", 3, b"F"))),
                MoveItems((("d", 2**53 - 1), ("unknown", 7))),
                RemoveItems(("e", "unknown")),
                SetRunning(b"running"),
                AppendHistory(0, "a", 1.5, b"ended"),
                SetField("mode", b"{}"),
                SetField("autostart", b"true"),
                SetField("autostart", None),
            ],
        )
        state = await store.load()
        assert state == StoredState(
            items=(("f", 3, b"F"), ("d", 2**53 - 1, b"D")),
            running=b"running",
            history_first=0,
            history_next=1,
            fields={"mode": b"{}"},
        )
        assert await store.history(0, 0) == [b"ended"]

    run(scenario())


def test_state_is_there_for_the_next_manager(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("next")
        await store.commit("1", [PutItems((("a", 1, "é\0".encode()),)), SetRunning(b""), SetField("f", b"\xff\r\n")])
        await store.close()
        store = await shared_server.manager("next")
        assert await store.load() == StoredState(
            items=(("a", 1, "é\0".encode()),), running=b"", fields={"f": b"\xff\r\n"}
        )

    run(scenario())


def test_acknowledged_commits_survive_the_kill_of_redis_that_forces_each_to_disk(place, run) -> None:
    async def scenario() -> None:
        place.appendfsync = "always"
        await place.start()
        store = await place.manager("p")
        for number in range(50):
            await store.commit(str(number), [PutItems(((f"uid-{number}", number, b"x" * 100),))])
        place.kill()
        await place.start()
        await store.wait_connected()
        assert [uid for uid, _, _ in (await store.load()).items] == [f"uid-{number}" for number in range(50)]

    run(scenario())


def test_prefixes_do_not_see_each_other(shared_server, run) -> None:
    async def scenario() -> None:
        one, two = await shared_server.manager("one"), await shared_server.manager("two")
        await one.commit("1", [PutItems((("a", 1, b"A"),)), SetRunning(b"r"), AppendHistory(0, "h", 0.0, b"H")])
        assert await two.load() == StoredState(fields={})
        await two.commit("2", [ClearQueue()])
        assert (await one.load()).items == (("a", 1, b"A"),)

    run(scenario())


def test_blob_is_read_by_name_and_not_part_of_a_load(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("blob")
        large = json.dumps(["plan"] * 100_000).encode()
        await store.commit("1", [SetField("blob:plans", large), SetField("small", b"1")])
        assert (await store.load()).fields == {"small": b"1"}
        assert await store.read_blob("blob:plans") == large
        await store.commit("2", [SetField("blob:plans", None)])
        assert await store.read_blob("blob:plans") is None
        with pytest.raises(ValueError, match="not a blob"):
            await store.read_blob("small")

    run(scenario())


def test_queue_of_100_000_items_is_put_in_one_commit_and_loaded_in_order(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("large")
        items = tuple((f"uid-{number}", -number, b"text %d" % number) for number in range(100_000))
        await store.commit("1", [PutItems(items)])
        assert (await store.load()).items == items[::-1]
        await store.commit("2", [MoveItems(tuple((uid, -rank) for uid, rank, _ in items))])
        assert [uid for uid, _, _ in (await store.load()).items] == [uid for uid, _, _ in items]
        await store.commit("3", [RemoveItems(tuple(uid for uid, _, _ in items[1:]))])
        assert (await store.load()).items == items[:1]

    run(scenario())


def test_commits_that_are_sent_together_are_carried_out_in_the_order_of_their_calls(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("together")
        await asyncio.gather(*(store.commit(f"t{n}", [AppendHistory(n, f"u{n}", 0.0, b"%d" % n)]) for n in range(200)))
        assert await store.history(0, 999) == [b"%d" % n for n in range(200)]

    run(scenario())


def test_token_tells_whether_a_commit_was_carried_out(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("token")
        await store.commit("first", [])
        for number in range(63):
            await store.commit(f"later-{number}", [PutItems((("a", 1, b"A"),))])
        assert await store.committed("first")
        assert await store.committed("later-62")
        assert not await store.committed("never")

    run(scenario())


async def _nothing_changed(store: RedisStore, refusal: str, *commands: tuple[str, ...]) -> None:
    """Redis refuses everything after `commands[0]` and accepts it again after `commands[1]`."""
    before = await store.load()
    await store.ask(*commands[0])
    every_kind: list[list[Write]] = [
        [RemoveItems(("a",)), PutItems((("b", 2, b"B"),))],
        [ClearQueue()],
        [SetRunning(None), AppendHistory(0, "a", 1.0, b"ended")],
    ]
    for number, writes in enumerate(every_kind):
        with pytest.raises(StoreLost, match=refusal) as caught:
            await store.commit(f"refused {number}", writes)
        assert caught.value.unknown is False
    assert await store.load() == before
    assert not await store.committed("refused 0")
    await store.ask(*commands[1])
    await store.commit("accepted", every_kind[0])
    assert [uid for uid, _, _ in (await store.load()).items] == ["b"]


@pytest.mark.parametrize(
    ("refusal", "off", "on"),
    [
        ("OOM|used memory", ("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        ("read only replica", ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    ],
)
def test_commit_that_redis_refuses_does_nothing_and_says_why(server, refusal, off, on, run) -> None:
    async def scenario() -> None:
        store = await server.manager("refused")
        await store.commit("1", [PutItems((("a", 1, b"A"),)), SetRunning(b"r")])
        await _nothing_changed(store, refusal, off, on)

    run(scenario())


def test_commit_works_after_somebody_emptied_the_script_cache(server, run) -> None:
    async def scenario() -> None:
        store = await server.manager("p")
        await store.ask("SCRIPT", "FLUSH")
        await store.commit("1", [PutItems((("a", 1, b"A"),))])
        assert (await store.load()).items == (("a", 1, b"A"),)

    run(scenario())


def test_history_that_does_not_go_on_where_redis_ends_is_refused(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("gap")
        with pytest.raises(ValueError, match="entry 1 is missing"):
            await store.commit("1", [AppendHistory(0, "a", 0.0, b""), AppendHistory(2, "b", 0.0, b"")])
        for seq in (1, 7):
            with pytest.raises(StoreLost, match="number 0, another one") as caught:
                await store.commit("2", [PutItems((("a", 1, b"A"),)), AppendHistory(seq, "a", 0.0, b"")])
            assert caught.value.unknown is False
        await store.commit("3", [AppendHistory(0, "a", 0.0, b"")])
        assert (await store.load()).items == ()

    run(scenario())


def test_nothing_is_written_before_an_epoch_is_taken(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.connect("no-epoch")
        for attempt in (store.commit("1", [ClearQueue()]), store.raise_epoch(3)):
            with pytest.raises(StoreError, match="before an epoch is taken"):
                await attempt
        assert await store.ask("EXISTS", "no-epoch:v1:meta") == 0

    run(scenario())


def test_data_that_vanish_are_noticed_at_the_next_commit(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("gone")
        await store.ask("DEL", "gone:v1:meta")
        with pytest.raises(StoreEmptied, match="vanished"):
            await store.commit("1", [ClearQueue()])

    run(scenario())


def test_data_of_a_newer_release_are_refused_and_left_as_they_are(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.connect("newer")
        await store.ask("HSET", "newer:v1:meta", "format", 2, "epoch", 7)
        with pytest.raises(StoreTooNew, match="format 2, written by a newer release"):
            await store.take_epoch()
        assert await store.ask("HGETALL", "newer:v1:meta") == [b"format", b"2", b"epoch", b"7"]

    run(scenario())


def test_item_whose_content_was_deleted_by_hand_is_left_out_of_the_load(shared_server, caplog, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("damaged")
        await store.commit("1", [PutItems((("a", 1, b"A"), ("b", 2, b"B")))])
        await store.ask("HDEL", "damaged:v1:items", "a")
        assert (await store.load()).items == (("b", 2, b"B"),)

    run(scenario())
    assert "Item a of the queue is left out" in caplog.text
