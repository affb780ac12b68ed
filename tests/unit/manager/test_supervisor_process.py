"""The supervisor with real processes: small programs stand in for the manager."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queueserver_manager import exit_codes

DEADLINE = 20.0

# Tells its pid, restart number and session in a file, comes up, and then does what the test asks for.
MANAGER = """
import asyncio, os, signal, sys, time
from pathlib import Path
from queueserver_manager.supervision import Supervision

folder = Path(sys.argv[1])
supervision = Supervision.take(os.environ)
assert "QSERVER_SUPERVISOR" not in os.environ

def tell(name, text=""):
    part = folder / (name + ".part")
    part.write_text(text)
    part.rename(folder / name)

async def main():
    loop = asyncio.get_running_loop()
    end = asyncio.Event()
    def leave(why):
        tell("left", why)
        end.set()
    for name in ("SIGINT", "SIGTERM"):
        loop.add_signal_handler(getattr(signal, name), lambda name=name: handle(name))
    def handle(name):
        with (folder / "signals").open("a") as file:
            file.write(name + " ")
        if not (folder / "stubborn").exists():
            leave(name)
    supervision.attach(loop, lambda: leave("supervisor lost"))
    tell(f"up-{supervision.restarts}", f"{os.getpid()} {os.getsid(0)}")
    BODY
    await end.wait()

