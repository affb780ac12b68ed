"""Where in the queue: `pos`, `before_uid`, `after_uid`, and what a removal or a move takes (zmq-api 5.5)."""

from __future__ import annotations

from queueserver_manager.core.model import State
from queueserver_manager.core.queue import QueuedItem
from queueserver_manager.core.refusal import Code, Refusal


def insertion_index(state: State, pos: object, before_uid: object, after_uid: object) -> int:
    """Index at which a new item is to stand."""
    queue = state.queue
    if pos is not None and (before_uid is not None or after_uid is not None):
        raise Refusal("Ambiguous parameters: plan position and UID is specified")
    if before_uid is not None and after_uid is not None:
        raise Refusal("Ambiguous parameters: request to insert the plan before and after the reference plan")
    if before_uid is not None or after_uid is not None:
        uid = before_uid if before_uid is not None else after_uid
        if state.running is not None and uid == state.running.uid:
            if before_uid is not None:
                raise Refusal(
                    "Can not insert a plan in the queue before a currently running plan.", code=Code.ITEM_IS_RUNNING
                )
            return 0
        item = queue.get(uid) if isinstance(uid, str) else None
        if item is None:
            raise Refusal(f"Plan with UID '{uid}' is not in the queue.", code=Code.ITEM_NOT_FOUND)
        return queue.position(item) + (after_uid is not None)
    return _insertion_position(pos, len(queue))


def _insertion_position(pos: object, size: int) -> int:
    if pos is None or pos == "back":
        return size
    if pos == "front":
        return 0
    if type(pos) is not int:
        raise Refusal(f"Parameter 'pos' has incorrect value: pos='{pos}' (type={type(pos)})")
    if pos >= size or pos == -1:
        return size
    if pos >= 0:
        return pos
    return max(0, size + pos + 1)  # -1 appends, so -2 stands before the last


def find_by_position(state: State, pos: object, *, wrong: str = "type") -> QueuedItem:
    """The item at `front`, `back` or an index from -size to size - 1."""
    size = len(state.queue)
    if pos is None or pos == "back":
        index = -1
    elif pos == "front":
        index = 0
    elif type(pos) is int:
        index = pos
    else:
        raise Refusal(f"Parameter 'pos' has incorrect {wrong}: pos={pos} (type={type(pos)})")
    if not -size <= index < size:
        shown = "back" if pos is None else pos
        raise Refusal(f"Index '{index}' is out of range (parameter pos = '{shown}')", code=Code.ITEM_NOT_FOUND)
    return state.queue.at(index % size)


def find_by_uid(state: State, uid: object) -> QueuedItem:
    """The queued item with this uid; the running one is not in the queue."""
    item = state.queue.get(uid) if isinstance(uid, str) else None
    if item is not None:
        return item
    if state.running is not None and uid == state.running.uid:
        raise Refusal(f"Item with UID '{uid}' is currently running.", code=Code.ITEM_IS_RUNNING)
    raise Refusal(f"Item with UID '{uid}' is not in the queue.", code=Code.ITEM_NOT_FOUND)


def check_batch(state: State, uids: list[object]) -> list[QueuedItem]:
    """The queued items of a batch, in the given order; refuses repeated and missing uids (zmq-api 5.5)."""
    names = [uid if isinstance(uid, str) else repr(uid) for uid in uids]
    repeated = len(names) - len(set(names))
    if repeated:
        raise Refusal(f"The list of contains repeated UIDs ({repeated} UIDs)")
    missing = [uid for uid in uids if not _known(state, uid)]
    if missing:
        raise Refusal(f"The queue does not contain items with the following UIDs: {missing}", code=Code.ITEM_NOT_FOUND)
    return [item for uid in uids if (item := state.queue.get(str(uid))) is not None]


def _known(state: State, uid: object) -> bool:
    return isinstance(uid, str) and (uid in state.queue or (state.running is not None and state.running.uid == uid))
