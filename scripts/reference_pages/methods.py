"""docs/reference/methods.md: the method table of the control socket."""

from __future__ import annotations

import json

from queueserver_manager.core.methods import METHODS, Method
from queueserver_manager.core.parameters import LOCK_KEY, Parameter
from queueserver_manager.core.refusal import Code
from reference_pages import markdown
from reference_pages.markdown import code, table

_INTRODUCTION = """\
A request is one 0MQ frame with an encoded mapping, `{"method": NAME, "params": {...}}`, sent by a REQ socket to port
60615; `params` may be left out. The reply is one frame with a mapping. JSON is the default encoding; `--zmq-encoding`
chooses msgpack.

Every reply but that of `status` and `ping` tells `success` and, when it is false, the reason as a sentence in `msg`.
Checks are made in this order: names of parameters, lock key, presence and types, state of the manager. A refused
request changes nothing.

- **Guarded by**: the lock that a `lock_key` opens. These methods take `lock_key`, a string or null; it is
  needed while that lock is set, and ignored otherwise.
- **Error prefix**: stands before the reason, except where the state of the manager is the reason.
- **On refusal**: the values besides `success` and `msg`. An accepted request brings the same names.
- **Code**: every refusal has a `code` beside its `msg`, see [Codes of refusals](#codes-of-refusals).
- **While Redis is away**: whether the method is answered then."""

_PLACES = """\
## Places in the queue

`pos` and `pos_dest` are `"front"`, `"back"` or an index that counts from 0 at the front; a negative one counts from the
back. `before_uid` and `after_uid` name an item that the place is next to. Only one of these can be given."""

_ADDED = """\
## Additions to the protocol

- An item that returned to the queue because it failed, or was aborted or halted, has `requeued_from`: the `item_uid` of
  its history entry.
- An item in the queue has `queued_at`: when it was put there, in seconds since 1970. Its history entry keeps it.
- `result` of a history entry has `startup_revision`: which startup code ran the item, as `RE.md` and the documents of
  its runs name it. It is a hash of the files, and missing for a module and for an item whose worker never was ready.
- `history_get` answers pages and parts of the history and their size, `total`. Times are those of the ends of items, in
  seconds since 1970, both included. `exit_status` is one of those in `result`.
- Methods that edit the queue take `expect_queue_uid`: they are refused with the code `queue_changed` when the
  `plan_queue_uid` is another one by then, so that two clients do not undo each other's edits.
- `queue_item_add`, `queue_item_add_batch`, `queue_item_execute`, `function_execute` and `script_upload` take
  `idempotency_key`, a text of the client's choice (1 to 200 characters, for example a UUID). A client that got no reply
  sends the same request with the same key again: it is carried out once, and the second reply is that of the first,
  with `repeated` and the present `qsize`. A key that came with another request is refused with the code
  `key_used_otherwise`. The last 1,000 keys are remembered, also by the next manager. `lock_key` and
  `expect_queue_uid` may differ.
- Messages of the topic `QS_Console` have a number, `seq`, that grows by one; a manager that starts begins with a higher
  one than any before it. `console_get` answers the messages that are kept (about a million characters), also when
  nothing is published: `after` names the last message that the client has. When `first_seq` is more than one higher
  than that, some are lost.
- `status` has the fields `worker_link`, `store` and `environment_error`, see [Status](status.md)."""


def page() -> str:
    """The page."""
    overview = table(
        ["method", "what it does", "guarded by", "while Redis is away"],
        [
            ["`status`, `ping`", "Status of the manager, see [Status](status.md).", "", "answered"],
            *(
                [
                    f"[`{method.name}`](#{method.name})",
                    method.summary,
                    method.lock or "",
                    "refused" if method.needs_store or method.name in ("history_get", "audit_get") else "answered",
                ]
                for method in METHODS.values()
            ),
        ],
    )
    return markdown.page(
        "Methods of the control socket",
        "the table in `queueserver_manager.core.methods`",
        _INTRODUCTION,
        overview,
        _PLACES,
        _ADDED,
        "## Codes of refusals",
        "What programs look at instead of the text in `msg`. So have the refused items in `results` of a batch.",
        table(["code", "meaning"], [(code(one.value), one.meaning) for one in Code]),
        "## All methods",
        *map(_section, METHODS.values()),
    )


def _section(method: Method) -> str:
    facts = []
    if method.lock is not None:
        facts.append(f"Guarded by: {method.lock} lock")
    if method.prefix:
        facts.append(f"Error prefix: `{method.prefix}`")
    if method.failure:
        values = ", ".join(f"`{name}: {json.dumps(value)}`" for name, value in method.failure.items())
        facts.append(f"On refusal: {values}")
    blocks = [f"### {method.name}", method.summary]
    parameters = [parameter for parameter in method.parameters if parameter is not LOCK_KEY]
    if parameters:
        blocks.append(table(["parameter", "type", "default"], map(_parameter, parameters)))
    if facts:
        blocks.append("\n".join(f"- {fact}" for fact in facts))
    return "\n\n".join(blocks)


def _parameter(parameter: Parameter) -> tuple[str, str, str]:
    required = bool(parameter.missing) or parameter.required
    default = "" if parameter.default is None else code(json.dumps(parameter.default))
    return code(parameter.name), parameter.kind, "required" if required else default
