"""An interpreter that is started ahead of time: used when it fits, never when it is stale, gone with its manager."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from queueserver_manager.launch.process import ProcessLauncher, WorkerHandle


def ready(launcher: ProcessLauncher) -> int | None:
    """Process id of the prepared interpreter."""
    assert launcher._warm is not None
    return launcher._warm.pid


async def started(bench: Any, launcher: ProcessLauncher) -> dict[str, Any]:
    """Start a worker and return what it told about itself."""
    handle = WorkerHandle.of_record(await launcher.start("o1", "t", None))
    about: dict[str, Any] = await bench.about("o1")
    assert about["pid"] == handle.pid
    return about


async def ended(bench: Any, launcher: ProcessLauncher) -> None:
    launcher.kill("o1", 0)
    await bench.end()


def test_the_prepared_interpreter_becomes_the_worker_with_a_log_of_its_own(bench: Any) -> None:
    async def scenario() -> None:
        async with bench.launcher(preload=("safe", "scipy")) as launcher:
            launcher.prepare()
            pid = ready(launcher)
            launcher.prepare()
            assert ready(launcher) == pid
            about = await started(bench, launcher)
            assert (about["pid"], about["sid"], about["warm"]) == (pid, pid, True)
            assert ready(launcher) is None
            await bench.until(lambda: "working on o1" in launcher.log_tail("o1"), "the log")
            assert "preloading safe scipy" in launcher.log_tail("o1")
            await ended(bench, launcher)
            assert "was killed by SIGKILL" in bench.ends[0].cause
            assert "worker-o1.log" in bench.ends[0].cause

    bench.run(scenario)


@pytest.mark.parametrize("attempt", range(5))
def test_a_stale_interpreter_is_replaced_by_a_cold_one_in_the_same_start(bench: Any, attempt: int) -> None:
    (bench.folder / "stale").touch()

    async def scenario() -> None:
        async with bench.launcher(preload=("safe",)) as launcher:
            launcher.prepare()
            pid = ready(launcher)
            assert pid is not None
            about = await started(bench, launcher)
            assert about["warm"] is False
            assert about["pid"] != pid
            await bench.until(lambda: not Path(f"/proc/{pid}").exists(), "the reaping of the stale interpreter")
            assert bench.ends == []
            await ended(bench, launcher)

    bench.run(scenario)


def test_an_interpreter_of_another_environment_is_not_used(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with bench.launcher(preload=("safe",)) as launcher:
            launcher.prepare()
            pid = ready(launcher)
            monkeypatch.setenv("EPICS_CA_ADDR_LIST", "10.0.0.1")
            about = await started(bench, launcher)
            assert about["pid"] != pid
            assert about["warm"] is False
            assert about["environment"]["EPICS_CA_ADDR_LIST"] == "10.0.0.1"
            await ended(bench, launcher)

    bench.run(scenario)


def test_prepare_replaces_an_interpreter_of_another_directory(
    bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with bench.launcher(preload=("safe",)) as launcher:
            launcher.prepare()
            pid = ready(launcher)
            monkeypatch.chdir(tmp_path)
            launcher.prepare()
            assert ready(launcher) not in {None, pid}
            await bench.until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the first one")

    bench.run(scenario)


def test_an_interpreter_that_died_meanwhile_is_reaped_and_not_used(bench: Any) -> None:
    async def scenario() -> None:
        async with bench.launcher(preload=("safe",)) as launcher:
            launcher.prepare()
            pid = ready(launcher)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await bench.until(lambda: ready(launcher) is None, "the notice of its end")
            assert not Path(f"/proc/{pid}").exists()
            assert (await started(bench, launcher))["warm"] is False
            await ended(bench, launcher)

    bench.run(scenario)


def test_closing_the_launcher_leaves_no_prepared_interpreter(bench: Any) -> None:
    async def scenario() -> None:
        async with bench.launcher(preload=("safe",)) as launcher:
            launcher.prepare()
            pid = ready(launcher)
        assert not Path(f"/proc/{pid}").exists()

    bench.run(scenario)


def test_a_killed_manager_leaves_no_prepared_interpreter(bench: Any) -> None:
    program = f"""
import asyncio, time
from pathlib import Path
from queueserver_manager.launch.process import ProcessLauncher
async def main():
    launcher = ProcessLauncher(None, None, log_dir=Path({str(bench.logs)!r}), preload=("safe",),
                               command=({sys.executable!r}, {str(bench.script)!r}, {str(bench.folder)!r}))
    launcher.prepare()
    print(launcher._warm.pid, flush=True)
    time.sleep(1000)
asyncio.run(main())
"""
    manager = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert manager.stdout is not None
    with manager, manager.stdout:
        pid = int(manager.stdout.readline())

        async def scenario() -> None:
            # It must have come to reading its input, or its end proves nothing.
            await bench.until(lambda: "preloading" in (bench.logs / "worker-ready.log").read_text(), "the interpreter")
            manager.kill()
            await bench.until(lambda: not bench.is_running(pid), "the end of the interpreter")
            assert (bench.folder / "unused").exists()

        bench.run(scenario)


def test_without_modules_nothing_is_prepared(bench: Any) -> None:
    async def scenario() -> None:
        async with bench.launcher() as launcher:
            launcher.prepare()
            assert list(bench.logs.iterdir()) == []
            assert (await started(bench, launcher))["warm"] is False
            await ended(bench, launcher)

    bench.run(scenario)


def test_an_interpreter_that_cannot_be_prepared_is_only_a_warning(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with bench.launcher(preload=("safe",), command=("/no/such/python",)) as launcher:
            launcher.prepare()
            assert ready(launcher) is None
        assert "No interpreter is kept ready. The worker process cannot be started" in caplog.text

    bench.run(scenario)
