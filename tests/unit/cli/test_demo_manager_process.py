from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ports import default_ports
from queueserver_cli.demo.__main__ import main
from queueserver_cli.demo.errors import DemoError
from queueserver_cli.demo.manager_process import ManagerProcess


def program(folder: Path, text: str) -> Path:
    path = folder / "start-re-manager"
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def wait_until_ended(manager: ManagerProcess) -> DemoError:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            manager.check()
        except DemoError as error:
            return error
        time.sleep(0.01)
    raise AssertionError("the manager did not end")


def test_a_missing_program_is_a_sentence() -> None:
    manager = ManagerProcess(Path("/nonexistent/start-re-manager"))
    with pytest.raises(DemoError, match=r"The manager cannot be started: .*make demo"):
        manager.start()
    manager.stop()
    manager.remove_data()


def test_a_manager_that_ends_is_reported_with_its_code_and_the_end_of_its_log(tmp_path: Path) -> None:
    manager = ManagerProcess(program(tmp_path, "import sys; print('disk full'); sys.exit(1)"))
    manager.start()
    error = str(wait_until_ended(manager))
    assert "exit code 1" in error
    assert str(manager.log) in error
    assert error.endswith("disk full")
    manager.stop()
    manager.remove_data()
    assert not manager.directory.exists()


def test_the_demonstration_fails_with_a_sentence_and_keeps_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = program(tmp_path, "import sys; sys.exit('no profile')")
    done = subprocess.run(
        [sys.executable, "-m", "queueserver_cli.demo", "--manager-program", str(broken)],
        capture_output=True,
        text=True,
        timeout=50,
        env=os.environ,
        check=False,
    )
    assert done.returncode == 1
    assert "The demonstration failed. The manager ended with exit code 1." in done.stdout
    assert "no profile" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    log = Path(done.stdout.split("Its log (")[1].split(")")[0])
    assert log.read_text() == "no profile\n"
    log.unlink()
    log.parent.rmdir()


def test_the_manager_does_not_get_settings_that_are_meant_for_other_managers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QSERVER_CONFIG", "/beamline/config.yaml")
    monkeypatch.setenv("QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER", "secret")
    text = "import os; print({n: v for n, v in os.environ.items() if n.startswith('QSERVER_')})"
    manager = ManagerProcess(program(tmp_path, text))
    manager.start()
    wait_until_ended(manager)
    expected = {
        "QSERVER_DATA_DIR": str(manager.directory / "data"),
        "QSERVER_RUNTIME_DIR": str(manager.directory / "run"),
    }
    assert manager.log.read_text() == f"{expected}\n"
    manager.stop()
    manager.remove_data()


def test_it_listens_at_files_when_the_usual_ports_are_in_use() -> None:
    with default_ports(), socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 60615))
        except OSError:
            pass  # somebody else has it, which is as good
        else:
            taken.listen()
        manager = ManagerProcess()
    assert not manager.usual_ports
    assert manager.control_address == f"ipc://{manager.directory}/control"
    assert manager.info_address == f"ipc://{manager.directory}/info"
    manager.remove_data()


def test_a_signal_in_the_middle_of_a_start_waits_until_the_process_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen

    def start_and_be_interrupted(*words: Any, **options: Any) -> Any:
        process = start(*words, **options)
        signal.raise_signal(signal.SIGINT)
        return process

    monkeypatch.setattr(subprocess, "Popen", start_and_be_interrupted)
    manager = ManagerProcess(program(tmp_path, "import time; time.sleep(600)"))
    with pytest.raises(KeyboardInterrupt):
        manager.start()
    manager.check()  # it runs, and is known
    manager.stop()
    with pytest.raises(DemoError, match="ended"):
        manager.check()
    manager.remove_data()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_stopping_leaves_no_process_behind_even_if_the_manager_does_not_answer(tmp_path: Path) -> None:
    text = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    manager = ManagerProcess(program(tmp_path, text))
    manager.start()
    deadline = time.monotonic() + 20
    while not manager.log.read_text().endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child = int(manager.log.read_text())
    manager.stop()
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split():
        assert time.monotonic() < deadline + 20
        time.sleep(0.01)
    manager.remove_data()


def test_help_says_how_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "half a minute" in capsys.readouterr().out
