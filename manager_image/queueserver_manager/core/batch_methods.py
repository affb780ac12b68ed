"""Handlers of the batch methods; each is all or nothing (zmq-api 5.5)."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from queueserver_common.encoded import Encoded
from queueserver_manager.core import items, repeats
from queueserver_manager.core.decision import Decision, Reply, failure, success
from queueserver_manager.core.items import Item
from queueserver_manager.core.parameters import Params
from queueserver_manager.core.placement import check_batch, insertion_index
from queueserver_manager.core.queue import QueuedItem
from queueserver_manager.core.queue_methods import found
from queueserver_manager.core.refusal import Code, Refusal
from queueserver_manager.core.repeats import Accepted
from queueserver_manager.core.submission import check_caller, check_item, check_item_shape, check_queue_uid

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core

Steps = Generator[None, None, Reply]
"""A handler in steps: it yields between them so that other requests are answered meanwhile."""

Result = Mapping[str, Any]
"""What became of one item of a batch: `success` and `msg`."""

_VALID: Result = {"success": True, "msg": ""}


def queue_item_add_batch(core: Core, params: Params, d: Decision, now: float) -> Steps:
    """Add items that keep their order; validated in steps, inserted at once, or none of them."""
    submitted: list[Any] = params["items"]
    queued: list[QueuedItem] = []
    digest = ""
    if repeats.repeat_key(params) is not None:
        digest = yield from repeats.digest_steps("queue_item_add_batch", params)
    if (known := repeats.earlier(core, params, digest)) is not None:
        return (yield from _said_before(core, params, d, known))
    results = yield from _validated(core, params, now, queued)
    if (known := repeats.earlier(core, params, digest)) is not None:  # carried out between the steps
        return (yield from _said_before(core, params, d, known))
    check_queue_uid(core, params)  # it may have changed between the steps
    qsize = len(core.state.queue)
    failed = sum(not result["success"] for result in results)
    if failed:
        raise Refusal(
            _failed(failed, len(results)),
            code=Code.INVALID_BATCH,
            prefixed=False,
            qsize=qsize,
            items=submitted,
            results=results,
        )
    if not submitted:
        repeats.remember(core, d, params, digest, (), now)
        return success(qsize=qsize, items=[], results=[])
    try:
        index = insertion_index(core.state, params.get("pos"), params.get("before_uid"), params.get("after_uid"))
    except Refusal as refusal:
        text = f"Failed to add item to queue: {refusal.msg}"
        raise Refusal(
            _failed(len(queued), len(queued)),
            code=Code.INVALID_BATCH,
            prefixed=False,
            qsize=qsize,
            items=[Encoded(item.text) for item in queued],
            results=[failure(text, refusal.code)] * len(queued),
        ) from None
    d.write(*core.state.queue.insert(index, queued))
    repeats.remember(core, d, params, digest, tuple(item.uid for item in queued), now)
    core.renew("plan_queue_uid")
    return success(qsize=len(core.state.queue), items=[Encoded(item.text) for item in queued], results=results)


def _said_before(core: Core, params: Params, d: Decision, known: Accepted) -> Steps:
    """The reply to a batch that was added before."""
    added = []
    for item, uid in zip(params["items"], known.uids, strict=True):
        kept = items.submitted(item, params["user"], params["user_group"])
        added.append(Encoded(items.encode(kept | {"item_uid": uid, items.QUEUED_AT: known.time})))
        yield
    d.repeated = True
    return success(qsize=len(core.state.queue), items=added, results=[_VALID] * len(added), repeated=True)


def validate(core: Core, params: Params, d: Decision, now: float) -> Steps:
    """Tell of each item whether it could be added; nothing is."""
    results = yield from _validated(core, params, now, None)
    failed = sum(not result["success"] for result in results)
    if failed:
        text = f"Validation of {failed} out of {len(results)} items failed"
        raise Refusal(text, code=Code.INVALID_BATCH, results=results)
    return success(results=results)


def _validated(
    core: Core, params: Params, now: float, queued: list[QueuedItem] | None
) -> Generator[None, None, list[Result]]:
    """The result for each item, in steps; valid ones are made ready for the queue in `queued`."""
    while True:
        try:
            user, group = check_caller(core, params)
        except Refusal as refusal:
            refusal.extra["qsize"] = len(core.state.queue)
            raise
        revision = core.lists.revision
        results: list[Result] = []
        if queued is not None:
            queued.clear()
        for item in params["items"]:
            result = _validate(core, item, group)
            results.append(result)
            if queued is not None and result["success"]:
                queued.append(_as_queued(core, item, user, group, now))
            yield
            if revision != core.lists.revision:  # what was valid may be no longer, nor the group: begin again
                break
        else:
            return results


def _validate(core: Core, item: object, group: str) -> Result:
    try:
        check_item(core, check_item_shape(item), group)
    except Refusal as refusal:
        return failure(f"Failed to add a plan: {refusal.msg}", refusal.code)
    return _VALID


def _as_queued(core: Core, item: Item, user: str, group: str, now: float) -> QueuedItem:
    uid = core.new_uid()
    kept = items.submitted(item, user, group) | {"item_uid": uid, items.QUEUED_AT: now}
    return QueuedItem(uid, items.encode(kept))


def _failed(count: int, total: int) -> str:
    return f"Failed to add all items: validation of {count} out of {total} submitted items failed"


def queue_item_remove_batch(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Remove items by uid, in the order of the uids."""
    queue, uids = core.state.queue, params["uids"]
    if params.get("ignore_missing", True):
        distinct = dict.fromkeys(uid for uid in uids if isinstance(uid, str))
        batch = [item for uid in distinct if (item := queue.get(uid)) is not None]
    else:
        batch = check_batch(core.state, uids)
    if batch:
        d.write(*queue.remove(batch))
        core.renew("plan_queue_uid")
    return success(items=[Encoded(item.text) for item in batch], qsize=len(queue))


