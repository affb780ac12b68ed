"""Workers as local processes: started, adopted, watched and killed. A small program stands in for the worker."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from queueserver_manager.launch import process
from queueserver_manager.launch.interface import Launcher, LaunchError, Sighting, Stranger, WorkerEnd
from queueserver_manager.launch.process import WorkerHandle
from queueserver_manager.launch.process_identity import start_mark


def test_it_is_a_launcher(bench: Any) -> None:
    async def scenario() -> None:
        async with bench.launcher() as launcher:
            launched: Launcher = launcher
            launched.prepare()

    bench.run(scenario)


def test_a_worker_gets_its_configuration_in_a_session_of_its_own(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hidden")
    monkeypatch.setenv("EPICS_CA_ADDR_LIST", "10.0.0.1")

    async def scenario() -> None:
        async with bench.launcher(hidden=frozenset({"SECRET"})) as launcher:
            handle = WorkerHandle.of_record(await launcher.start("o1", "token", {"user_groups": {"root": {}}}))
            about = await bench.about("o1")
            config = about["config"]
            assert isinstance(config, dict)
            assert (config["token"], config["permissions"]) == ("token", {"user_groups": {"root": {}}})
            assert about["pid"] == about["sid"] == handle.pid
            assert handle.host == socket.gethostname()
            assert handle.started == start_mark(handle.pid)
            environment = about["environment"]
            assert isinstance(environment, dict)
            assert environment["EPICS_CA_ADDR_LIST"] == "10.0.0.1"
            assert "SECRET" not in environment
            # Descriptors 0, 1 and 2, and the one that lists them.
            assert isinstance(about["fds"], list)
            assert len(about["fds"]) <= 5
            await bench.until(lambda: "working on o1" in launcher.log_tail("o1"), "the log")
            launcher.kill("o1", 0)
            await bench.end()

    bench.run(scenario)


@pytest.mark.parametrize(
    ("number", "cause"), [(signal.SIGKILL, "was killed by SIGKILL"), (signal.SIGSEGV, "was killed by SIGSEGV")]
)
def test_the_death_of_a_worker_is_noticed_at_once_with_its_cause(bench: Any, number: int, cause: str) -> None:
    async def scenario() -> None:
        async with bench.launcher() as launcher:
            handle = WorkerHandle.of_record(await launcher.start("o1", "t", None))
            await bench.about("o1")
            os.kill(handle.pid, number)
            begin = time.monotonic()
            end = await bench.end()
            assert time.monotonic() - begin < 5
            assert end == WorkerEnd("o1", f"the worker process {cause} (log: {bench.logs}/worker-o1.log)", -number)
            assert not Path(f"/proc/{handle.pid}").exists(), "left a zombie"
            assert launcher.adopt("o1", handle.as_record()) is False

    bench.run(scenario)


def test_an_exit_code_is_told(bench: Any) -> None:
    (bench.folder / "fails").touch()

    async def scenario() -> None:
        async with bench.launcher() as launcher:
            await launcher.start("o1", "t", None)
            end = await bench.end()
            assert end.exit_code == 3
            assert "the worker process ended with exit code 3 (log: " in end.cause

    bench.run(scenario)


def test_kill_lets_the_worker_leave_in_order(bench: Any) -> None:
    async def scenario() -> None:
        async with bench.launcher() as launcher:
            await launcher.start("o1", "t", None)
            await bench.about("o1")
            launcher.kill("o1", grace=60)
            assert (await bench.end()).exit_code == -signal.SIGTERM

    bench.run(scenario)


def test_kill_uses_force_after_the_grace_on_all_that_the_worker_started(bench: Any) -> None:
    (bench.folder / "stubborn").touch()
    (bench.folder / "with child").touch()

    async def scenario() -> None:
        async with bench.launcher() as launcher:
            await launcher.start("o1", "t", None)
            child = (await bench.about("o1"))["child"]
            assert isinstance(child, int)
            begin = time.monotonic()
            launcher.kill("o1", grace=60)
            launcher.kill("o1", grace=0.3)
            assert (await bench.end()).exit_code == -signal.SIGKILL
            assert 0.3 <= time.monotonic() - begin < 10
            await bench.until(lambda: not bench.is_running(child), "the end of the worker's own child")

    bench.run(scenario)


def test_a_kill_while_the_worker_is_being_started_is_not_lost(bench: Any) -> None:
    # More than a socket takes before the worker reads.
    permissions: dict[str, object] = {"x": "x" * 2**21}

    async def scenario() -> None:
        async with bench.launcher() as launcher:
            start = asyncio.ensure_future(launcher.start("o1", "t", permissions))
            await asyncio.sleep(0)
            assert not start.done()
            launcher.kill("o1", grace=0)
            await start
            assert (await bench.end()).exit_code == -signal.SIGKILL

    bench.run(scenario)


def test_killing_an_unknown_worker_does_nothing(bench: Any) -> None:
    async def scenario() -> None:
        async with bench.launcher() as launcher:
            launcher.kill("unknown", 0)

    bench.run(scenario)


def test_a_worker_outlives_its_launcher_and_is_adopted_by_the_next(bench: Any) -> None:
    async def scenario() -> None:
        async with bench.launcher() as first:
            handle = WorkerHandle.of_record(await first.start("o1", "t", None))
            await bench.about("o1")
        assert bench.is_running(handle.pid)
        assert bench.ends == []
        async with bench.launcher() as second:
            assert second.adopt("o1", handle.as_record()) is True
            assert second.adopt("o1", handle.as_record()) is True
            second.kill("o1", 0)
            assert "the worker process ended" in (await bench.end()).cause
        await asyncio.to_thread(os.waitpid, handle.pid, 0)

    bench.run(scenario)


def test_the_death_of_an_adopted_process_that_is_no_child_is_noticed(bench: Any) -> None:
    # The worker's parent ends at once, so it is a child of process 1, as after a crash of the manager.
    program = "import os; pid = os.fork(); print(pid) if pid else os.close(1) or os.execvp('sleep', ['sleep', '1000'])"
    pid = int(subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True).stdout)

    async def scenario() -> None:
        async with bench.launcher() as launcher:
            handle = WorkerHandle("o1", socket.gethostname(), pid, start_mark(pid))
            assert launcher.adopt("o1", handle.as_record()) is True
            os.kill(pid, signal.SIGKILL)
            begin = time.monotonic()
            end = await bench.end()
            assert time.monotonic() - begin < 5
            assert end == WorkerEnd("o1", "the worker process ended", None)

    bench.run(scenario)


def test_only_exactly_the_recorded_process_is_adopted(bench: Any) -> None:
    async def scenario() -> None:
        me = os.getpid()
        handle = WorkerHandle("o1", socket.gethostname(), me, start_mark(me))
        async with bench.launcher() as launcher:
            boot, _, ticks = handle.started.partition(":")
            assert launcher.adopt("o1", replace(handle, started=f"{boot}:{int(ticks) + 1}").as_record()) is False
            assert launcher.adopt("o1", replace(handle, started=f"other-boot:{ticks}").as_record()) is False
            assert launcher.adopt("o1", replace(handle, pid=2**22 + 1).as_record()) is False
            assert launcher.adopt("o1", replace(handle, host="elsewhere").as_record()) is None

    bench.run(scenario)


def test_a_zombie_has_ended(bench: Any) -> None:
    async def scenario() -> None:
        child = subprocess.Popen(["sleep", "1000"])
        handle = WorkerHandle("o1", socket.gethostname(), child.pid, start_mark(child.pid))
        child.kill()
        await bench.until(lambda: not bench.is_running(child.pid), "the zombie")
        async with bench.launcher() as launcher:
            assert launcher.adopt("o1", handle.as_record()) is False
        child.wait()

    bench.run(scenario)


def test_a_log_directory_that_cannot_be_written_to_is_a_sentence(bench: Any) -> None:
    bench.logs.rmdir()

    async def scenario() -> None:
        async with bench.launcher() as launcher:
            with pytest.raises(LaunchError, match=r"log cannot be created in .* with --data-dir"):
                await launcher.start("o1", "t", None)

    bench.run(scenario)


def test_a_program_that_is_missing_is_a_sentence(bench: Any) -> None:
    async def scenario() -> None:
        async with bench.launcher(command=("/no/such/python",)) as launcher:
            with pytest.raises(LaunchError, match=r"^The worker process cannot be started: No such file"):
                await launcher.start("o1", "t", None)

    bench.run(scenario)


def test_a_large_configuration_arrives_whole(bench: Any) -> None:
    permissions: dict[str, object] = {f"group{i}": {"allowed_plans": ["x" * 1000]} for i in range(2000)}

    async def scenario() -> None:
        async with bench.launcher() as launcher:
            await launcher.start("o1", "t", permissions)
            config = (await bench.about("o1"))["config"]
            assert isinstance(config, dict)
            assert config["permissions"] == permissions
            launcher.kill("o1", 0)
            await bench.end()

    bench.run(scenario)


def test_an_unrecorded_worker_that_never_comes_is_given_up(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "UNRECORDED_TIMEOUT", 0.05)

    async def scenario() -> None:
        async with bench.launcher() as launcher:
            assert launcher.adopt("o1", None) is None
            assert (await bench.end()).cause == "its start was interrupted"

    bench.run(scenario)


def test_an_unrecorded_worker_that_introduces_itself_is_watched(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "UNRECORDED_TIMEOUT", 0.2)

    async def scenario() -> None:
        async with bench.launcher() as first:
            handle = WorkerHandle.of_record(await first.start("o1", "t", None))
        async with bench.launcher() as second:
            assert second.adopt("o1", None) is None
            sighting = Sighting("o1", handle.host, handle.pid)
            assert second.identify(sighting) is Stranger.FOREIGN, "its opening would be in the store"
            assert second.recognise(sighting) == handle.as_record()
            assert second.recognise(sighting) is None, "there is nothing new"
            await asyncio.sleep(0.4)  # longer than an unrecorded worker is waited for
            assert bench.ends == []
            second.kill("o1", 0)
            await bench.end()
        await asyncio.to_thread(os.waitpid, handle.pid, 0)

    bench.run(scenario)
