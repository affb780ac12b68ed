"""Whatever writes are made, the store holds what a simple model in memory holds."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queueserver_manager.core.writes import (
    AppendHistory,
    ClearQueue,
    MoveItems,
    PutItems,
    RemoveItems,
    SetField,
    SetRunning,
    StoredState,
    TrimHistory,
    Write,
)


@dataclass
class Model:
    items: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    running: bytes | None = None
    history: list[tuple[str, bytes]] = field(default_factory=list)
    first: int = 0
    values: dict[str, bytes] = field(default_factory=dict)

    def apply(self, write: Write) -> None:
        match write:
            case PutItems(items):
                self.items.update((uid, (rank, text)) for uid, rank, text in items)
            case RemoveItems(uids):
                for uid in uids:
                    self.items.pop(uid, None)
            case MoveItems(ranks):
                self.items.update((uid, (rank, self.items[uid][1])) for uid, rank in ranks if uid in self.items)
            case ClearQueue():
                self.items.clear()
            case SetRunning(record):
                self.running = record
            case AppendHistory(_, uid, _, text):
                self.history.append((uid, text))
            case TrimHistory(first_seq):
                self.first = max(self.first, min(first_seq, len(self.history)))
            case SetField(name, None):
                self.values.pop(name, None)
            case SetField(name, value):
                self.values[name] = value

    def state(self) -> StoredState:
        ordered = sorted(self.items.items(), key=lambda entry: (entry[1][0], entry[0].encode()))
        return StoredState(
            items=tuple((uid, rank, text) for uid, (rank, text) in ordered),
            running=self.running,
            history_first=self.first,
            history_next=len(self.history),
            fields={name: value for name, value in self.values.items() if not name.startswith("blob:")},
        )

    def entries(self, first: int, last: int) -> list[bytes]:
        return [text for _, text in self.history[max(self.first, first) : last + 1]]

    def seq_of(self, uid: str) -> int | None:
        numbers = [seq for seq, (name, _) in enumerate(self.history) if name == uid and seq >= self.first]
        return numbers[-1] if numbers else None


UIDS = ["a", "b", "é", "uid with space", "0", "", "\u2028"]
uids = st.sampled_from(UIDS)
texts = st.binary(max_size=12)
ranks = st.integers(-(2**53) + 1, 2**53 - 1)
writes = st.one_of(
    st.builds(PutItems, st.lists(st.tuples(uids, ranks, texts), max_size=6).map(tuple)),
    st.builds(RemoveItems, st.lists(uids, max_size=3).map(tuple)),
    st.builds(MoveItems, st.lists(st.tuples(uids, ranks), max_size=4).map(tuple)),
    st.just(ClearQueue()),
    st.builds(SetRunning, st.none() | texts),
    st.builds(AppendHistory, st.just(0), uids, st.floats(allow_nan=False), texts),
    st.builds(TrimHistory, st.integers(0, 30)),
    st.builds(SetField, st.sampled_from(["mode", "lock", "", "blob:plans", "blob:"]), st.none() | texts),
)
commits = st.lists(st.lists(writes, max_size=6), max_size=10)

prefixes = (f"model-{number}" for number in itertools.count())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commits=commits)
def test_store_holds_what_the_model_holds(shared_server, run, until, commits: list[list[Write]]) -> None:
    async def scenario() -> None:
        prefix = next(prefixes)
        model = Model()
        store = await shared_server.manager(prefix)
        for number, drawn in enumerate(commits):
            seqs = itertools.count(len(model.history))
            numbered = [
                AppendHistory(next(seqs), write.uid, write.time_stop, write.text)
                if isinstance(write, AppendHistory)
                else write
                for write in drawn
            ]
            await store.commit(str(number), numbered)
            for write in numbered:
                model.apply(write)
            assert await store.load() == model.state()

        assert await store.history(0, 10**9) == model.entries(0, 10**9)
        assert await store.history(3, 5) == model.entries(3, 5)
        for uid in UIDS:
            assert await store.history_seq_of(uid) == model.seq_of(uid)
        for name in ("blob:plans", "blob:"):
            assert await store.read_blob(name) == model.values.get(name)
        assert all([await store.committed(str(number)) for number in range(len(commits))])

        # Nothing of what was trimmed stays in Redis.
        async def swept() -> bool:
            return await store.ask("XLEN", f"{prefix}:v1:history") == len(model.entries(0, 10**9))

        await until(swept)
        indexed = await store.ask("HLEN", f"{prefix}:v1:history-uids")
        assert indexed == len({uid for uid, _ in model.history[model.first :]})
        assert await store.ask("HLEN", f"{prefix}:v1:items") == await store.ask("ZCARD", f"{prefix}:v1:order")

    run(scenario())