def queue_item_move_batch(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Move items by uid to one place; everything is checked before anything moves."""
    queue, uids = core.state.queue, params["uids"]
    places = {k: params[k] for k in ("pos_dest", "before_uid", "after_uid") if params.get(k) is not None}
    if not places:
        raise Refusal(
            "Destination for the batch is not specified: use parameters 'pos_dest', 'before_uid' or 'after_uid'",
            code=Code.MISSING_PARAMETER,
        )
    if len(places) > 1:
        raise Refusal(
            "The function was called with more than one mutually exclusive parameter "
            "('pos_dest', 'before_uid', 'after_uid')"
        )
    batch = check_batch(core.state, uids)
    if len(batch) < len(uids):  # all are known, so the missing one is running
        running = core.state.running
        assert running is not None
        raise Refusal(
            f"Source plan (UID '{running.uid}') was not found: Item with UID '{running.uid}' is currently running.",
            code=Code.ITEM_IS_RUNNING,
        )
    if not batch:
        return success(qsize=len(queue), items=[])
    if params.get("reorder"):
        batch.sort(key=queue.position)
    ((parameter, place),) = places.items()
    before = _destination(core, parameter, place, batch)
    old_order = [item.uid for item in queue] if len(batch) == len(queue) else None
    d.write(*queue.move(batch, before))
    if old_order != [item.uid for item in queue] if old_order is not None else True:
        core.renew("plan_queue_uid")
    return success(qsize=len(queue), items=[Encoded(item.text) for item in batch])


def _destination(core: Core, parameter: str, place: object, batch: list[QueuedItem]) -> QueuedItem | None:
    """The item outside of the batch before which it is to stand; None for the end."""
    queue = core.state.queue
    uids = {item.uid for item in batch}
    if parameter != "pos_dest":
        if isinstance(place, str) and place in uids:
            raise Refusal(f"Parameter '{parameter}': item with UID '{place}' is in the batch")
        target = found(core, "Destination", None, place)
        if parameter == "before_uid":
            return target
        return _next_outside(queue.position(target) + 1, core, uids)
    if place == "front":
        return _next_outside(0, core, uids)
    if place == "back":
        return None
    target = found(core, "Destination", place, None)
    # The first item of the batch ends at the index of the target, as for a single move.
    behind = queue.position(batch[0]) < queue.position(target)
    return _next_outside(queue.position(target) + (1 if behind else 0), core, uids)


def _next_outside(index: int, core: Core, uids: set[str]) -> QueuedItem | None:
    queue = core.state.queue
    while index < len(queue):
        item = queue.at(index)
        if item.uid not in uids:
            return item
        index += 1
    return None
