from __future__ import annotations

import asyncio
import time

from queueserver_manager.core.writes import AppendHistory, TrimHistory

ENTRIES = 100_000
IN_COMMIT = 2000


async def _fill(store) -> None:
    for start in range(0, ENTRIES, IN_COMMIT):
        entries = [AppendHistory(n, f"uid-{n}", float(n), b"entry %d" % n) for n in range(start, start + IN_COMMIT)]
        await store.commit(f"fill {start}", entries)


def test_history_of_100_000_entries_is_read_in_chunks_and_pages(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("long")
        await _fill(store)
        expected = 0
        async for chunk in store.history_chunks(0, ENTRIES):
            assert 0 < len(chunk) <= 500
            assert chunk == [b"entry %d" % n for n in range(expected, expected + len(chunk))]
            expected += len(chunk)
        assert expected == ENTRIES
        assert await store.history(99_990, 99_994) == [b"entry %d" % n for n in range(99_990, 99_995)]
        assert await store.history(499, 500) == [b"entry 499", b"entry 500"]
        assert await store.history(5, 4) == []
        assert await store.history(ENTRIES, 2 * ENTRIES) == []
        assert await store.history_seq_of("uid-54321") == 54321
        assert await store.history_seq_of("uid-x") is None

    run(scenario())


def test_trimmed_entries_vanish_at_once_and_commits_go_on_while_they_are_freed(shared_server, run, until) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("trim")
        await _fill(store)
        before = time.perf_counter()
        await store.commit("trim", [TrimHistory(ENTRIES - 10)])
        assert await store.history(0, ENTRIES) == [b"entry %d" % n for n in range(ENTRIES - 10, ENTRIES)]
        assert await store.history_seq_of("uid-5") is None
        assert await store.history_seq_of(f"uid-{ENTRIES - 10}") == ENTRIES - 10
        assert await store.ask("XLEN", "trim:v1:history") > 10, "freed in one go, Redis stood still"

        longest = 0.0
        while await store.ask("XLEN", "trim:v1:history") > 10:
            begin = time.perf_counter()
            await store.commit("while it is swept", [])
            longest = max(longest, time.perf_counter() - begin)
        assert longest < 1
        assert await store.ask("HLEN", "trim:v1:history-uids") == 10
        assert time.perf_counter() - before < 30

    run(scenario())


def test_what_a_killed_manager_left_to_free_is_freed_by_the_next(shared_server, run, until) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("left")
        await store.commit("1", [AppendHistory(n, f"uid-{n}", 0.0, b"") for n in range(1000)])
        await store.commit("2", [TrimHistory(990)])
        await store.close()
        store = await shared_server.manager("left")
        assert await store.ask("XLEN", "left:v1:history") > 10
        assert (await store.load()).history_first == 990

        async def freed() -> bool:
            return await store.ask("XLEN", "left:v1:history") == 10

        await until(freed)

    run(scenario())


def test_cleared_history_goes_on_with_the_next_number(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("cleared")
        await store.commit("1", [AppendHistory(0, "a", 0.0, b"A"), AppendHistory(1, "b", 0.0, b"B"), TrimHistory(2)])
        state = await store.load()
        assert (state.history_first, state.history_next) == (2, 2)
        assert await store.ask("EXISTS", "cleared:v1:history", "cleared:v1:history-uids") == 0
        await store.commit("2", [AppendHistory(2, "c", 0.0, b"C")])
        assert await store.history(0, 9) == [b"C"]

    run(scenario())


def test_entries_that_are_appended_during_a_full_read_do_not_disturb_it(shared_server, run) -> None:
    async def scenario() -> None:
        store = await shared_server.manager("appended")
        await store.commit("1", [AppendHistory(n, f"u{n}", 0.0, b"%d" % n) for n in range(1200)])
        read: list[bytes] = []
        seq = 1200
        async for chunk in store.history_chunks(0, 1199):
            read += chunk
            await asyncio.gather(
                *(store.commit(f"a{n}", [AppendHistory(n, "x", 0.0, b"")]) for n in range(seq, seq + 9))
            )
            seq += 9
        assert read == [b"%d" % n for n in range(1200)]

    run(scenario())
