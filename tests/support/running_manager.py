"""A real `start-re-manager` for tests: started in temporary directories, asked, watched, killed, and cleaned up.

    with RunningManager() as manager:
        manager.open_environment()
        manager.call("queue_item_add", item=..., user="Tester", user_group="primary")
        manager.wait_status(lambda status: status["items_in_history"] == 1)

Waiting follows the published status messages and has a deadline always. Leaving the `with` block stops the manager in
order and asserts that none of its processes is left.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgpack
import zmq

from codes_of_refusals import without_codes
from process_table import free_ports, lives, processes_with, waits_on_standard_input

Status = dict[str, Any]

START_DEADLINE = 20.0
"""Seconds until the first answer."""
WAIT_DEADLINE = 20.0
"""Seconds that `wait_status` waits when nothing else is said."""
STOP_DEADLINE = 15.0
"""Seconds for an orderly end."""

SIMULATED_PROFILE = Path(__file__).resolve().parents[2] / "sim_profile"

_LOG_FOLLOWS = "The log of the manager ends with:"

_SILENCE = 0.25
"""Seconds without a published status after which it is asked for."""


class NoAnswer(AssertionError):
    """The manager did not answer a request in time."""


class RunningManager:
    """One data directory with a manager at fixed addresses; it may be started, ended and started again."""

    def __init__(
        self,
        *,
        options: Sequence[str] = (),
        startup_dir: Path | None = None,
        startup_files: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        encoding: str = "json",
        publish: bool = True,
    ) -> None:
        """`startup_files`: texts of the files of a startup directory of its own, with the permissions of the profile.

        Without `startup_dir` and `startup_files` the simulated profile is loaded. `options` go to the command line as
        they are, and so does the `environment`, which replaces all `QSERVER_…` variables of this process.
        """
        self.directory = Path(tempfile.mkdtemp(prefix="qst-", dir="/tmp"))  # short: it holds unix sockets
        self.data_dir = self.directory / "d"
        self.runtime_dir = self.directory / "r"
        self.encoding = encoding
        self.publish = publish
        control, info = free_ports(2)
        self.control_address = f"tcp://127.0.0.1:{control}"
        self.info_address = f"tcp://127.0.0.1:{info}"
        self.options = list(options)
        self.startup_dir = startup_dir
        if startup_files is not None:
            self.startup_dir = self.directory / "startup"
            self.startup_dir.mkdir()
            shutil.copy(SIMULATED_PROFILE / "user_group_permissions.yaml", self.startup_dir)
            for name, text in startup_files.items():
                (self.startup_dir / name).write_text(text)
        self.seen: list[Status] = []
        """The published statuses in their order; `wait_status` and `take_statuses` extend it, tests may clear it."""
        self._mark = f"QSERVER_TEST_MANAGER={uuid.uuid4()}"
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("QSERVER_")}
        self._environment.update(environment or {})
        self._environment.update([self._mark.split("=")])
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._log = self.directory / "manager.log"
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._request: zmq.Socket[bytes] | None = None
        self._statuses: zmq.Socket[bytes] | None = None

    # Life -------------------------------------------------------------------------------------------------------

    def command(self) -> list[str]:
        """The command line of `start`."""
        command = [
            str(Path(sys.executable).with_name("start-re-manager")),
            f"--data-dir={self.data_dir}",
            f"--runtime-dir={self.runtime_dir}",
            f"--zmq-control-addr={self.control_address}",
            f"--zmq-info-addr={self.info_address}",
            f"--zmq-publish-console={'ON' if self.publish else 'OFF'}",
            f"--zmq-encoding={self.encoding}",
            f"--existing-plans-devices={self.directory / 'existing_plans_and_devices.yaml'}",
        ]
        if self.startup_dir is not None:
            command.append(f"--startup-dir={self.startup_dir}")
        return [*command, *self.options]

    def start(self, *, wait: bool = True) -> Self:
        """Start the program (again); with `wait`, return after its first answer in a state that is not initializing."""
        assert self._supervisor is None or self._supervisor.poll() is not None, "it runs already"
        with self._log.open("ab") as log:
            self._supervisor = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        if wait:
            self.wait_answer()
        return self

    def wait_answer(self, timeout: float = START_DEADLINE) -> Status:
        """The first status of a manager that has come up."""
        deadline = time.monotonic() + timeout
        while True:
            with suppress(NoAnswer):
                status = self.call("status", _timeout=min(0.5, timeout))
                if status["manager_state"] != "initializing":
                    return status
            if self._supervisor is not None and (code := self._supervisor.poll()) is not None:
                raise AssertionError(self._explain(f"start-re-manager ended with exit code {code}"))
            if time.monotonic() > deadline:
                raise AssertionError(self._explain(f"no answer within {timeout:g} s"))

    def wait_end(self, timeout: float = STOP_DEADLINE) -> int:
        """The exit code of `start-re-manager`, when it ends by itself."""
        assert self._supervisor is not None
        try:
            return self._supervisor.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(self._explain(f"start-re-manager did not end within {timeout:g} s")) from None

    @property
    def has_ended(self) -> bool:
        """Whether `start-re-manager` runs no more."""
        return self._supervisor is None or self._supervisor.poll() is not None

    def stop(self) -> None:
        """End the manager in order, with its worker, and assert that no process is left."""
        if self._supervisor is not None and self._supervisor.poll() is None:
            reply = self.call("manager_stop", option="safe_off")
            assert reply["success"], self._explain(str(reply))
            self.wait_end()
        self.assert_no_process_left()

    def assert_no_process_left(self, timeout: float = 5.0) -> None:
        """Assert that nothing that was started for this manager still runs."""
        deadline = time.monotonic() + timeout
        while left := self.processes():
            if time.monotonic() > deadline:
                commands = "\n".join(f"{pid} {command}" for pid, command in left.items())
                raise AssertionError(self._explain(f"processes are left:\n{commands}"))
            time.sleep(0.005)

    def kill_everything(self) -> None:
        """SIGKILL for every process of this manager, until none is left."""
        deadline = time.monotonic() + STOP_DEADLINE
        while left := self.processes():
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self._supervisor is not None:
                self._supervisor.poll()
            assert time.monotonic() < deadline, f"cannot be killed: {left}"
            time.sleep(0.005)
        if self._supervisor is not None:
            self._supervisor.wait()

    def close(self) -> None:
        """Kill what still runs and remove the directory."""
        self.kill_everything()
        self._drop_request()
        if self._statuses is not None:
            self._statuses.close()
        self._context.term()
        shutil.rmtree(self.directory)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.stop()
            elif _LOG_FOLLOWS not in str(error):
                error.add_note(self._explain("The manager of this test:"))
        finally:
            self.close()

    # Processes --------------------------------------------------------------------------------------------------

    def processes(self) -> dict[int, str]:
        """Process ids and command lines of all that was started for this manager; zombies do not count."""
        return processes_with(self._mark, self.directory)

    @property
    def supervisor_pid(self) -> int:
        assert self._supervisor is not None
        return self._supervisor.pid

    @property
    def manager_pid(self) -> int:
        """The manager process; AssertionError when there is none."""
        return self._one("manager", self._with("queueserver_manager"))

    @property
    def worker_pids(self) -> list[int]:
        """Workers of environments; an interpreter that waits to become one does not count."""
        return [pid for pid in self._with("queueserver_worker") if not waits_on_standard_input(pid)]

    @property
    def worker_pid(self) -> int:
        """The only worker; AssertionError when there is none."""
        return self._one("worker", self.worker_pids)

    @property
    def warm_pids(self) -> list[int]:
        """Interpreters that are kept ready for the next opening."""
        return [pid for pid in self._with("queueserver_worker") if waits_on_standard_input(pid)]

    @property
    def redis_pid(self) -> int:
        """The packaged server; AssertionError when there is none."""
        return self._one("Redis server", self._with("valkey-server"))

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal; after SIGKILL, return when the process has gone."""
        os.kill(pid, number)
        if number != signal.SIGKILL:
            return
        deadline = time.monotonic() + 10
        while lives(pid):
            if self._supervisor is not None:
                self._supervisor.poll()
            assert time.monotonic() < deadline, f"the process {pid} does not go"
            time.sleep(0.001)

    def _with(self, word: str) -> list[int]:
        return [pid for pid, command in self.processes().items() if word in command]

    def _one(self, what: str, pids: list[int]) -> int:
        assert len(pids) == 1, self._explain(f"there is not exactly one {what} process: {pids}")
        return pids[0]

    # Requests ---------------------------------------------------------------------------------------------------

    def call(self, method: str, params: Any = None, /, *, _timeout: float = 10.0, **more: Any) -> Any:
        """The reply to a request; parameters as a mapping or as keywords. Raises `NoAnswer`."""
        request = {"method": method, "params": {**(params or {}), **more}}
        reply = self.raw(self.encode(request), timeout=_timeout)
        if reply is None:
            raise NoAnswer(self._explain(f"no answer to {method} within {_timeout:g} s"))
        return without_codes(self.decode(reply))

    def refusal_code(self, method: str, params: Any = None, /, **more: Any) -> str:
        """`code` of the reply to a request that must be refused."""
        frame = self.raw(self.encode({"method": method, "params": {**(params or {}), **more}}))
        assert frame is not None
        reply = self.decode(frame)
        assert reply["success"] is False, reply
        code: str = reply["code"]
        return code

    def accepted(self, method: str, params: Any = None, /, **more: Any) -> Any:
        """The reply to a request that must succeed."""
        reply = self.call(method, params, **more)
        assert reply["success"] is True, self._explain(f"{method}: {reply}")
        assert reply["msg"] == ""
        return reply

    def raw(self, frame: bytes, *, timeout: float = 10.0) -> bytes | None:
        """The reply to bytes that are sent as they are; None when there is none in time."""
        if self._request is None:
            self._request = self._context.socket(zmq.REQ)
            self._request.setsockopt(zmq.LINGER, 0)
            self._request.setsockopt(zmq.RECONNECT_IVL, 5)
            self._request.connect(self.control_address)
        self._request.send(frame)
        if not self._request.poll(round(timeout * 1000)):
            self._drop_request()
            return None
        return self._request.recv()

    def encode(self, message: Any) -> bytes:
        if self.encoding == "msgpack":
            packed: bytes = msgpack.packb(message)
            return packed
        return json.dumps(message).encode()

    def decode(self, frame: bytes) -> Any:
        return msgpack.unpackb(frame) if self.encoding == "msgpack" else json.loads(frame)

    def _drop_request(self) -> None:
        if self._request is not None:
            self._request.close()
            self._request = None

    # Status -----------------------------------------------------------------------------------------------------

    def status(self) -> Status:
        """The status as the manager answers it."""
        status: Status = self.call("status")
        return status

    def wait_status(self, condition: Callable[[Status], object], timeout: float = WAIT_DEADLINE) -> Status:
        """The first status, from now on, that fulfils the condition."""
        deadline = time.monotonic() + timeout
        self.take_statuses()
        status: Status | None = None
        since = datetime.now().isoformat()
        with suppress(NoAnswer):
            status = self.call("status", _timeout=min(0.5, timeout))
            since = status["time"]
        while status is None or not condition(status):
            left = deadline - time.monotonic()
            if left <= 0:
                shown = json.dumps(status, indent=1)
                raise AssertionError(self._explain(f"not reached within {timeout:g} s; the last status is {shown}"))
            published = self._next_status(min(left, _SILENCE))
            if published is None:  # the manager is away, or says nothing new
                with suppress(NoAnswer):
                    status = self.call("status", _timeout=min(left, 0.5))
            elif datetime.fromisoformat(published["time"]) >= datetime.fromisoformat(since):
                status = published
        return status

    def wait_idle(self, timeout: float = WAIT_DEADLINE) -> Status:
        """The status when the manager is idle."""
        return self.wait_status(lambda status: status["manager_state"] == "idle", timeout)

    def watch(self) -> None:
        """Record what is published from now on in `seen`; returns when the subscription is known to work."""
        if self._statuses is None:
            deadline = time.monotonic() + WAIT_DEADLINE
            while self._next_status(_SILENCE) is None:
                assert time.monotonic() < deadline, self._explain("no status is published")
        self.take_statuses()
        self.seen.clear()

    def take_statuses(self) -> list[Status]:
        """Everything published so far, oldest first; the subscription begins with the first call."""
        while self._next_status(0) is not None:
            pass
        return self.seen

    def all_statuses(self) -> list[Status]:
        """Everything published since `watch`, up to the present status of a manager that has come to rest."""
        uid = self.status()["status_uid"]
        deadline = time.monotonic() + WAIT_DEADLINE
        while not self.seen or self.seen[-1]["status_uid"] != uid:
            if self._next_status(_SILENCE) is None:
                uid = self.status()["status_uid"]
            assert time.monotonic() < deadline, self._explain("the present status is not published")
        return self.seen

    def _next_status(self, timeout: float) -> Status | None:
        if not self.publish:
            time.sleep(min(timeout, 0.02))
            return None
        if self._statuses is None:
            self._statuses = self.subscribe("QS_Info")
        if not self._statuses.poll(round(timeout * 1000)):
            return None
        _, payload = self._statuses.recv_multipart()
        status: Status = self.decode(payload)["msg"]["status"]
        self.seen.append(status)
        return status

    def subscribe(self, topic: str) -> zmq.Socket[bytes]:
        """A socket that receives a topic of the info stream; the caller closes it."""
        subscriber: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        subscriber.setsockopt(zmq.LINGER, 0)
        subscriber.setsockopt(zmq.RCVHWM, 0)
        subscriber.setsockopt(zmq.RECONNECT_IVL, 5)
        subscriber.connect(self.info_address)
        subscriber.subscribe(topic)
        return subscriber

    # Common steps -----------------------------------------------------------------------------------------------

    def open_environment(self) -> Status:
        """Open the environment and wait until it is open."""
        self.accepted("environment_open")
        status = self.wait_idle()
        assert status["worker_environment_exists"], self._explain(status["environment_error"])
        return status

    def close_environment(self) -> Status:
        """Close the environment and wait until it is closed."""
        self.accepted("environment_close")
        return self.wait_status(
            lambda status: status["manager_state"] == "idle" and not status["worker_environment_exists"]
        )

    def destroy_environment(self) -> Status:
        """Destroy the environment and wait until it is gone."""
        self.accepted("environment_destroy")
        return self.wait_status(
            lambda status: status["manager_state"] == "idle" and not status["worker_environment_exists"]
        )

    @property
    def log_text(self) -> str:
        """What the manager and its supervisor wrote."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def worker_log_text(self) -> str:
        """What the workers wrote, of all openings."""
        logs = sorted(self.data_dir.glob("workers/*/logs/worker-*.log"))
        return "\n".join(log.read_text(errors="replace") for log in logs)

    def _explain(self, text: str) -> str:
        tail = "\n".join(self.log_text.splitlines()[-40:])
        return f"{text}\n{_LOG_FOLLOWS}\n{tail}"
