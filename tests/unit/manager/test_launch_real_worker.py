"""The launcher with the real worker: started cold or from a prepared interpreter, never from a stale one."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from queueserver_common.link.worker_config import WorkerConfig
from queueserver_common.startup import StartupSource
from queueserver_manager.launch.process import WORKER_COMMAND, WorkerHandle

LOADING = "startup code is loaded"


@pytest.fixture
def real(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A launcher of real workers, whose startup code tells where it runs; `mine` is a module of its own."""
    startup = tmp_path / "startup"
    startup.mkdir()
    (startup / "start.py").write_text(
        f"import os, sys\nprint({LOADING!r}, 'in', os.getpid(), 'argv', len(sys.argv))\n"
        "import mine\nprint('version', mine.version)\n"
    )
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "mine.py").write_text("import pathlib\npathlib.Path(__file__ + '.imported').touch()\nversion = 1\n")
    # Older than the interpreter that imports it.
    os.utime(modules / "mine.py", (10**9, 10**9))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(modules), os.environ.get("PYTHONPATH", "")]))

    def config(opening_id: str, token: str, permissions: dict[str, object] | None) -> WorkerConfig:
        return WorkerConfig(
            link_address=f"ipc://{tmp_path}/l",
            opening_id=opening_id,
            token=token,
            startup=StartupSource("directory", str(startup)),
            spool_dir=str(tmp_path / "spool"),
        )

    bench.config = config
    return bench


async def loaded(bench: Any, launcher: Any, pid: int, version: int) -> None:
    expected = f"{LOADING} in {pid} argv "
    await bench.until(lambda: expected in launcher.log_tail("o1", 100), f"the startup code ({launcher.log_tail('o1')})")
    await bench.until(lambda: f"version {version}" in launcher.log_tail("o1", 100), f"version {version} of the module")


async def leaves_at_sigterm(bench: Any, launcher: Any) -> None:
    launcher.kill("o1", grace=20)
    assert (await bench.end()).exit_code == 128 + signal.SIGTERM


def test_a_cold_worker_loads_the_startup_code_and_leaves_when_asked(real: Any) -> None:
    async def scenario() -> None:
        async with real.launcher(command=WORKER_COMMAND) as launcher:
            handle = WorkerHandle.of_record(await launcher.start("o1", "t", None))
            await loaded(real, launcher, handle.pid, version=1)
            await leaves_at_sigterm(real, launcher)

    real.run(scenario)


def test_a_prepared_interpreter_becomes_the_worker(real: Any) -> None:
    async def scenario() -> None:
        async with real.launcher(command=WORKER_COMMAND, preload=("safe", "mine")) as launcher:
            launcher.prepare()
            pid = launcher._warm.pid
            handle = WorkerHandle.of_record(await launcher.start("o1", "t", None))
            assert handle.pid == pid, launcher.log_tail("o1")
            await loaded(real, launcher, handle.pid, version=1)
            await leaves_at_sigterm(real, launcher)

    real.run(scenario)


def test_an_interpreter_that_imported_an_older_file_is_not_used(real: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with real.launcher(command=WORKER_COMMAND, preload=("safe", "mine")) as launcher:
            launcher.prepare()
            pid = launcher._warm.pid
            await real.until((tmp_path / "modules" / "mine.py.imported").exists, "the import ahead of time")
            (tmp_path / "modules" / "mine.py").write_text("version = 2\n")
            handle = WorkerHandle.of_record(await launcher.start("o1", "t", None))
            assert handle.pid != pid
            await loaded(real, launcher, handle.pid, version=2)
            assert real.ends == []
            await leaves_at_sigterm(real, launcher)

    real.run(scenario)


def test_a_worker_that_is_killed_while_it_loads_is_reported_with_its_log(real: Any) -> None:
    async def scenario() -> None:
        async with real.launcher(command=WORKER_COMMAND) as launcher:
            handle = WorkerHandle.of_record(await launcher.start("o1", "t", None))
            os.kill(handle.pid, signal.SIGKILL)
            end = await real.end()
            assert end.exit_code == -signal.SIGKILL
            assert str(launcher.log_path("o1")) in end.cause

    real.run(scenario)
