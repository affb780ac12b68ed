"""Workers as pods: an opening is one WorkerEnvironment, which the operator turns into one pod.

The launcher makes and deletes the WorkerEnvironment and watches it and its pod; `cluster.verdict` says what the state
of the two amounts to. While the API server is away nothing is concluded, so nothing ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from queueserver_common import loggers
from queueserver_common.cluster import COMPONENT_LABEL, QUEUE_SERVER_LABEL, environment_name
from queueserver_manager.cluster.api_server import ApiRefusedError, ApiServer
from queueserver_manager.cluster.environments import Environments
from queueserver_manager.cluster.object_watch import ObjectWatch
from queueserver_manager.cluster.verdict import Contradicted, Deleted, Evidence, Failed, Going, judge, waits_for
from queueserver_manager.cluster.views import EnvironmentView, PodView, belongs_to, environment_view, pod_view
from queueserver_manager.launch.interface import LaunchError, LaunchReports, Record, Sighting, Stranger, WorkerEnd
from queueserver_manager.launch.opening import Opening, make_record

_log = logging.getLogger(loggers.CLUSTER)

KEPT_FOR = 24 * 3600.0
"""Seconds for which the pod of a worker that failed is kept for its log, when nothing is opened meanwhile."""

_TIDY_PERIOD = 3600.0
"""Seconds between two looks for what was kept long enough."""

_PATIENCE = 10.0
"""Seconds after which an opening tells what it waits for."""

_SLACK = 3.0
"""Seconds after a deadline: the operator, who keeps it too, may have the better sentence."""


class KubernetesLauncher:
    """Implements `launch.interface.Launcher` with WorkerEnvironments."""

    def __init__(
        self,
        api: ApiServer,
        namespace: str,
        queue_server: str,
        reports: LaunchReports,
        opening_deadline: float,
        clock: Callable[[], float] = time.time,
        patience: float = _PATIENCE,
    ) -> None:
        """Seconds: `opening_deadline` until an opening's worker has to have introduced itself, `patience` until it
        is told what that waits for.
        """
        self._queue_server = queue_server
        self._reports = reports
        self._deadline = opening_deadline
        self._clock = clock
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._api = Environments(api, namespace, queue_server)
        self._openings: dict[str, Opening] = {}
        self._environments: dict[str, EnvironmentView] = {}
        self._pods: dict[str, PodView] = {}
        """By uid."""
        self._environments_asked: float | None = None
        self._pods_asked: float | None = None
        """Loop's times at which the last lists were asked for; None before the first."""
        self._settled: set[str] = set()
        """Uids of WorkerEnvironments that were offered, or whose worker has ended."""
        self._tidying: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        labels = {QUEUE_SERVER_LABEL: queue_server, COMPONENT_LABEL: "worker"}
        self._watches = (
            ObjectWatch(api, self._api.path, {}, self._environments_listed, self._environment_changed),
            ObjectWatch(api, f"/api/v1/namespaces/{namespace}/pods", labels, self._pods_listed, self._pod_changed),
        )

    def begin(self) -> None:
        """Begin to watch; to be called once the opening that the store knows is adopted."""
        for watch in self._watches:
            watch.begin()
        self._tidy()

    # The launcher ----------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """A pod cannot be made ahead of its opening."""

    async def start(self, opening_id: str, token: str, permissions: dict[str, Any] | None) -> Record:
        """Make the WorkerEnvironment of an opening; raises `LaunchError`. The operator has the configuration."""
        if alive := self._clear_remains(opening_id):
            raise LaunchError(
                f"The worker of an earlier opening has not ended: delete the WorkerEnvironment '{alive}' first."
            )
        opening = self._openings.get(opening_id) or self._expect(opening_id)
        await self._make(opening)
        return opening.record()

    def adopt(self, opening_id: str, record: Record | None) -> bool | None:
        """Take up an opening of an earlier manager; one whose WorkerEnvironment was not recorded is begun again."""
        opening = self._expect(opening_id)
        if record is None:
            self._in_background(self._make_again(opening))
        else:
            opening.made_at = self._loop.time()
            opening.environment_uid = str(record.get("environment_uid", ""))
            opening.learn_pod(str(record.get("pod_uid", "")), self._loop.time())
            self._settled.discard(opening.environment_uid)
            self._look(opening)
        return None

    def recognise(self, worker: Sighting) -> Record | None:
        """The worker introduced itself: it is no longer waited for."""
        opening = self._openings.get(worker.opening_id) or self._expect(worker.opening_id)
        opening.cancel_timers()
        if opening.made_at is None:
            opening.made_at = self._loop.time()
        if opening.pod_uid or not worker.pod_uid:
            return None
        opening.learn_pod(worker.pod_uid, self._loop.time())
        return opening.record()

    def identify(self, worker: Sighting) -> Record | Stranger:
        """A worker is ours when its WorkerEnvironment is there and its pod is the one that belongs to it."""
        if not self._all_listed:
            return Stranger.UNKNOWN
        name = environment_name(self._queue_server, worker.opening_id)
        environment = self._environments.get(name)
        if environment is None or environment.deleting or environment.opening_id != worker.opening_id:
            return Stranger.FOREIGN
        pod = self._pod_of(environment)
        if environment.uid in self._settled or (pod is not None and pod.uid != worker.pod_uid):
            return Stranger.FOREIGN
        return make_record(worker.opening_id, name, environment.uid, worker.pod_uid)

    def link_changed(self, opening_id: str) -> None:
        """Silence may be the rest of a proof."""
        if (opening := self._openings.get(opening_id)) is not None:
            self._look(opening)

    def let_go(self, opening_id: str) -> None:
        """Delete the WorkerEnvironment now: the pod is then removed with the end of the worker and not after it."""
        if (opening := self._openings.get(opening_id)) is not None:
            self._remove(opening)

    def kill(self, opening_id: str, grace: float, *, keep_remains: bool = False) -> None:
        """Ask the worker over the link, which reaches it at once, and delete its WorkerEnvironment.

        With `keep_remains` that happens only when the worker does not end by itself.
        """
        opening = self._openings.get(opening_id)
        if opening is None:
            opening = self._expect(opening_id)
            opening.made_at = self._loop.time()
        opening.cancel_timers()
        self._reports.ask_to_end(opening_id, grace, "The environment is ended by the manager")
        if keep_remains:
            opening.timers.append(self._loop.call_later(grace + _SLACK, self._remove, opening))
        else:
            opening.killed = True
            self._remove(opening)
        self._look(opening)

    async def close(self) -> None:
        """Stop watching; pods are left alone."""
        for opening in self._openings.values():
            opening.cancel_timers()
        if self._tidying is not None:
            self._tidying.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        for watch in self._watches:
            await watch.close()
        await self._api.close()

    # Openings --------------------------------------------------------------------------------------------------

    def _expect(self, opening_id: str) -> Opening:
        opening = Opening(opening_id, environment_name(self._queue_server, opening_id))
        self._openings[opening_id] = opening
        opening.timers.append(self._loop.call_later(self._deadline + _SLACK, self._overdue, opening))
        opening.timers.append(self._loop.call_later(self._patience, self._slow, opening))
        return opening

    async def _make(self, opening: Opening) -> None:
        try:
            async with asyncio.timeout(self._deadline):
                environment = await self._api.create(opening.name, opening.opening_id)
        except TimeoutError:
            self._give_up(opening)
            raise LaunchError(
                f"The Kubernetes API server gave no answer for {self._deadline:g} s; the environment is not opened."
            ) from None
        except ApiRefusedError as error:
            self._give_up(opening)
            raise LaunchError(_why_refused(error)) from None
        opening.made_at = self._loop.time()
        opening.environment_uid = environment.uid
        if opening.killed:
            opening.removed = False
            self._remove(opening)
        self._look(opening)

    async def _make_again(self, opening: Opening) -> None:
        try:
            if not opening.killed:
                await self._make(opening)
        except LaunchError as error:
            self._reports.worker_ended(WorkerEnd(opening.opening_id, f"its start was interrupted: {error}"))
            return
        if opening.opening_id in self._openings:
            self._reports.worker_found(opening.opening_id, opening.record())
            self._look(opening)

    def _give_up(self, opening: Opening) -> None:
        """It was not made, or nobody knows: then it goes."""
        opening.cancel_timers()
        self._openings.pop(opening.opening_id, None)
        self._api.delete(opening.name, "")

    def _slow(self, opening: Opening) -> None:
        opening.slow = True
        self._tell_what_it_waits_for(opening)

    def _tell_what_it_waits_for(self, opening: Opening) -> None:
        reason = waits_for(self._environments.get(opening.name), opening.pod)
        if opening.slow and reason != opening.awaited:
            opening.awaited = reason
            self._reports.opening_waits(opening.opening_id, reason)

    def _overdue(self, opening: Opening) -> None:
        environment = self._environments.get(opening.name)
        self._fail(
            opening,
            f"The environment did not open: its worker has not come up within {self._deadline:g} s. "
            + waits_for(environment, opening.pod),
        )

    def _fail(self, opening: Opening, reason: str) -> None:
        if opening.first("failed"):
            self._reports.opening_failed(opening.opening_id, reason)

    def _remove(self, opening: Opening) -> None:
        if not opening.removed:
            opening.removed = True
            self._api.delete(opening.name, opening.environment_uid)

    def _look(self, opening: Opening) -> None:
        """Conclude what can be concluded, from answers of the API server to this manager only."""
        if opening.made_at is None or not self._all_listed or opening.opening_id not in self._openings:
            return
        environment = self._take_what_is_seen(opening)
        if environment is None and not opening.seen:
            return  # it was made a moment ago, and the news of it is on its way
        heard = self._reports.is_heard(opening.opening_id)
        match judge(Evidence(opening.opening_id, environment, opening.pod, opening.pod_gone, opening.pod_uid, heard)):
            case WorkerEnd() as end:
                self._ended(opening, end)
            case Contradicted(cause):
                self._tell_ending(opening, cause)
                if opening.first("contradicted"):
                    _log.warning("%s, and the worker is still heard: it is told to end.", _sentence(cause))
                    self._reports.ask_to_end(opening.opening_id, _SLACK, _sentence(cause))
            case Deleted():
                if not opening.removed and opening.first("deleted"):
                    self._reports.environment_deleted(opening.opening_id)
            case Failed(reason):
                self._fail(opening, reason)
            case Going(ending):
                self._tell_ending(opening, ending)
                self._tell_what_it_waits_for(opening)

    def _tell_ending(self, opening: Opening, cause: str) -> None:
        if cause and not opening.killed and opening.first("ending"):
            self._reports.worker_ending(opening.opening_id, cause)

    def _take_what_is_seen(self, opening: Opening) -> EnvironmentView | None:
        assert self._environments_asked is not None
        assert self._pods_asked is not None
        environment = opening.take_environment(self._environments.get(opening.name), self._environments_asked)
        pod_uid = opening.pod_uid or (environment.pod_uid if environment else "")
        pod = self._pods.get(pod_uid) or self._pod_owned_by(opening.environment_uid)
        if opening.take_pod(pod, pod_uid, self._pods_asked, self._loop.time()):
            self._reports.worker_found(opening.opening_id, opening.record())
        return environment

    def _ended(self, opening: Opening, end: WorkerEnd) -> None:
        opening.cancel_timers()
        del self._openings[opening.opening_id]
        self._settled.add(opening.environment_uid)
        in_order = end.exit_code == 0 and "ending" not in opening.told
        if opening.killed or in_order or end.exit_code is None:
            self._remove(opening)
        else:
            _log.info("The WorkerEnvironment '%s' stays for its log until the next opening.", opening.name)
        self._reports.worker_ended(end)

    # What the API server shows -----------------------------------------------------------------------------------

    @property
    def _all_listed(self) -> bool:
        return self._environments_asked is not None and self._pods_asked is not None

    def _environments_listed(self, bodies: list[Mapping[str, Any]], asked: float) -> None:
        views = (environment_view(body) for body in bodies if belongs_to(body, self._queue_server))
        self._environments = {view.name: view for view in views}
        self._environments_asked = asked
        self._look_at_all()

    def _environment_changed(self, kind: str, body: Mapping[str, Any]) -> None:
        if not belongs_to(body, self._queue_server):
            return
        view = environment_view(body)
        if kind == "DELETED":
            self._environments.pop(view.name, None)
        else:
            self._environments[view.name] = view
        self._look_at_all()

    def _pods_listed(self, bodies: list[Mapping[str, Any]], asked: float) -> None:
        self._pods = {view.uid: view for view in map(pod_view, bodies)}
        self._pods_asked = asked
        self._look_at_all()

    def _pod_changed(self, kind: str, body: Mapping[str, Any]) -> None:
        view = pod_view(body)
        self._pods[view.uid] = view
        if kind == "DELETED":
            for opening in self._openings.values():  # the last state tells more than that it is gone
                if opening.pod is not None and opening.pod.uid == view.uid:
                    opening.pod = view
            del self._pods[view.uid]
        self._look_at_all()

    def _look_at_all(self) -> None:
        if not self._all_listed:
            return
        for opening in tuple(self._openings.values()):
            self._look(opening)
        self._look_at_others()

    def _tidy(self) -> None:
        if self._all_listed:
            self._look_at_others()
        self._tidying = self._loop.call_later(_TIDY_PERIOD, self._tidy)

    def _look_at_others(self) -> None:
        """WorkerEnvironments that are not (or no more) wanted here: remains, and what a person applied."""
        wanted = {opening.name for opening in self._openings.values()}
        for environment in tuple(self._environments.values()):
            if environment.name in wanted or environment.deleting:
                continue
            pod = self._pod_of(environment)
            ended = (pod is not None and pod.terminated is not None) or environment.final
            if ended:
                if self._clock() - environment.created > KEPT_FOR:
                    self._api.delete(environment.name, environment.uid)
            elif environment.uid in self._settled:
                continue
            elif environment.made_by_manager:
                if pod is None:  # left behind by a manager that ended in between
                    self._api.delete(environment.name, environment.uid)
            else:
                self._settled.add(environment.uid)
                if not wanted:
                    wanted.add(environment.name)
                    self._offer(environment)

    def _offer(self, environment: EnvironmentView) -> None:
        """Somebody applied it: taken when nothing is open; otherwise it comes to nothing, now and later."""
        _log.info("The WorkerEnvironment '%s' was applied by somebody.", environment.name)
        record = make_record(environment.opening_id, environment.name, environment.uid, "")
        self._reports.environment_applied(environment.opening_id, record)

    def _clear_remains(self, opening_id: str) -> str:
        """Delete what other openings left; the name of one whose worker has not ended, empty when there is none."""
        alive = ""
        for environment in self._environments.values():
            if environment.opening_id == opening_id:
                continue
            pod = self._pod_of(environment)
            if pod is None or pod.terminated is not None or environment.final:
                if environment.made_by_manager or environment.final or pod is not None:
                    self._api.delete(environment.name, environment.uid)
            else:
                alive = environment.name
        return alive

    def _pod_of(self, environment: EnvironmentView) -> PodView | None:
        return self._pods.get(environment.pod_uid) or self._pod_owned_by(environment.uid)

    def _pod_owned_by(self, environment_uid: str) -> PodView | None:
        if not environment_uid:
            return None
        return next((pod for pod in self._pods.values() if pod.environment_uid == environment_uid), None)

    def _in_background(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _why_refused(error: ApiRefusedError) -> str:
    text = str(error).rstrip(".")
    if error.status == httpx.codes.FORBIDDEN:
        return f"The manager may not open environments, its ServiceAccount lacks a right: {text}."
    if error.status == httpx.codes.NOT_FOUND:
        return f"The environment cannot be opened: {text}. Are QueueServer and the CRDs there?"
    return f"The Kubernetes API server refused the WorkerEnvironment: {text}."


def _sentence(cause: str) -> str:
    return cause[:1].upper() + cause[1:]
