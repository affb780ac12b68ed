"""The worker as it runs in a pod: process 1, encrypted link, an end that no signal brings, volumes that are missing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import zmq
from zmq.utils import z85

from queueserver_common.link.messages import (
    EnvironmentFailed,
    EnvironmentReady,
    ExitStatus,
    Hello,
    RunItem,
    Terminate,
)
from queueserver_common.spool import read_termination_message
from queueserver_common.startup import StartupSource
from queueserver_worker.runtime.exit_codes import ExitCode

Bench = Any

CAUSE = "The environment is destroyed"

STUCK = """
def deaf():
    def sleeps():
        while True:
            try:
                time.sleep(1000)
            except BaseException:
                pass
        yield
    yield from sleeps()
"""


def start_item(manager: Any, bench: Bench, name: str, **kwargs: Any) -> str:
    item = bench.item(name, **kwargs)
    assert manager.tell(RunItem(item)).ok
    manager.wait_state("running")
    return str(bench.uid_of(item))


def run(manager: Any, bench: Bench, name: str) -> str:
    item = bench.item(name)
    assert manager.tell(RunItem(item)).ok
    return str(bench.uid_of(item))


def terminate(manager: Any, grace: float) -> None:
    manager.send(Terminate(manager.epoch, grace, CAUSE))


# The end that the manager orders over the link ------------------------------------------------------------------


def test_a_plan_is_aborted_and_reported_and_the_worker_leaves_in_order(bench: Bench) -> None:
    manager, worker = bench.open()
    uid = start_item(manager, bench, "points", n=1000)
    terminate(manager, 10)
    end = manager.wait_end(uid)
    assert end.exit_status is ExitStatus.ABORTED
    assert end.msg == f"{CAUSE}; plan aborted cleanly"
    assert manager.wait_gone(worker) == ExitCode.IN_ORDER


def test_a_plan_that_does_not_end_is_ended_with_the_process_after_the_grace(bench: Bench) -> None:
    manager, worker = bench.open(STUCK)
    start_item(manager, bench, "deaf")
    began = time.monotonic()
    terminate(manager, 1.0)
    assert manager.wait_gone(worker) == ExitCode.INTERNAL_ERROR
    assert 0.9 < time.monotonic() - began < 20
    assert "in deaf" in worker.output or "in sleeps" in worker.output, "the traceback shows where it hangs"


def test_a_second_order_does_not_give_more_time(bench: Bench) -> None:
    manager, worker = bench.open(STUCK)
    start_item(manager, bench, "deaf")
    began = time.monotonic()
    terminate(manager, 1.0)
    terminate(manager, 60.0)
    manager.wait_gone(worker)
    assert time.monotonic() - began < 20


def test_startup_code_that_is_still_running_is_ended(bench: Bench) -> None:
    manager = bench.manager()
    worker = bench.worker("\nprint('loading', flush=True)\ntime.sleep(1000)\n").start()
    manager.wait(lambda: "loading" in manager.console_text)
    terminate(manager, 30)
    assert manager.wait_gone(worker) == ExitCode.IN_ORDER


def test_startup_code_that_did_not_see_the_order_is_told_again(bench: Bench) -> None:
    # As when the order arrives just before a long wait in C begins.
    code = """
import signal

