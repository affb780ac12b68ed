"""What a launcher tells a worker: where to dial, who it is, what to load."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from queueserver_common.startup import StartupSource


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Configuration of one opening; handed over as one line of JSON on standard input, or as a file in a pod."""

    link_address: str
    """0MQ address that the manager's link socket listens on, as the worker reaches it."""
    opening_id: str
    token: str = field(repr=False)
    """Secret of the opening, sent in every `Hello`; empty in a cluster, where the link's keys tell who it is."""
    startup: StartupSource
    spool_dir: str
    """Directory in which the ends of items are kept until the manager has stored them."""
    instrument_lock: str = ""
    """Path of the lock file of the instrument; held as long as the process lives."""
    permissions: dict[str, Any] | None = None
    ignore_invalid_plans: bool = False
    device_max_depth: int = 0
    create_run_engine: bool = False
    """The worker makes the RunEngine RE."""
    keep_run_engine: bool = False
    """But not when the startup code has made one."""
    lists_file: str = ""
    """Path of `existing_plans_and_devices.yaml` to bring up to date; empty: write none."""
    update_lists: str = "ENVIRONMENT_OPEN"
    """NEVER, ENVIRONMENT_OPEN or ALWAYS (cli 2)."""
    orphan_timeout: float = 60.0
    """Seconds for which an idle worker waits for its manager to come back; 0 waits for ever."""
    busy_orphan_timeout: float = 0.0
    """The same with a plan or task in hand; 0 waits for ever."""
    packaged_store_socket: str = ""
    """Socket of the packaged server that a worker left alone stops when it leaves as the last one; empty: none."""
    link_server_public_key: str = ""
    """Public CURVE key of the manager's link socket; empty: the link is not encrypted."""
    link_key_file: str = ""
    """File with the worker's private CURVE key; the manager admits exactly this key."""
    termination_message: str = ""
    """File in which the last unstored end of an item is kept for whoever finds the container ended; empty: none."""
    startup_revision: str = ""
    """Revision of the startup code, reported when it is loaded; empty: made from the files' content."""

    kernel: dict[str, Any] | None = None
    """The worker runs in an IPython kernel with these settings: `ip`, `connection_file`, `connection_dir`, `ports` by
    channel, `matplotlib`, `profile_startup` (directory of an IPython profile whose startup code goes before the script
    or module), all optional; None: in plain Python."""

    def to_json(self) -> str:
        """One line of JSON; contains the token."""
        return json.dumps(asdict(self) | {"startup": self.startup.as_mapping()})

    @classmethod
    def from_json(cls, text: str) -> WorkerConfig:
        """Read what `to_json` wrote; raises ValueError with a sentence when it is not that.

        What a later release added is left out: in a cluster the worker's image may be older than who wrote this.
        """
        known = {declared.name for declared in fields(cls)}
        try:
            values = {name: value for name, value in dict(json.loads(text)).items() if name in known}
            return cls(**(values | {"startup": StartupSource.parse(values["startup"])}))
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"the worker's configuration cannot be read: {error}") from None
