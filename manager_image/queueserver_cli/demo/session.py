"""One client's view of a manager: requests on the control socket, status and console from the info socket."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import zmq

from queueserver_cli.client import CommunicationError, ManagerClient, decode
from queueserver_cli.demo.errors import DemoError
from queueserver_cli.demo.manager_process import ManagerProcess
from queueserver_cli.demo.progress import Progress

REQUEST_TIMEOUT_S = 10.0

_PULSE_S = 0.1
"""How long to wait for messages before the view is drawn again and the manager's process is looked at."""


class Session:
    """Follows a manager and sends it requests. `on_change` is called whenever there may be something new to show."""

    def __init__(self, manager: ManagerProcess, progress: Progress, on_change: Callable[[], None]) -> None:
        self._manager = manager
        self._progress = progress
        self._on_change = on_change
        self._seen_uids: dict[str, str] = {}
        self._client = ManagerClient(manager.control_address, receive_timeout_s=REQUEST_TIMEOUT_S)
        self._context = zmq.Context()
        self._info = self._context.socket(zmq.SUB)
        self._info.setsockopt(zmq.LINGER, 0)
        self._info.setsockopt(zmq.SUBSCRIBE, b"QS_")
        self._info.connect(manager.info_address)

    @property
    def status(self) -> Mapping[str, Any]:
        """The newest status; empty before the first one."""
        return self._progress.status

    def request(self, method: str, **params: Any) -> dict[str, Any]:
        """The reply to a request that the manager accepts; raises `DemoError` when it does not."""
        try:
            reply = self._client.request(method, params)
        except CommunicationError as error:
            raise DemoError(f"No answer to {method!r}: {error}. The manager's log: {self._manager.log}") from None
        if reply.get("success") is False:
            raise DemoError(f"The manager refused {method!r}: {reply['msg']} The manager's log: {self._manager.log}")
        return reply

    def wait_for(self, what: str, condition: Callable[[], bool], *, within_s: float) -> None:
        """Follow the manager until the condition holds; raises `DemoError` after the deadline.

        `what` completes "Waited ... for".
        """
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                raise DemoError(f"Waited {within_s:g} s in vain for {what}. The manager's log: {self._manager.log}")
            self._follow(_PULSE_S)

    def watch(self, seconds: float) -> None:
        """Follow the manager for a while, for people to see."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._follow(min(left, _PULSE_S))

    def close(self) -> None:
        """Close both connections."""
        self._client.close()
        self._info.close()
        self._context.term()

    def _follow(self, timeout_s: float) -> None:
        """Take in the messages that have come, waiting for the first one at most `timeout_s`."""
        self._manager.check()
        if self._info.poll(round(timeout_s * 1000)):
            newest_status = None
            while self._info.poll(0):
                topic, frame = self._info.recv_multipart()
                message = decode(frame, "json")["msg"]
                if topic == b"QS_Info":
                    newest_status = message["status"]
                else:
                    self._progress.see_console(message)
            if newest_status is not None:
                self._see_status(newest_status)
        self._on_change()

    def _see_status(self, status: Mapping[str, Any]) -> None:
        """Ask for the parts that the status says have changed."""
        self._progress.see_status(status)
        if self._is_new(status, "run_list_uid"):
            self._progress.see_runs(self.request("re_runs")["run_list"])
        if self._is_new(status, "plan_history_uid"):  # last: how a plan ended is the final word on it
            self._progress.see_history(self.request("history_get")["items"])

    def _is_new(self, status: Mapping[str, Any], uid: str) -> bool:
        known = self._seen_uids.get(uid)
        self._seen_uids[uid] = status[uid]
        return bool(status[uid] != known)