for_worker = signal.getsignal(signal.SIGTERM)
signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, for_worker))
print('loading', flush=True)
time.sleep(1000)
"""
    manager = bench.manager()
    worker = bench.worker(code).start()
    manager.wait(lambda: "loading" in manager.console_text)
    terminate(manager, 50)
    assert manager.wait_gone(worker) == ExitCode.IN_ORDER


# The encrypted link ---------------------------------------------------------------------------------------------


def test_the_worker_speaks_to_the_manager_with_the_given_key_and_shows_its_own(bench: Bench, tmp_path: Path) -> None:
    server_public, server_secret = zmq.curve_keypair()
    worker_public, worker_secret = zmq.curve_keypair()
    key_file = tmp_path / "private_key"
    key_file.write_bytes(worker_secret + b"\n")
    with zmq.Context() as context, context.socket(zmq.ROUTER) as link:
        link.linger = 0
        link.curve_server = True
        link.curve_secretkey = server_secret
        link.zap_domain = b"link"
        with context.socket(zmq.REP) as asked:
            asked.bind("inproc://zeromq.zap.01")
            port = link.bind_to_random_port("tcp://127.0.0.1")
            worker = bench.worker(
                link_address=f"tcp://127.0.0.1:{port}",
                link_server_public_key=server_public.decode(),
                link_key_file=str(key_file),
            ).start()
            assert asked.poll(20_000)
            request = asked.recv_multipart()
            assert z85.encode(request[6]) == worker_public
            asked.send_multipart([b"1.0", request[1], b"200", b"", b"", b""])
            assert link.poll(10_000), "nothing came over the encrypted link"
            assert link.recv_multipart()[0] == b"opening-1"
    worker.kill()


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "cannot be read: No such file"), (b"too short", "does not hold a CURVE key")],
)
def test_a_key_file_that_cannot_be_used_is_told(bench: Bench, tmp_path: Path, content: bytes | None, told: str) -> None:
    file = tmp_path / "private_key"
    if content is not None:
        file.write_bytes(content)
    public, _ = zmq.curve_keypair()
    worker = bench.worker(link_server_public_key=public.decode(), link_key_file=str(file)).start()
    assert worker.wait_exit() == ExitCode.UNUSABLE_CONFIGURATION
    assert told in worker.output
    assert "too short" not in worker.output
    assert "Traceback" not in worker.output


def test_the_hello_names_the_pod(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_UID", "0b5ac0de")
    manager = bench.manager()
    bench.worker().start()
    hello: Hello = manager.wait(lambda: manager.hellos)[0]
    assert hello.pod_uid == "0b5ac0de"


# What a container leaves behind ---------------------------------------------------------------------------------


def test_an_end_that_nobody_stored_is_the_message_of_the_container(bench: Bench, tmp_path: Path) -> None:
    message = tmp_path / "termination-log"
    manager, worker = bench.open(termination_message=str(message))
    first = start_item(manager, bench, "points", n=20)
    manager.wait_end(first)
    manager.settle()
    manager.wait(lambda: message.read_bytes() == b"")
    second = start_item(manager, bench, "points", n=50)
    bench.drop(manager)
    deadline = time.monotonic() + 20
    while not (left := read_termination_message(message.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert [end.item_uid for end in left] == [second]
    assert left[0].exit_status is ExitStatus.COMPLETED
    worker.kill()


# Files around the startup code ----------------------------------------------------------------------------------


def test_a_missing_home_directory_is_named_when_startup_code_needs_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/nowhere/home")
    manager = bench.manager()
    worker = bench.worker("\nopen(os.path.expanduser('~/scan_id'), 'w')\n").start()
    failed = manager.wait_event(EnvironmentFailed)
    assert "The home directory '/nowhere/home' does not exist; mount a volume there." in failed.message
    assert manager.wait_gone(worker) == ExitCode.ENVIRONMENT_FAILED
    assert "The home directory '/nowhere/home' does not exist" in worker.output


def test_the_environment_reports_the_revision_of_its_startup_code_and_all_runs_carry_it(bench: Bench) -> None:
    show = "\nRE.subscribe(lambda _, doc: print('revision', doc['startup_revision'], flush=True), 'start')\n"
    manager, worker = bench.open(show)
    ready = manager.wait_event(EnvironmentReady)
    assert ready.revision.startswith("sha256:")
    manager.wait_end(run(manager, bench, "one_run"))
    manager.wait(lambda: f"revision {ready.revision}" in manager.console_text)
    worker.kill()


def test_a_given_revision_is_reported_as_it_is(bench: Bench) -> None:
    manager, _ = bench.open(startup_revision="git:1a2b3c")
    assert manager.wait_event(EnvironmentReady).revision == "git:1a2b3c"


# Process 1 ------------------------------------------------------------------------------------------------------

unshare = pytest.mark.skipif(
    subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True).returncode != 0,
    reason="this user may not make a process namespace",
)


class Container:
    """A worker that is process 1 of a process namespace of its own."""

    def __init__(self, bench: Bench, added_profile: str = "", **changes: Any) -> None:
        self.worker = bench.worker(added_profile, **changes)
        config = self.worker.directory / "worker.json"
        config.write_text(self.worker.config.to_json())
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
        command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        with self.worker.output_file.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, sys.executable, "-m", "queueserver_worker", "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
            )

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()  # and with it, by --kill-child, everything in the namespace
        self.process.wait()

    @property
    def init(self) -> int:
        """Process 1 as seen from outside."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])


@unshare
def test_process_1_passes_sigterm_on_and_ends_with_the_workers_exit_code(bench: Bench) -> None:
    manager = bench.manager()
    with Container(bench) as container:
        manager.wait_event(EnvironmentReady)
        manager.settle()
        uid = start_item(manager, bench, "points", n=1000)
        os.kill(container.init, signal.SIGTERM)
        assert manager.wait_end(uid).exit_status is ExitStatus.ABORTED
        manager.wait(lambda: container.process.poll() is not None)
        assert container.process.returncode == ExitCode.TERMINATED


@unshare
def test_process_1_tells_which_signal_killed_the_worker(bench: Bench) -> None:
    manager = bench.manager()
    with Container(bench) as container:
        manager.wait_event(EnvironmentReady)
        children = Path(f"/proc/{container.init}/task/{container.init}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        assert container.process.wait(15) == 128 + signal.SIGKILL


@unshare
def test_process_1_reaps_orphans_and_leaves_the_workers_own_children_to_it(bench: Bench) -> None:
    profile = """
import subprocess
orphan = "import os, time\\nif os.fork() == 0:\\n    os.setsid()\\n    time.sleep(0.2)\\n"
for _ in range(5):
    subprocess.run([sys.executable, "-c", orphan], check=True)
own = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])

def look():
    code = own.wait()
    def zombies():
        states = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    states.append(open(f"/proc/{entry}/stat").read().rpartition(")")[2].split()[0])
                except FileNotFoundError:
                    pass
        return states.count("Z")
    until = time.monotonic() + 10
    while len([e for e in os.listdir("/proc") if e.isdigit()]) > 2 and time.monotonic() < until:
        time.sleep(0.05)
    print("own child", code, "zombies", zombies(), flush=True)
    yield from bps.null()
"""
    manager = bench.manager()
    with Container(bench, profile):
        manager.wait_event(EnvironmentReady)
        manager.settle()
        manager.wait_end(run(manager, bench, "look"))
        manager.wait(lambda: "own child 7 zombies 0" in manager.console_text)


def test_a_configuration_of_a_later_release_is_understood(bench: Bench) -> None:
    manager = bench.manager()
    worker = bench.worker()
    later = json.loads(worker.config.to_json()) | {"something_new": [1, 2, 3]}
    worker.start(config_text=json.dumps(later))
    manager.wait_event(EnvironmentReady)
    assert worker.config.startup == StartupSource("directory", str(worker.profile))
