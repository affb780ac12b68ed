"""What a launcher tells a worker: where to dial, who it is, what to load."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from queueserver_common.startup import StartupSource


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Configuration of one opening; handed over as one line of JSON on standard input, or as a file in a pod."""

    link_address: str
    """0MQ address that the manager's link socket is bound to."""
    opening_id: str
    token: str = field(repr=False)
    """Secret of the opening, sent in every `Hello`."""
    startup: StartupSource
    spool_dir: str
    """Directory in which the ends of items are kept until the manager has stored them."""
    instrument_lock: str = ""
    """Path of the lock file of the instrument; held as long as the process lives."""
    permissions: dict[str, Any] | None = None
    ignore_invalid_plans: bool = False
    device_max_depth: int = 0
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

    def to_json(self) -> str:
        """One line of JSON; contains the token."""
        return json.dumps(asdict(self) | {"startup": self.startup.as_mapping()})

    @classmethod
    def from_json(cls, text: str) -> WorkerConfig:
        """Read what `to_json` wrote; raises ValueError with a sentence when it is not that."""
        try:
            values = json.loads(text)
            return cls(**(values | {"startup": StartupSource.parse(values["startup"])}))
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"the worker's configuration cannot be read: {error}") from None
