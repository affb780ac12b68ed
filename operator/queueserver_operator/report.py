"""What the manager says of itself in the status of its QueueServer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from queueserver_operator.reading import flag, integer, text

_IN_HAND = ("starting_queue", "executing_queue", "executing_task", "paused")
_OPEN = ("idle", "reserved", "executing_plan", "executing_task")


@dataclass(frozen=True, slots=True)
class Report:
    """`status.state` and `status.queue`; what the manager said last, even if it is away now."""

    manager: str
    """manager_state (zmq-api 3.1); empty: it has said nothing yet."""
    environment: str
    """worker_environment_state (zmq-api 3.2)."""
    link: str
    """connected, silent or none."""
    environment_name: str
    """The WorkerEnvironment that the link belongs to."""
    running: str
    """Name of the item in hand."""
    items: int
    redis_away: bool = False
    """The manager has lost Redis."""

    @classmethod
    def parse(cls, queue_server: Mapping[str, Any]) -> Report:
        """Read it from a QueueServer; total."""
        return cls(
            manager=text(queue_server, "status", "state", "manager"),
            environment=text(queue_server, "status", "state", "environment"),
            link=text(queue_server, "status", "state", "link"),
            environment_name=text(queue_server, "status", "state", "environmentName"),
            running=text(queue_server, "status", "queue", "running"),
            items=integer(queue_server, "status", "queue", "items"),
            redis_away=not flag(queue_server, "status", "state", "redisConnected", default=True),
        )

    @property
    def in_hand(self) -> bool:
        """A plan or task is in hand; also a paused one."""
        return bool(self.running) or self.manager in _IN_HAND

    @property
    def busy(self) -> bool:
        """The manager is in the middle of something that a restart would disturb."""
        return bool(self.running) or self.manager not in ("", "idle")

    def linked_to(self, environment: str) -> bool:
        """A worker of this environment has dialled in and was not given up."""
        return self.environment_name == environment and self.link in ("connected", "silent")

    def open(self, environment: str) -> bool:
        """The startup code of this environment is loaded."""
        return self.linked_to(environment) and self.environment in _OPEN


NO_REPORT = Report("", "", "", "", "", 0)
