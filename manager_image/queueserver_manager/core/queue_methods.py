"""Handlers of the methods that edit or show single items of the queue (zmq-api 5.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queueserver_common.encoded import Encoded
from queueserver_manager.core import execution, items, repeats
from queueserver_manager.core.decision import Decision, Reply, success
from queueserver_manager.core.items import Item
from queueserver_manager.core.parameters import Params
from queueserver_manager.core.placement import find_by_position, find_by_uid, insertion_index
from queueserver_manager.core.queue import QueuedItem
from queueserver_manager.core.refusal import Code, Refusal
from queueserver_manager.core.states import ManagerState
from queueserver_manager.core.submission import accept_item
from queueserver_manager.core.writes import SetField

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core


def queue_get(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Items, the running item and the queue's uid: one consistent view."""
    running = core.state.running
    return success(
        items=Encoded.array([item.text for item in core.state.queue]),
        running_item={} if running is None else running.shown(),
        plan_queue_uid=core.state.uids["plan_queue_uid"],
    )


def queue_clear(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Remove all but the running item; the uid is renewed even when the queue was empty."""
    d.write(*core.state.queue.clear())
    core.renew("plan_queue_uid")
    return success()


def queue_item_add(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Add one item; it always gets a new uid."""
    digest = repeats.digest_at_once("queue_item_add", params)
    if (known := repeats.earlier(core, params, digest)) is not None:
        return _said_before(core, params, d, {"item_uid": known.uids[0], items.QUEUED_AT: known.time})
    item = accept_item(core, params) | {"item_uid": core.new_uid()}
    try:
        index = insertion_index(core.state, params.get("pos"), params.get("before_uid"), params.get("after_uid"))
    except Refusal as refusal:
        refusal.extra["item"] = item
        raise
    text = items.encode(item | {items.QUEUED_AT: now})
    d.write(*core.state.queue.insert(index, [QueuedItem(item["item_uid"], text)]))
    repeats.remember(core, d, params, digest, (item["item_uid"],), now)
    core.renew("plan_queue_uid")
    return success(qsize=len(core.state.queue), item=Encoded(text))


def _said_before(core: Core, params: Params, d: Decision, made: Item) -> Reply:
    """The reply to a request that was carried out before; `made` is what that gave the item."""
    d.repeated = True
    item = items.submitted(params["item"], params["user"], params["user_group"]) | made
    return success(qsize=len(core.state.queue), item=item, repeated=True)


def queue_item_update(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Replace an item at its place."""
    item = accept_item(core, params)
    old_uid, replace = item.get("item_uid"), bool(params.get("replace"))
    if "item_uid" not in item and not replace:
        raise Refusal(
            "Item description contains no UID and UID generation is skipped",
            code=Code.INVALID_ITEM,
            item=params["item"],
        )
    if replace:
        item["item_uid"] = core.new_uid()
    old = core.state.queue.get(old_uid) if isinstance(old_uid, str) else None
    if old is None:
        running = core.state.running
        in_hand = running is not None and running.uid == old_uid
        state = "currently running" if in_hand else "not in the queue"
        code = Code.ITEM_IS_RUNNING if in_hand else Code.ITEM_NOT_FOUND
        raise Refusal(f"Failed to replace item: Item with UID '{old_uid}' is {state}", code=code, item=item)
    present = items.decode(old.text)
    changed = replace or items.as_submitted(present) != item
    if items.QUEUED_AT in present:
        item[items.QUEUED_AT] = now if replace else present[items.QUEUED_AT]
    if changed:
        d.write(*core.state.queue.replace(old, QueuedItem(item["item_uid"], items.encode(item))))
        core.renew("plan_queue_uid")
    return success(qsize=len(core.state.queue), item=item)


def queue_item_get(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Show an item."""
    return success(item=Encoded(_source(core, params, wrong="type").text))


def queue_item_remove(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Remove an item."""
    uid, running = params.get("uid"), core.state.running
    if uid is not None and params.get("pos") is None:
        if running is not None and uid == running.uid:
            raise Refusal("Can not remove an item which is currently running.", code=Code.ITEM_IS_RUNNING)
        if not isinstance(uid, str) or uid not in core.state.queue:
            raise Refusal(f"Plan with UID '{uid}' is not in the queue.", code=Code.ITEM_NOT_FOUND)
    if uid is None and params.get("pos") is None and not len(core.state.queue):
        raise Refusal("Queue is empty", code=Code.ITEM_NOT_FOUND)
    item = _source(core, params, wrong="value")
    d.write(*core.state.queue.remove([item]))
    core.renew("plan_queue_uid")
    return success(item=Encoded(item.text), qsize=len(core.state.queue))


def _source(core: Core, params: Params, *, wrong: str) -> QueuedItem:
    pos, uid = params.get("pos"), params.get("uid")
    if pos is not None and uid is not None:
        raise Refusal("Ambiguous parameters: plan position and UID is specified")
    return find_by_uid(core.state, uid) if uid is not None else find_by_position(core.state, pos, wrong=wrong)


def queue_item_move(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Move an item to a position or beside another one."""
    pos, uid = params.get("pos"), params.get("uid")
    dest, before, after = params.get("pos_dest"), params.get("before_uid"), params.get("after_uid")
    if pos is None and uid is None:
        raise Refusal("Source position or UID is not specified.", code=Code.MISSING_PARAMETER)
    if dest is None and before is None and after is None:
        raise Refusal("Destination position or UID is not specified.", code=Code.MISSING_PARAMETER)
    if pos is not None and uid is not None:
        raise Refusal("Ambiguous parameters: Both position and uid is specified for the source plan.")
    if dest is not None and (before is not None or after is not None):
        raise Refusal("Ambiguous parameters: Both position and uid is specified for the destination plan.")
    if before is not None and after is not None:
        raise Refusal("Ambiguous parameters: source should be moved 'before' and 'after' the destination.")
    state = core.state
    source = found(core, "Source", pos, uid)
    target = found(core, "Destination", dest, before if before is not None else after)
    if source is not target:
        behind = after is not None or (dest is not None and state.queue.position(source) < state.queue.position(target))
        d.write(*state.queue.move([source], _neighbour(core, target, source) if behind else target))
        core.renew("plan_queue_uid")
    return success(item=Encoded(source.text), qsize=len(state.queue))


def found(core: Core, role: str, pos: object, uid: object) -> QueuedItem:
    """Source or destination of a move, by uid when one is given, else by position."""
    try:
        return find_by_uid(core.state, uid) if uid is not None else find_by_position(core.state, pos)
    except Refusal as refusal:
        place = f"UID '{uid}'" if uid is not None else f"position {pos}"
        raise Refusal(f"{role} plan ({place}) was not found: {refusal.msg}.", code=refusal.code) from None


def _neighbour(core: Core, target: QueuedItem, source: QueuedItem) -> QueuedItem | None:
    """The item behind `target` once `source` has been taken out."""
    queue = core.state.queue
    index = queue.position(target) + 1
    if index < len(queue) and queue.at(index) is source:
        index += 1
    return queue.at(index) if index < len(queue) else None


def queue_mode_set(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Change `loop` and `ignore_failures`; a partial mapping is merged, "default" sets both to false."""
    mode = params["mode"]
    new = core.state.mode.as_mapping()
    if mode == "default":
        new = dict.fromkeys(new, False)
    elif isinstance(mode, dict):
        for key, value in mode.items():
            if key not in new:
                raise Refusal(f"Unsupported plan queue mode parameter '{key}': supported parameters {list(new)}")
            if not isinstance(value, bool):
                raise Refusal(f"Unsupported type '{type(value)}' of the parameter '{key}': expected type '{bool}'")
        new |= mode
    else:
        raise Refusal(
            f"Queue mode is passed using object of unsupported type '{type(mode)}': ({mode}). "
            "Supported types: ('dict', 'str'), supported string value: 'default'"
        )
    if new != core.state.mode.as_mapping():
        core.state.mode.loop, core.state.mode.ignore_failures = new["loop"], new["ignore_failures"]
        d.write(SetField("mode", items.encode(new)))
    return success()


def queue_item_execute(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Run one item at once, outside of the queue."""
    digest = repeats.digest_at_once("queue_item_execute", params)
    if (known := repeats.earlier(core, params, digest)) is not None:
        return _said_before(core, params, d, {"item_uid": known.uids[0]})
    item = accept_item(core, params) | {"item_uid": core.new_uid()}
    try:
        core.check_worker_free()
    except Refusal as refusal:
        refusal.prefixed = True
        refusal.extra["item"] = item
        raise
    repeats.remember(core, d, params, digest, (item["item_uid"],), now)
    core.renew("plan_queue_uid")
    core.enter(ManagerState.STARTING_QUEUE)
    if item["item_type"] == "instruction":
        core.enter(ManagerState.EXECUTING_QUEUE)
        execution.obey_instruction(core, d, now, item, repeat=False)
    else:
        execution.take_in_hand(core, d, now, item, items.encode(item), immediate=True)
    return success(qsize=len(core.state.queue), item=item)
