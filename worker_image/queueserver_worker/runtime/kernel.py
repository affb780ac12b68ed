"""The main thread of a worker that runs in an IPython kernel (design: the IPython-kernel mode).

The kernel owns the main thread. Work of the worker is sent to it as an execute request of the worker's own client, so
that it takes its turn with what people type in a console. What the kernel prints goes to its clients and from there to
the worker's console.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NoReturn

from queueserver_common import loggers
from queueserver_worker.profile import ipython_stand_in
from queueserver_worker.runtime.main_thread import Work
from queueserver_worker.runtime.state import WorkerState
from queueserver_worker.runtime.threads import start_thread

_log = logging.getLogger(loggers.WORKER)

IPYTHON_VARIABLE = "_QSERVER_RUNNING_IPYTHON_KERNEL"
"""Environment variable by which startup code tells that it runs in a kernel (plans-and-permissions 1)."""

CHANNELS = ("shell", "iopub", "stdin", "hb", "control")

_SERVE = f"import sys; sys.modules[{__name__!r}].serve_posted_work()"
"""What the worker's client has the kernel execute."""


class KernelUnavailableError(Exception):
    """The kernel cannot be started; the text is a sentence."""


class KernelMain:
    """Hands work to the kernel's main thread, and follows what else the kernel does."""

    def __init__(self, settings: Mapping[str, Any], state: WorkerState) -> None:
        """`settings`: `ip`, `connection_file`, `connection_dir`, `ports` by channel and `matplotlib`, all optional."""
        self.person_is_done: Work = lambda: None
        """Called in the main thread when code that a person typed has come to its end."""
        self._settings = settings
        self._state = state
        self._work: SimpleQueue[Work] = SimpleQueue()
        self._wanted: SimpleQueue[None] = SimpleQueue()
        self._after_each: Work = lambda: None
        state.change(lambda view: replace(view, kernel_state="starting"))

    def post(self, work: Work) -> None:
        """Hand in work; from any thread and from signal handlers."""
        self._work.put(work)
        self._wanted.put(None)

    def serve(self, after_each: Work, shutdown: Work) -> NoReturn:
        """Run the kernel in the main thread; `shutdown` when a client has ended it. Leaving ends the process.

        Raises KernelUnavailableError.
        """
        global _main
        _main = self
        self._after_each = after_each
        os.environ[IPYTHON_VARIABLE] = "1"
        app = self._make()
        shell = app.shell
        ipython_stand_in.use_shell(shell)
        shell.events.register("pre_run_cell", self._person_begins)
        shell.events.register("post_run_cell", self._person_ends)
        connection = _connection_of(app)
        self._state.change(
            lambda view: replace(view, kernel_state="idle", kernel_captured=False, kernel_connection=connection)
        )
        start_thread("kernel-client", lambda: self._ask(connection))
        app.start()
        # A console asked the kernel to end, and with it the worker.
        shutdown()
        raise AssertionError("a worker ends its process itself")

    def serve_without_kernel(self, after_each: Work) -> NoReturn:
        """The kernel could not be started: do what is posted in plain Python."""
        while True:
            self._work.get()()
            after_each()

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in what the kernel executes; nothing happens when it executes nothing."""
        if self._state.view.kernel_state == "busy":
            os.kill(os.getpid(), signal.SIGINT)

    def work_off(self) -> None:
        """In the main thread, inside of an execute request: do what was posted."""
        self._state.change(lambda view: replace(view, kernel_state="busy", kernel_captured=True))
        try:
            while True:
                with contextlib.suppress(KeyboardInterrupt):
                    self._work.get_nowait()()
                    self._after_each()
        except Empty:
            pass
        finally:
            self._state.change(lambda view: replace(view, kernel_state="idle", kernel_captured=False))

    def _make(self) -> Any:
        try:
            from ipykernel.kernelapp import IPKernelApp
        except ImportError as error:
            raise KernelUnavailableError(
                f"The worker is to run in an IPython kernel, but ipykernel cannot be imported ({error}): "
                "install it beside the startup code's packages."
            ) from None
        # The kernel copies what is printed to the streams that it finds here.
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc, assignment]
        app: Any = IPKernelApp.instance(**self._options())
        with contextlib.suppress(OSError):
            Path(app.connection_dir).mkdir(parents=True, exist_ok=True, mode=0o700)
        app.initialize([])
        if backend := self._settings.get("matplotlib"):
            app.shell.enable_matplotlib(backend)
        return app

    def _options(self) -> dict[str, Any]:
        settings = self._settings
        options: dict[str, Any] = {
            "ip": _address(str(settings.get("ip") or "localhost")),
            # A pipe that is read by a thread of the same process may fill up while that thread waits for the main one.
            "capture_fd_output": False,
            "log_level": logging.CRITICAL,
            "quiet": False,
            # Startup files are loaded by the worker, which tells what is wrong with them.
            "exec_PYTHONSTARTUP": False,
        }
        for channel, port in (settings.get("ports") or {}).items():
            options[f"{channel}_port"] = port
        if directory := settings.get("connection_dir"):
            options["connection_dir"] = str(directory)
        if file := settings.get("connection_file"):
            options["connection_file"] = str(file)
        return options

    def _person_begins(self, _info: object) -> None:
        self._state.change(lambda view: replace(view, kernel_state="busy", kernel_captured=False))

    def _person_ends(self, _result: object) -> None:
        self._state.change(lambda view: replace(view, kernel_state="idle", kernel_captured=False))
        self.person_is_done()

    def _ask(self, connection: bytes) -> None:
        """The worker's client: one execute request after another, one for each piece of work."""
        import zmq
        from jupyter_client.session import Session

        info = json.loads(connection)
        session = Session(key=info["key"].encode(), signature_scheme=info["signature_scheme"])
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        socket.linger = 0
        socket.connect(f"{info['transport']}://{info['ip']}:{info['shell_port']}")
        content = {
            "code": _SERVE,
            "silent": True,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        while True:
            self._wanted.get()
            status = "aborted"
            # When code of a person fails, a kernel refuses what comes in a moment, whoever sent it.
            while status == "aborted":
                session.send(socket, "execute_request", content)
                _, reply = session.recv(socket, mode=0)
                assert reply is not None  # it has been waited for
                status = reply["content"]["status"]


_main: KernelMain | None = None


def serve_posted_work() -> None:
    """What an execute request of the worker's client calls."""
    assert _main is not None
    _main.work_off()


def _connection_of(app: Any) -> bytes:
    """What a client needs to connect, as JSON text (`config_get`, zmq-api 5.1)."""
    info = {"transport": app.transport, "ip": app.ip}
    info |= {f"{channel}_port": getattr(app, f"{channel}_port") for channel in CHANNELS}
    info |= {"signature_scheme": app.session.signature_scheme, "key": app.session.key.decode()}
    return json.dumps(info).encode("ascii")


def _address(ip: str) -> str:
    """The address to listen at: `localhost`, `auto` (that of this machine's network) or one that is given."""
    if ip == "localhost":
        return "127.0.0.1"
    if ip == "auto":
        return own_address()
    return ip


def own_address(connect: Callable[[], str] | None = None) -> str:
    """The address from which this machine reaches others; 127.0.0.1 when it reaches none."""
    try:
        return (connect or _address_of_route)()
    except OSError:
        return "127.0.0.1"


def _address_of_route() -> str:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; an address that belongs to nobody
        return str(probe.getsockname()[0])
