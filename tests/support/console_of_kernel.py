"""Consoles of a worker's IPython kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient

MAGICS = """
%env MADE_BY_A_MAGIC=yes
lines = !echo a line of the shell
"""

HELPERS = """
from bluesky_queueserver import is_ipython_mode, set_user_ns
mode = is_ipython_mode()


@set_user_ns
def func_for_test_shell(ipython, user_ns):
    return [type(ipython).__name__, user_ns["mode"], user_ns["lines"]]
"""

FILES = {"10-magics.ipy": MAGICS, "20-helpers.py": HELPERS}
"""Startup code that only a kernel can run; its function returns `SEEN_IN_A_KERNEL`."""
SEEN_IN_A_KERNEL = ["ZMQInteractiveShell", True, ["a line of the shell"]]

IDLE = {"ip_kernel_state": "idle", "ip_kernel_captured": False}
"""The status while nothing is executed."""


class KernelConsole:
    """What somebody types in a console of the kernel."""

    def __init__(self, info: dict[str, Any]) -> None:
        """`info`: what `config_get` tells."""
        self._client = BlockingKernelClient()
        self._client.load_connection_info(info)
        self._client.start_channels(stdin=False, hb=False)
        self._client.wait_for_ready(timeout=30)

    def start(self, code: str) -> str:
        uid: str = self._client.execute(code)
        return uid

    def type(self, code: str) -> Any:
        """The content of the kernel's reply to a line."""
        return self.reply(self.start(code))

    def reply(self, uid: str) -> Any:
        while True:
            reply = self._client.get_shell_msg(timeout=30)
            if reply["parent_header"]["msg_id"] == uid:
                return reply["content"]

    def close(self) -> None:
        self._client.stop_channels()


def run_console(
    address: str, text: str = "", program: str = "main", **variables: str
) -> subprocess.CompletedProcess[str]:  # it reads what is typed from a pipe
    """Run `qserver-console`, or `qserver-qtconsole` with the program `main_qt`, and type a text."""
    code = f"import sys; from queueserver_cli import kernel_console; sys.exit(kernel_console.{program}())"
    environment = os.environ | {"QSERVER_ZMQ_CONTROL_ADDRESS": address} | variables
    return subprocess.run(
        [sys.executable, "-c", code],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
