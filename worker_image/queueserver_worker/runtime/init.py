"""The worker as process 1 of a container: a small parent that does what the kernel leaves to process 1.

Orphans of whatever startup code and plans start become children of process 1, which has to wait for them. The worker
itself cannot: it would take the exit codes of its own children from the code that started them. So process 1 is the
interpreter as it was before it imported anything, and the worker its child. Signals are passed on, and the container
ends when the worker does, with its exit code.
"""

from __future__ import annotations

import contextlib
import os
import signal

_SIGNAL_BASE = 128
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def split_off_init() -> None:
    """Return in the worker's process; process 1 stays behind and ends with it. Does nothing in any other process."""
    if os.getpid() != 1:
        return
    # Held back until there is somebody to pass them on to.
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    worker = os.fork()
    if worker == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
        return
    for number in _PASSED_ON:
        signal.signal(number, lambda received, _: _pass_on(worker, received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    os._exit(_reap_until_the_end_of(worker))


def _pass_on(worker: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended a moment ago
        os.kill(worker, number)


def _reap_until_the_end_of(worker: int) -> int:
    """Exit code for the container: the worker's, or 128 and the number of the signal that killed it."""
    while True:
        pid, status = os.wait()
        if pid == worker:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else _SIGNAL_BASE - code
