"""What the launcher knows about one opening in a cluster, as its views of the API server's objects change. No I/O."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from queueserver_manager.cluster.views import EnvironmentView, PodView
from queueserver_manager.launch.interface import Record


@dataclass(slots=True)
class Opening:
    """The opening that this manager wants, or is about to end. Times are the loop's."""

    opening_id: str
    name: str
    """Of the WorkerEnvironment."""
    made_at: float | None = None
    """When its WorkerEnvironment was known to be there; None while it is not."""
    seen: bool = False
    """That the WorkerEnvironment is missing means that it was deleted."""
    environment_uid: str = ""
    pod_uid: str = ""
    pod_known_at: float = 0.0
    pod: PodView | None = None
    """As it was last seen."""
    pod_gone: bool = False
    """It was there, and is no more."""
    killed: bool = False
    removed: bool = False
    """Its WorkerEnvironment is being deleted by this manager."""
    told: set[str] = field(default_factory=set)
    """Reports that are made once."""
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    slow: bool = False
    """It takes long: what it waits for is told."""
    awaited: str = ""
    """What it waits for, as it was told last."""

    def take_environment(self, found: EnvironmentView | None, asked: float) -> EnvironmentView | None:
        """Take the object of this opening's name from a view whose list was asked for at `asked`; None: it is gone.

        One that was made after the list was asked for may be missing in it and yet be there.
        """
        assert self.made_at is not None
        if found is not None and found.opening_id != self.opening_id:
            found = None
        if found is not None and self.environment_uid and found.uid != self.environment_uid:
            found = None  # this opening's was deleted, and somebody made another one
        self.seen = self.seen or found is not None or asked > self.made_at
        if found is not None:
            self.environment_uid = found.uid
        return found

    def take_pod(self, found: PodView | None, uid: str, asked: float, now: float) -> bool:
        """Take the opening's only pod, whose uid may be known from elsewhere; true when its uid is news."""
        if found is not None:
            self.pod, self.pod_gone = found, False
            uid = found.uid
        elif self.pod is not None or (self.pod_uid and asked > self.pod_known_at):
            self.pod_gone = True
        if self.pod_uid or not uid:
            return False
        self.learn_pod(uid, now)
        return True

    def learn_pod(self, uid: str, now: float) -> None:
        """The uid of the pod is known."""
        self.pod_uid, self.pod_known_at = uid, now

    def record(self) -> Record:
        """What is stored of it."""
        return make_record(self.opening_id, self.name, self.environment_uid, self.pod_uid)

    def first(self, report: str) -> bool:
        """Whether a report is made for the first time."""
        if report in self.told:
            return False
        self.told.add(report)
        return True

    def cancel_timers(self) -> None:
        """Nothing is waited for any more."""
        self.slow = False
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()


def make_record(opening_id: str, name: str, environment_uid: str, pod_uid: str) -> Record:
    """What is stored of an opening."""
    return {"opening_id": opening_id, "environment": name, "environment_uid": environment_uid, "pod_uid": pod_uid}
