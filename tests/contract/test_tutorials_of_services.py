"""The manager as an application in a terminal and as a service of systemd: what people start, and how it ends."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Callable, Iterator

import pytest

from contract_manager import COUNT, ContractManager

pytestmark = pytest.mark.timeout(180)


class ScriptedManager(ContractManager):
    """Started as the script of a unit starts it: from bash, silent."""

    def command(self) -> list[str]:
        script = self.directory / "queue-server.sh"
        words = shlex.join([*super().command(), "--console-output", "OFF"])
        script.write_text(f"# The environment is activated here.\n{words}\n")
        return ["/usr/bin/env", "bash", str(script)]


@pytest.fixture
def service() -> Iterator[ScriptedManager]:
    manager = ScriptedManager()
    yield manager
    manager.close()


@pytest.mark.row("cli", "an application")
def test_an_application_in_a_terminal_ends_with_ctrl_c(start_manager: Callable[..., ContractManager]) -> None:
    # start-re-manager --zmq-publish-console ON --startup-dir DIRECTORY --keep-re
    manager = start_manager(options=["--keep-re"])
    manager.open_environment()
    manager.run(COUNT)
    assert [entry["result"]["exit_status"] for entry in manager.history] == ["completed"]
    manager.kill(manager.supervisor_pid, signal.SIGINT)
    assert manager.wait_end() == 0
    manager.assert_no_process_left()


@pytest.mark.row("cli", "a service")
def test_a_service_says_nothing_and_ends_when_systemd_stops_it(service: ScriptedManager) -> None:
    service.start()
    service.open_environment()
    (uid,) = service.fill(1)
    # systemctl stop: SIGTERM for all processes of the unit
    os.killpg(service.supervisor_pid, signal.SIGTERM)
    service.wait_end()
    service.assert_no_process_left()
    assert service.log_text == ""
    service.start()
    assert service.queue_uids == [uid]
    service.open_environment()
    service.run()
    assert [entry["result"]["exit_status"] for entry in service.history] == ["completed"]
    service.stop()
