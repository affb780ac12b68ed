"""The core: state, lists, and the operations on them that decisions share.

Decisions are functions over it: requests of clients (`requests`), what worker and launcher report (`worker_events`,
`recovery`), the wish that the process ends (`termination`). Each gives a `Decision`; the service makes
its writes durable and then carries out its effects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from queueserver_common.link.messages import CommandBody, Run, SetPermissions
from queueserver_common.permissions import Permissions
from queueserver_manager.core import items
from queueserver_manager.core.decision import Decision
from queueserver_manager.core.effects import TellWorker
from queueserver_manager.core.lists import PlansAndDevices, ReadFiles
from queueserver_manager.core.model import UID_NAMES, EnvironmentStage, LinkState, State
from queueserver_manager.core.refusal import Code, Refusal
from queueserver_manager.core.states import ManagerState, check_transition
from queueserver_manager.core.writes import SetField

ROOT = "root"
"""The group whose rules hold for all groups."""


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """What decisions depend on besides state and input."""

    destroy_grace: float = 5.0
    """Seconds that a worker gets to abort its plan and leave when its environment is destroyed."""
    secret_openings: bool = True
    """Each opening has a secret that its launcher hands to the worker; else the link's keys tell who a worker is."""
    permissions_from_worker: bool = False
    """The source of permissions is the file beside the worker's startup code."""
    workers_wait: bool = False
    """Also an idle worker waits for the next manager without limit: it is left alone when this one is asked to end."""
    history_limit: int = 10_000
    """Entries that the history holds at most; 0: without limit."""
    ipython_kernel: bool = False
    """Workers run in an IPython kernel."""
    audit_limit: int = 10_000
    """Entries that the audit log holds at most; 0: there is none."""
    task_results_time: float = 86_400.0
    """Seconds for which the results of tasks are kept."""
    task_results_limit: int = 1000
    """Results of tasks that are kept at most."""
    emergency_lock_key: str = field(default="", repr=False)
    """Key that unlocks whatever the lock key is; empty: there is none."""
    root_submits: bool = True
    """Whether clients may name the group `root`."""
    permitted_metadata: tuple[str, ...] = ("/",)
    """Paths of the RunEngine's metadata that clients may read."""
    permissions_from_file: bool = True
    """Whether `permissions_reload` may read the permissions file."""


