"""A real `start-re-manager` for tests: started in temporary directories, asked, watched, killed, and cleaned up.

    with RunningManager() as manager:
        manager.open_environment()
        manager.call("queue_item_add", item=..., user="Tester", user_group="primary")
        manager.wait_status(lambda status: status["items_in_history"] == 1)

Waiting follows the published status messages and has a deadline always. Leaving the `with` block stops the manager in
order and asserts that none of its processes is left.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from manager_client import ManagerClient, NoAnswer, Status
from ports import free_ports
from process_table import lives, processes_with, waits_on_standard_input

START_DEADLINE = 20.0
"""Seconds until the first answer."""
STOP_DEADLINE = 15.0
"""Seconds for an orderly end."""

SIMULATED_PROFILE = Path(__file__).resolve().parents[2] / "sim_profile"

_LOG_FOLLOWS = "The log of the manager ends with:"


class RunningManager(ManagerClient):
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
        control, info = free_ports(2)
        super().__init__(f"tcp://127.0.0.1:{control}", f"tcp://127.0.0.1:{info}", encoding=encoding, publish=publish)
        self.options = list(options)
        self.startup_dir = startup_dir
        if startup_files is not None:
            self.startup_dir = self.directory / "startup"
            self.startup_dir.mkdir()
            shutil.copy(SIMULATED_PROFILE / "user_group_permissions.yaml", self.startup_dir)
            for name, text in startup_files.items():
                (self.startup_dir / name).write_text(text)
        self._mark = f"QSERVER_TEST_MANAGER={uuid.uuid4()}"
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("QSERVER_")}
        self._environment.update(environment or {})
        self._environment.update([self._mark.split("=")])
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._log = self.directory / "manager.log"

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
        self.disconnect()
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

    # Logs -------------------------------------------------------------------------------------------------------

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
