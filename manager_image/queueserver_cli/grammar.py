"""The commands of `qserver`: words in, one request out, nothing sent or read (cli.md 1.3)."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from queueserver_cli.arguments import (
    Argument,
    Choice,
    CommandError,
    Destination,
    File,
    Flags,
    HistoryLimit,
    IgnoredWords,
    Instruction,
    Item,
    ItemUid,
    ModePairs,
    NamedWords,
    OptionalWord,
    Params,
    Source,
    Word,
    point_in_time,
    whole_number,
)

USER = "qserver-cli"
USER_GROUP = "primary"

_GROUP: Params = {"user_group": USER_GROUP}
_SUBMITTER: Params = {"user": USER, "user_group": USER_GROUP}
_LOCKER: Params = {"user": USER}


@dataclass(frozen=True)
class Command:
    """One row of the command table."""

    words: str
    method: str
    summary: str
    arguments: tuple[Argument, ...] = ()
    params: Mapping[str, object] = field(default_factory=dict)
    takes_lock_key: bool = False
    """Whether the method accepts `lock_key` (zmq-api 6); the key is then sent when one is given."""
    repeated: bool = False
    """The request is sent once a second until Ctrl-C."""

    @property
    def usage(self) -> str:
        """The command as it is typed, without the name of the program."""
        return " ".join(filter(None, (self.words, *(argument.usage for argument in self.arguments))))


@dataclass(frozen=True)
class Request:
    """What a command asks of the manager. Values of `params` may be `FileContent`, to be read before sending."""

    method: str
    params: Params
    repeated: bool = False


COMMANDS: tuple[Command, ...] = (
    Command("monitor", "ping", "Show the status every second until Ctrl-C", repeated=True),
    Command("ping", "ping", "Ask whether the manager answers"),
    Command("status", "status", "Status of the manager"),
    Command("config", "config_get", "Configuration of the manager"),
    Command("environment open", "environment_open", "Open the worker environment", takes_lock_key=True),
    Command("environment close", "environment_close", "Close the worker environment", takes_lock_key=True),
    Command("environment destroy", "environment_destroy", "Kill the worker environment", takes_lock_key=True),
    Command(
        "environment update",
        "environment_update",
        "Update the lists of plans and devices from the worker's namespace",
        (Choice({"background": {"run_in_background": True}}),),
        takes_lock_key=True,
    ),
    Command("existing plans", "plans_existing", "Plans that exist in the worker"),
    Command("existing devices", "devices_existing", "Devices that exist in the worker"),
    Command("allowed plans", "plans_allowed", "Plans that you may submit", params=_GROUP),
    Command("allowed devices", "devices_allowed", "Devices that your plans may use", params=_GROUP),
    Command(
        "permissions reload",
        "permissions_reload",
        "Read the permissions again, with 'lists' also the existing plans and devices",
        (Choice({"lists": {"restore_plans_devices": True}}),),
        takes_lock_key=True,
    ),
    Command("permissions get", "permissions_get", "Permissions of the user groups"),
    Command(
        "permissions set",
        "permissions_set",
        "Replace the permissions by those in a YAML file",
        (File("user_group_permissions", "FILE", "yaml"),),
        takes_lock_key=True,
    ),
    Command(
        "queue add plan",
        "queue_item_add",
        "Add a plan to the queue, at the back unless a place is given",
        (Destination("pos", following=1), Item("plan")),
        _SUBMITTER,
        takes_lock_key=True,
    ),
    Command(
        "queue add instruction",
        "queue_item_add",
        "Add an instruction (queue-stop) to the queue",
        (Destination("pos", following=1), Instruction()),
        _SUBMITTER,
        takes_lock_key=True,
    ),
    Command(
        "queue update plan",
        "queue_item_update",
        "Change an item, which keeps its UID",
        (ItemUid(), Item("plan")),
        {**_SUBMITTER, "replace": False},
        takes_lock_key=True,
    ),
    Command(
        "queue update instruction",
        "queue_item_update",
        "Change an item into an instruction, with the same UID",
        (ItemUid(), Instruction()),
        {**_SUBMITTER, "replace": False},
        takes_lock_key=True,
    ),
    Command(
        "queue replace plan",
        "queue_item_update",
        "Replace an item by a plan with a new UID",
        (ItemUid(), Item("plan")),
        {**_SUBMITTER, "replace": True},
        takes_lock_key=True,
    ),
    Command(
        "queue replace instruction",
        "queue_item_update",
        "Replace an item by an instruction with a new UID",
        (ItemUid(), Instruction()),
        {**_SUBMITTER, "replace": True},
        takes_lock_key=True,
    ),
    Command(
        "queue execute plan",
        "queue_item_execute",
        "Run a plan at once, outside of the queue",
        (Item("plan"),),
        _SUBMITTER,
        takes_lock_key=True,
    ),
    Command(
        "queue execute instruction",
        "queue_item_execute",
        "Execute an instruction at once",
        (Instruction(),),
        _SUBMITTER,
        takes_lock_key=True,
    ),
    Command(
        "validate plan",
        "validate",
        "Tell whether a plan could be added to the queue, without adding it",
        (Item("plan", listed=True),),
        _SUBMITTER,
    ),
    Command(
        "validate file",
        "validate",
        "The same for the list of items in a YAML or JSON file",
        (File("items", "FILE", "yaml"),),
        _SUBMITTER,
    ),
    Command("queue get", "queue_get", "Items in the queue and the running item"),
    Command("queue clear", "queue_clear", "Remove all items from the queue", takes_lock_key=True),
    Command("queue item get", "queue_item_get", "One item, the last unless another is named", (Source(),)),
    Command(
        "queue item remove",
        "queue_item_remove",
        "Remove one item, the last unless another is named",
        (Source(),),
        takes_lock_key=True,
    ),
    Command(
        "queue item move",
        "queue_item_move",
        "Move an item to another place in the queue",
        (Source(required=True), Destination("pos_dest", required=True)),
        takes_lock_key=True,
    ),
    Command("queue start", "queue_start", "Start the queue", takes_lock_key=True),
    Command("queue stop", "queue_stop", "Stop the queue after the running item", takes_lock_key=True),
    Command("queue stop cancel", "queue_stop_cancel", "Let the queue go on after all", takes_lock_key=True),
    Command(
        "queue autostart",
        "queue_autostart",
        "Start the queue by itself whenever it holds items",
        (Choice({"enable": {"enable": True}, "disable": {"enable": False}}, required=True),),
        takes_lock_key=True,
    ),
    Command(
        "queue mode set",
        "queue_mode_set",
        "Set queue modes, e.g. 'loop True' or 'ignore_failures False'",
        (ModePairs(),),
        takes_lock_key=True,
    ),
    Command(
        "re pause",
        "re_pause",
        "Pause the running plan, at the next checkpoint (deferred) unless told otherwise",
        (Choice({"deferred": {"option": "deferred"}, "immediate": {"option": "immediate"}}),),
        {"option": "deferred"},
        takes_lock_key=True,
    ),
    Command("re resume", "re_resume", "Resume the paused plan", (IgnoredWords(),), takes_lock_key=True),
    Command("re stop", "re_stop", "End the paused plan as a success", (IgnoredWords(),), takes_lock_key=True),
    Command("re abort", "re_abort", "End the paused plan as a failure", (IgnoredWords(),), takes_lock_key=True),
    Command("re halt", "re_halt", "End the paused plan without its clean-up", (IgnoredWords(),), takes_lock_key=True),
    Command(
        "re runs",
        "re_runs",
        "Runs of the running plan",
        (Choice({option: {"option": option} for option in ("active", "open", "closed")}),),
    ),
    Command("re metadata", "re_metadata", "Metadata of the RunEngine"),
    Command(
        "history get",
        "history_get",
        "Items that have been executed; or those of a page, plan, user, exit status or time",
        (
            NamedWords(
                {
                    "offset": ("offset", whole_number),
                    "limit": ("limit", whole_number),
                    "newest-first": ("newest_first", None),
                    "plan": ("plan", str),
                    "user": ("user", str),
                    "exit-status": ("exit_status", str),
                    "from": ("time_from", point_in_time),
                    "to": ("time_to", point_in_time),
                    "uid": ("item_uid", str),
                }
            ),
        ),
    ),
    Command(
        "audit",
        "audit_get",
        "Requests that changed something, newest first, and on whose behalf",
        (NamedWords({"limit": ("limit", whole_number), "before": ("before", str)}),),
    ),
    Command(
        "console",
        "console_get",
        "Last console messages of manager and worker, or those after the message with a number",
        (NamedWords({"after": ("after", whole_number), "limit": ("limit", whole_number)}),),
    ),
    Command(
        "history clear",
        "history_clear",
        "Clear the history; keep the newest COUNT items, or those newer than UID",
        (HistoryLimit(),),
        takes_lock_key=True,
    ),
    Command(
        "function execute",
        "function_execute",
        "Call a function in the worker",
        (Item("function"), Choice({"background": {"run_in_background": True}})),
        {**_SUBMITTER, "run_in_background": False},
        takes_lock_key=True,
    ),
    Command(
        "script upload",
        "script_upload",
        "Execute a script in the worker's namespace",
        (
            File("script", "FILE", "text"),
            Flags(
                {
                    "background": {"run_in_background": True},
                    "update-re": {"update_re": True},
                    "keep-lists": {"update_lists": False},
                }
            ),
        ),
        {"run_in_background": False, "update_re": False, "update_lists": True, "lock_key": None},
        takes_lock_key=True,
    ),
    Command("task result", "task_result", "Result of a function or script", (Word("task_uid", "UID"),)),
    Command("task status", "task_status", "Whether a function or script is still running", (Word("task_uid", "UID"),)),
    Command("task list", "task_list", "Running tasks, and those whose results are kept"),
    Command(
        "task cancel",
        "task_cancel",
        "End a task in the background",
        (Word("task_uid", "UID"),),
        takes_lock_key=True,
    ),
    Command(
        "kernel interrupt",
        "kernel_interrupt",
        "Interrupt the IPython kernel, even if it runs a task or a plan",
        (Flags({"task": {"interrupt_task": True}, "plan": {"interrupt_plan": True}}),),
        takes_lock_key=True,
    ),
    Command(
        "lock environment",
        "lock",
        "Lock the environment with the key of option -k",
        (OptionalWord("note", "NOTE"),),
        {**_LOCKER, "environment": True},
        takes_lock_key=True,
    ),
    Command(
        "lock queue",
        "lock",
        "Lock the queue with the key of option -k",
        (OptionalWord("note", "NOTE"),),
        {**_LOCKER, "queue": True},
        takes_lock_key=True,
    ),
    Command(
        "lock all",
        "lock",
        "Lock the environment and the queue with the key of option -k",
        (OptionalWord("note", "NOTE"),),
        {**_LOCKER, "environment": True, "queue": True},
        takes_lock_key=True,
    ),
    Command("lock info", "lock_info", "Who holds the lock; with -k, check the key", takes_lock_key=True),
    Command("unlock", "unlock", "Unlock with the key of option -k", takes_lock_key=True),
    Command(
        "manager stop",
        "manager_stop",
        "Stop the manager, if it is idle or ('safe off') whatever it does",
        (Choice({"safe on": {"option": "safe_on"}, "safe off": {"option": "safe_off"}}),),
    ),
    Command("manager kill test", "manager_kill", "Make the manager hang (for tests of its recovery)"),
)


def parse(words: Sequence[str], *, lock_key: str | None = None) -> Request:
    """The request that the words stand for; raises `CommandError` with what would be right."""
    command = _find(words)
    left = list(words[len(command.words.split()) :])
    params: Params = dict(command.params)
    try:
        for argument in command.arguments:
            argument.take(left, params)
        if left:
            raise CommandError(f"unexpected {' '.join(left)!r}")
    except CommandError as error:
        raise CommandError(
            f"Request {textwrap.shorten(' '.join(words), 200)!r}: {error}. Usage: qserver {command.usage}"
        ) from None
    if command.takes_lock_key and lock_key is not None:
        params["lock_key"] = lock_key
    return Request(command.method, params, command.repeated)


def _find(words: Sequence[str]) -> Command:
    matching = [command for command in COMMANDS if list(words[: len(command.words.split())]) == command.words.split()]
    if matching:
        return max(matching, key=lambda command: len(command.words))
    known = 0
    while any(list(words[: known + 1]) == command.words.split()[: known + 1] for command in COMMANDS):
        known += 1
        if known == len(words):
            break
    prefix = list(words[:known])
    candidates = _unique(c.words.split()[known] for c in COMMANDS if c.words.split()[:known] == prefix)
    if known == 0:
        raise CommandError(f"Unrecognized command {' '.join(words[:1])!r}: {_suggestion(words[0], candidates)}")
    given = words[known] if known < len(words) else None
    said = " ".join([*prefix, given] if given is not None else prefix)
    problem = "is not supported" if given is not None else "is incomplete"
    raise CommandError(f"Request {said!r} {problem}: {_suggestion(given, candidates, after=' '.join(prefix))}")


def _suggestion(word: str | None, candidates: list[str], after: str = "") -> str:
    close = difflib.get_close_matches(word, candidates, n=1) if word else []
    if close:
        return f"the nearest command is {' '.join(filter(None, (after, close[0])))!r}"
    place = f"after {after!r}, " if after else ""
    return f"{place}expected {' | '.join(candidates)}"


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
