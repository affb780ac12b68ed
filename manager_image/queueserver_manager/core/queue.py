"""The queue of plans: an ordered collection whose edits cost the same at 10 and at 100,000 items.

Items stand in blocks of at most `_BLOCK` and are found by uid through an index. Each has an integer rank; the store
keeps uid and rank, so one edit writes one rank and not the queue. Ranks have gaps; where a gap is used up the
neighbourhood gets new ranks in the same edit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from queueserver_manager.core.writes import ClearQueue, MoveItems, PutItems, RemoveItems, Write

_BLOCK = 512
RANK_GAP = 1 << 20
"""Distance of neighbours at the ends: 20 insertions at one place before a renumbering; 2**32 items below 2**53."""


class QueuedItem:
    """One item of the queue: its uid, its JSON text and its rank."""

    __slots__ = ("block", "rank", "text", "uid")

    def __init__(self, uid: str, text: bytes, rank: int = 0) -> None:
        self.uid = uid
        self.text = text
        self.rank = rank
        self.block: list[QueuedItem] = []


class PlanQueue:
    """Items in order. Every edit returns the writes that make the store follow."""

    def __init__(self, items: Iterable[tuple[str, int, bytes]] = ()) -> None:
        self._index: dict[str, QueuedItem] = {}
        self._blocks: list[list[QueuedItem]] = [[]]
        for uid, rank, text in items:
            item = QueuedItem(uid, text, rank)
            self._index[uid] = item
            if len(self._blocks[-1]) >= _BLOCK:
                self._blocks.append([])
            item.block = self._blocks[-1]
            item.block.append(item)

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, uid: object) -> bool:
        return uid in self._index

    def __iter__(self) -> Iterator[QueuedItem]:
        for block in self._blocks:
            yield from block

    def get(self, uid: str) -> QueuedItem | None:
        """The item with this uid, or None."""
        return self._index.get(uid)

    def at(self, index: int) -> QueuedItem:
        """The item at a position counted from 0; raises IndexError."""
        if not 0 <= index < len(self._index):
            raise IndexError(index)
        number, place = self._locate(index)
        return self._blocks[number][place]

    def position(self, item: QueuedItem) -> int:
        """Position of an item of this queue, counted from 0."""
        before = 0
        for block in self._blocks:
            if block is item.block:
                return before + block.index(item)
            before += len(block)
        raise KeyError(item.uid)

    def insert(self, index: int, items: list[QueuedItem]) -> list[Write]:
        """Insert new items so that the first of them gets position `index` (0 … length)."""
        rerank = self._place(index, items)
        writes: list[Write] = [PutItems(tuple((i.uid, i.rank, i.text) for i in items))] if items else []
        return writes + _moves(rerank)

    def replace(self, old: QueuedItem, new: QueuedItem) -> list[Write]:
        """Put `new` at the place of `old`."""
        block = old.block
        block[block.index(old)] = new
        new.rank, new.block = old.rank, block
        del self._index[old.uid]
        self._index[new.uid] = new
        writes: list[Write] = [] if new.uid == old.uid else [RemoveItems((old.uid,))]
        return [*writes, PutItems(((new.uid, new.rank, new.text),))]

    def remove(self, items: Iterable[QueuedItem]) -> list[Write]:
        """Take items out."""
        uids = []
        for item in items:
            self._detach(item)
            del self._index[item.uid]
            uids.append(item.uid)
        return [RemoveItems(tuple(uids))] if uids else []

    def move(self, items: list[QueuedItem], before: QueuedItem | None) -> list[Write]:
        """Move items of this queue, in the given order, to the place before another one (None: to the end)."""
        for item in items:
            self._detach(item)
            del self._index[item.uid]
        index = len(self._index) if before is None else self.position(before)
        rerank = self._place(index, items)
        return _moves([*items, *rerank])

    def clear(self) -> list[Write]:
        """Take everything out."""
        self._index.clear()
        self._blocks = [[]]
        return [ClearQueue()]

    # Places and ranks ------------------------------------------------------------------------------------------

    def _locate(self, index: int) -> tuple[int, int]:
        """Number of the block and place in it of a position (0 … length); looked for from the nearer end."""
        behind = len(self._index) - index
        if behind <= index:
            for number in range(len(self._blocks) - 1, -1, -1):
                size = len(self._blocks[number])
                if behind <= size:
                    return number, size - behind
                behind -= size
        for number, block in enumerate(self._blocks):
            if index < len(block):
                return number, index
            index -= len(block)
        raise AssertionError("the blocks hold fewer items than the index")

    def _detach(self, item: QueuedItem) -> None:
        item.block.remove(item) if item.block[0] is not item else item.block.pop(0)
        if not item.block and len(self._blocks) > 1:
            del self._blocks[next(i for i, block in enumerate(self._blocks) if block is item.block)]

    def _place(self, index: int, items: list[QueuedItem]) -> list[QueuedItem]:
        """Insert into the blocks and give ranks; returns older items whose rank had to change."""
        if not items:
            return []
        left = self.at(index - 1).rank if index > 0 else None
        right = self.at(index).rank if index < len(self._index) else None
        self._insert_into_blocks(index, items)
        self._index.update((item.uid, item) for item in items)
        ranks = _spread(left, right, len(items))
        if ranks is not None:
            for item, rank in zip(items, ranks, strict=True):
                item.rank = rank
            return []
        return self._renumber(index, items)

    def _insert_into_blocks(self, index: int, items: list[QueuedItem]) -> None:
        number, place = self._locate(index)
        block = self._blocks[number]
        block[place:place] = items
        if len(block) <= _BLOCK:
            for item in items:
                item.block = block
            return
        pieces = [block[i : i + _BLOCK // 2] for i in range(0, len(block), _BLOCK // 2)]
        self._blocks[number : number + 1] = pieces
        for piece in pieces:
            for item in piece:
                item.block = piece

    def _renumber(self, index: int, new: list[QueuedItem]) -> list[QueuedItem]:
        """Spread the ranks around freshly inserted items over a window that is just wide enough."""
        width = 8
        while True:
            first = max(0, index - width)
            last = min(len(self._index), index + len(new) + width)
            left = self.at(first - 1).rank if first > 0 else None
            right = self.at(last).rank if last < len(self._index) else None
            ranks = _spread(left, right, last - first, least=1 << 8)
            if ranks is not None:
                break
            width *= 4
        fresh = {item.uid for item in new}
        changed = []
        for position, rank in zip(range(first, last), ranks, strict=True):
            item = self.at(position)
            if item.rank != rank and item.uid not in fresh:
                changed.append(item)
            item.rank = rank
        return changed


def _spread(left: int | None, right: int | None, count: int, least: int = 1) -> list[int] | None:
    """`count` ranks between two neighbours (None: open end), at least `least` apart; None when there is no room."""
    if left is None and right is None:
        return [i * RANK_GAP for i in range(count)]
    if right is None:
        assert left is not None
        return [left + (i + 1) * RANK_GAP for i in range(count)]
    if left is None:
        return [right - (count - i) * RANK_GAP for i in range(count)]
    step = (right - left) // (count + 1)
    return [left + (i + 1) * step for i in range(count)] if step >= least else None


def _moves(items: list[QueuedItem]) -> list[Write]:
    return [MoveItems(tuple((i.uid, i.rank) for i in items))] if items else []