asyncio.run(main())
sys.exit(int((folder / "code").read_text()) if (folder / "code").exists() else 0)
"""


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.005)


class Supervised:
    """A supervisor process with a stand-in for the manager."""

    def __init__(self, folder: Path, manager: str, arguments: tuple[str, ...] = ()) -> None:
        self.folder = folder
        (folder / "manager.py").write_text(manager)
        command = [sys.executable, str(folder / "manager.py"), str(folder), *arguments]
        self.process = subprocess.Popen(
            supervisor_of(command), stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )

    def manager_pid(self, restart: int = 0) -> int:
        """Wait until the manager of this restart is up."""
        file = self.folder / f"up-{restart}"
        wait_for(file.exists, f"start {restart} of the manager")
        return int(file.read_text().split()[0])

    def end(self) -> tuple[int, str]:
        """Exit code and what was said on standard error."""
        out, err = self.process.communicate(timeout=DEADLINE)
        assert out == b""
        return self.process.returncode, err.decode()

    def left(self) -> str:
        """Why the manager left."""
        file = self.folder / "left"
        wait_for(file.exists, "the manager's leaving")
        return file.read_text()


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    started: list[Supervised] = []

    def start(body: str = "pass", *, manager: str = MANAGER) -> Supervised:
        started.append(Supervised(tmp_path, manager.replace("BODY", body)))
        return started[-1]

    yield start
    for supervised in started:
        supervised.process.kill()
        supervised.process.communicate()
        for file in tmp_path.glob("up-*"):
            pid = int(file.read_text().split()[0])
            wait_for(lambda pid=pid: not is_running(pid) or kill(pid), f"the end of process {pid}")


def supervisor_of(command: list[str], first: str = "pass") -> list[str]:
    """A program that supervises another one."""
    run = f"import sys; from queueserver_manager.supervisor import Supervisor; sys.exit(Supervisor({command!r}).run())"
    return [sys.executable, "-c", f"{first}\n{run}"]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def kill(pid: int) -> bool:
    os.kill(pid, signal.SIGKILL)
    return False


def test_an_orderly_end_of_the_manager_ends_the_supervisor(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise("end.set()")
    assert supervised.end() == (0, "")


@pytest.mark.parametrize("code", [exit_codes.REFUSED, exit_codes.FENCED])
def test_a_refused_or_fenced_manager_is_not_started_again(
    supervise: Callable[..., Supervised], tmp_path: Path, code: int
) -> None:
    (tmp_path / "code").write_text(str(code))
    supervised = supervise("end.set()")
    assert supervised.end() == (code, "")
    assert not (tmp_path / "up-1").exists()


@pytest.mark.parametrize("code", [1, 2])
def test_errors_of_settings_are_passed_on_as_they_are(supervise: Callable[..., Supervised], code: int) -> None:
    supervised = supervise(manager=f"import sys\nsys.stderr.write('the sentence')\nsys.exit({code})\n")
    assert supervised.end() == (code, "the sentence")


def test_a_killed_manager_is_started_again_at_once(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise()
    first = supervised.manager_pid()
    os.kill(first, signal.SIGKILL)
    assert supervised.manager_pid(restart=1) != first
    os.kill(supervised.process.pid, signal.SIGINT)
    assert supervised.end() == (0, "start-re-manager: The manager was killed by SIGKILL; it is started again.\n")


def test_a_crash_after_the_start_is_followed_by_a_restart_whatever_its_code(
    supervise: Callable[..., Supervised],
) -> None:
    supervised = supervise("if supervision.restarts == 0: os._exit(1)")
    supervised.manager_pid(restart=1)
    os.kill(supervised.process.pid, signal.SIGINT)
    assert "ended with exit code 1; it is started again" in supervised.end()[1]


def test_the_supervisor_gives_up_after_five_restarts(supervise: Callable[..., Supervised], tmp_path: Path) -> None:
    supervised = supervise("os.kill(os.getpid(), signal.SIGKILL)")
    code, text = supervised.end()
    assert code == exit_codes.GAVE_UP
    assert len(list(tmp_path.glob("up-*"))) == 6
    assert text.count("it is started again") == 5
    assert "It was started again 5 times within a minute, so this is the end" in text


def test_a_hung_manager_is_killed_and_started_again(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise("if supervision.restarts == 0: time.sleep(1000)")
    supervised.manager_pid()
    begin = time.monotonic()
    supervised.manager_pid(restart=1)
    assert 2.0 < time.monotonic() - begin < 20.0
    os.kill(supervised.process.pid, signal.SIGINT)
    assert "did not react any more and was killed; it is started again" in supervised.end()[1]


@pytest.mark.parametrize(
    ("number", "passed_on", "code"),
    [(signal.SIGINT, "SIGINT", 0), (signal.SIGTERM, "SIGTERM", 1), (signal.SIGHUP, "SIGTERM", 1)],
)
def test_signals_are_passed_on_once_and_decide_the_exit_code(
    supervise: Callable[..., Supervised], number: int, passed_on: str, code: int, tmp_path: Path
) -> None:
    (tmp_path / "stubborn").touch()
    supervised = supervise()
    pid = supervised.manager_pid()
    os.kill(supervised.process.pid, number)
    signals = tmp_path / "signals"
    wait_for(signals.exists, "the signal")
    os.kill(supervised.process.pid, number)  # the echo that a shell or a wrapper sends
    (tmp_path / "stubborn").unlink()
    os.kill(pid, getattr(signal, passed_on))
    assert supervised.end() == (code, "")
    assert signals.read_text().split() == [passed_on, passed_on]


def test_a_second_wish_to_end_ends_the_manager_at_once(supervise: Callable[..., Supervised], tmp_path: Path) -> None:
    (tmp_path / "stubborn").touch()
    supervised = supervise()
    supervised.manager_pid()

    def killed() -> bool:
        os.kill(supervised.process.pid, signal.SIGINT)
        return supervised.process.poll() is not None

    wait_for(killed, "the end")
    code, text = supervised.end()
    assert code == 0
    assert "The manager is ended at once. A running worker goes on" in text


def test_the_manager_is_out_of_reach_of_the_terminal(supervise: Callable[..., Supervised], tmp_path: Path) -> None:
    supervised = supervise()
    pid = supervised.manager_pid()
    session = int((tmp_path / "up-0").read_text().split()[1])
    assert session == pid != os.getsid(supervised.process.pid)


def test_a_manager_notices_that_its_supervisor_was_killed(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise()
    pid = supervised.manager_pid()
    supervised.process.kill()
    assert supervised.left() == "supervisor lost"
    wait_for(lambda: not is_running(pid), "the manager's end")


def test_what_the_manager_starts_keeps_no_pipe_open(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise(
        "child = await asyncio.create_subprocess_exec('sleep', '60', close_fds=False); tell('child', str(child.pid))"
    )
    pid = supervised.manager_pid()
    child = supervised.folder / "child"
    wait_for(child.exists, "the child")
    links = {str(link.readlink()) for link in Path(f"/proc/{child.read_text()}/fd").iterdir()}
    os.kill(int(child.read_text()), signal.SIGKILL)
    ours = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if int(link.name) > 2}
    pipes = {link for link in ours if link.startswith("pipe")}
    assert len(pipes) >= 2
    assert not pipes & links


def test_a_signal_that_was_ignored_at_the_start_stays_ignored(tmp_path: Path) -> None:
    (tmp_path / "manager.py").write_text(MANAGER.replace("BODY", "pass"))
    command = [sys.executable, str(tmp_path / "manager.py"), str(tmp_path)]
    process = subprocess.Popen(["nohup", *supervisor_of(command)], stdin=subprocess.DEVNULL)
    wait_for((tmp_path / "up-0").exists, "the start")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE) == 0
    assert (tmp_path / "signals").read_text().split() == ["SIGINT"]


def test_orphans_are_reaped_as_process_1_must(tmp_path: Path) -> None:
    """A supervisor that adopts orphans, as process 1 of a container does, leaves no zombie behind."""
    file = str(tmp_path / "orphan")
    orphan = f"import os; os.fork() and os._exit(0); os.setsid(); open({file!r}, 'w').write(str(os.getpid()))"
    manager = MANAGER.replace("BODY", f"await asyncio.create_subprocess_exec(sys.executable, '-c', {orphan!r})")
    (tmp_path / "manager.py").write_text(manager)
    command = [sys.executable, str(tmp_path / "manager.py"), str(tmp_path)]
    adopt_orphans = "import ctypes; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)"
    process = subprocess.Popen(supervisor_of(command, adopt_orphans))
    try:
        wait_for(lambda: (tmp_path / "orphan").exists() and (tmp_path / "orphan").read_text(), "the orphan")
        pid = int((tmp_path / "orphan").read_text())
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the reaping of the orphan")
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0


def test_the_supervisor_is_small() -> None:
    program = """
import sys
def memory(): return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
before, modules = memory(), set(sys.modules)
from queueserver_manager.supervisor import main
print(memory() - before, *(set(sys.modules) - modules))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    grown, *imported = result.stdout.split()
    large = {"subprocess", "asyncio", "argparse", "logging", "typing", "dataclasses", "zmq", "redis", "yaml"}
    assert not large.intersection(imported)
    # A bare interpreter takes about 9 MB: 12 MB in all.
    assert int(grown) <= 3 * 1024