class Core:
    """State, lists and the rules over them."""

    def __init__(self, new_uid: Callable[[], str], settings: CoreSettings | None = None) -> None:
        self.new_uid = new_uid
        self.settings = settings or CoreSettings()
        self.lists = PlansAndDevices()
        self.state = State(uids={name: new_uid() for name in UID_NAMES})
        self.commands: dict[str, CommandBody] = {}
        """Commands to the worker that wait for an answer."""
        self.history_numbers: dict[str, int] = {}
        """Numbers of the history entries that the request in hand names by uid; looked up in the store before it."""
        self.read_files: ReadFiles | None = None
        """What `permissions_reload` found in files; read before the request in hand is decided."""
        self.recorded: deque[str] = deque(maxlen=200)
        """Items whose end this manager has written to the history; more than a worker's ledger holds."""
        self.store_connected = True
        self.store_problem = ""
        """Why the store was lost, a sentence; meaningless while it is connected."""
        self._version = 0

    def touch(self) -> None:
        """The status may have changed without a decision."""
        self._version += 1

    @property
    def version(self) -> int:
        """Grows with every decision that may change the status."""
        return self._version

    def new_secret(self) -> str:
        """Secret of an opening; empty where there is no way to hand it to the worker alone."""
        return self.new_uid() if self.settings.secret_openings else ""

    # Operations that handlers share ----------------------------------------------------------------------------

    def enter(self, new: ManagerState) -> None:
        """Move the state machine."""
        check_transition(self.state.manager_state, new)
        self.state.manager_state = new

    def renew(self, *names: str) -> None:
        """Give new values to uids of the status."""
        for name in names:
            self.state.uids[name] = self.new_uid()

    def set_runs(self, runs: tuple[Run, ...]) -> None:
        """Take the list of runs of the item in hand."""
        if runs != self.state.runs:
            self.state.runs = runs
            self.renew("run_list_uid")

    def store_environment(self, d: Decision) -> None:
        """Write the record of the opening."""
        environment = self.state.environment
        d.write(SetField("environment", None if environment is None else environment.encode()))

    def leave_command(self) -> str:
        """Id of the command that asks the worker of the present opening to leave; the same at every repetition."""
        assert self.state.environment is not None
        return f"leave-{self.state.environment.opening_id}"

    def worker_can_run_plans(self) -> bool:
        """Whether an item could be sent now."""
        state = self.state
        return (
            state.environment is not None
            and state.environment.stage is EnvironmentStage.OPEN
            and state.environment.ready
            and not state.worker_ending
            and state.link is LinkState.ATTACHED
            and state.re_state is not None
        )

    def check_worker_free(self) -> None:
        """Refusals of `queue_start` and `queue_item_execute`, in the contract's order (zmq-api 5.7)."""
        state = self.state
        if not state.environment_exists:
            raise Refusal("RE Worker environment does not exist.", code=Code.NO_ENVIRONMENT, prefixed=False)
        if state.link is LinkState.ATTACHED and state.re_state is None:
            raise Refusal(
                "Run Engine is not found in the RE Worker environment.", code=Code.NO_RUN_ENGINE, prefixed=False
            )
        if state.manager_state is not ManagerState.IDLE or state.leaving:
            raise Refusal("RE Manager is busy.", code=Code.WRONG_STATE, prefixed=False)
        self.check_kernel()
        if state.link is not LinkState.ATTACHED:
            raise Refusal("Timeout occurred while processing the request", code=Code.WORKER_SILENT, prefixed=False)

    def check_kernel(self, before: str = "") -> None:
        """Refuse what needs the kernel's main thread while somebody at a console has it; `before` begins the text."""
        if self.state.snapshot is not None and self.state.snapshot.taken_by_person:
            raise Refusal(f"{before}Worker IPython kernel is busy", code=Code.WRONG_STATE, prefixed=False)

    # Lists and permissions -------------------------------------------------------------------------------------

    def may_submit(self, group: object) -> bool:
        """Whether clients may name the group."""
        return self.lists.knows_group(group) and (group != ROOT or self.settings.root_submits)

    def set_existing(self, plans: bytes, devices: bytes) -> list[SetField]:
        """Take existing lists; renews uids only where a list really differs. Returns what the store is to keep."""
        plans_changed, devices_changed = self.lists.set_existing(plans, devices)
        writes = []
        if plans_changed:
            self.renew("plans_existing_uid", "plans_allowed_uid")
            writes.append(SetField("blob:existing_plans", plans))
        if devices_changed:
            self.renew("devices_existing_uid")
            writes.append(SetField("blob:existing_devices", devices))
        if plans_changed or devices_changed:
            self.renew("plans_allowed_uid", "devices_allowed_uid")
        return writes

    def take_permissions_of_source(self, permissions: Permissions) -> Decision:
        """Take permissions as their source (a file) has them; the source is remembered to notice when it changes."""
        decision = self.set_permissions(permissions)
        self.state.permissions_source = permissions.digest()
        decision.write(SetField("permissions_source", items.encode(self.state.permissions_source)))
        return decision

    def set_permissions(self, permissions: Permissions) -> Decision:
        """Take other permissions; the allowed lists are computed anew and the worker is told."""
        decision = Decision()
        if permissions == self.lists.permissions:
            return decision
        self.lists.set_permissions(permissions)
        self.renew("plans_allowed_uid", "devices_allowed_uid")
        text = items.encode(permissions.as_mapping())
        decision.write(SetField("permissions", text))
        if self.state.environment is not None and self.state.link is LinkState.ATTACHED:
            decision.cause(TellWorker(self.new_uid(), SetPermissions(text)))
            self.renew("task_results_uid")  # clients know it to change here (zmq-api 2.2)
        self._version += 1
        return decision
