"""`start-re-manager`: starts the manager process, starts it again after a crash, and hands signals on to it.

It knows nothing of settings: the command line goes to the manager as it is. It stays small and simple, so that it
lives as long as the machine. As process 1 of a container it also reaps what others leave behind.

The manager runs in a session of its own, so that Ctrl-C reaches only the supervisor, which passes it on once.
Two pipes connect the two: the manager writes a byte twice a second (silence: it hangs and is killed), and notices by
the end of the other pipe that the supervisor has gone.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

from queueserver_manager.restart_policy import (
    RETRY_DELAY,
    SILENT_AFTER,
    Leave,
    Restart,
    RestartPolicy,
    code_after_signal,
    hangs,
)

PIPES_VARIABLE = "QSERVER_SUPERVISOR"
"""Tells the manager the descriptors of the pipes: "<to write beats to>,<to watch>"."""

RESTART_VARIABLE = "QSERVER_MANAGER_RESTART"
"""Tells the manager how often it was started again: 0 at first."""

_REPEATED_SIGNAL_AFTER = 1.0
"""Seconds after which another signal counts as a second wish and not as an echo of the first."""

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Child:
    """A running manager process."""

    def __init__(self, pid: int, beats: int, lifeline: int) -> None:
        self.pid = pid
        self.beats = beats
        self.lifeline = lifeline
        self.last_beat = 0.0
        """Monotonic time; 0 before the first beat."""
        self.hung = False
        self.beats_open = True

    def read_beats(self) -> None:
        """Take all beats that have come."""
        if data := os.read(self.beats, 4096):
            self.last_beat = time.monotonic()
        self.beats_open = bool(data)

    def close(self) -> None:
        os.close(self.beats)
        os.close(self.lifeline)


class Supervisor:
    """Keeps one process running until it ends for good or a signal asks for the end."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._policy = RestartPolicy()
        self._child: _Child | None = None
        self._start_at: float | None = time.monotonic()
        self._received: list[int] = []
        self._stopped_by = 0
        self._stopped_at = 0.0
        self._wakeup, wakeup_writer = os.pipe()
        for end in (self._wakeup, wakeup_writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakeup_writer)
        signal.signal(signal.SIGCHLD, self._remember)
        for number in _STOP_SIGNALS:
            # Who starts it with nohup or in the background of a script wants the signal ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._remember)

    def run(self) -> int:
        """Supervise until the end; returns the exit code."""
        while True:
            if self._start_at is not None and time.monotonic() >= self._start_at:
                self._start()
            self._wait()
            if self._pass_signals_on():
                return self._leave(code_after_signal(self._stopped_by))
            decision = self._reap()
            if isinstance(decision, Leave):
                _say(decision.sentence)
                return self._leave(decision.code)
            if isinstance(decision, Restart):
                _say(decision.sentence)
                self._start_at = time.monotonic() + decision.delay

    def _leave(self, code: int) -> int:
        """From here on no signal may change the exit code; the interpreter would restore its default action."""
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        return code

    def _remember(self, number: int, _frame: object) -> None:
        self._received.append(number)

    def _start(self) -> None:
        self._start_at = None
        beats, beats_of_child = os.pipe()
        lifeline_of_child, lifeline = os.pipe()
        environment = os.environ | {
            PIPES_VARIABLE: f"{beats_of_child},{lifeline_of_child}",
            RESTART_VARIABLE: str(self._policy.restarts),
        }
        for end in (beats_of_child, lifeline_of_child):
            os.set_inheritable(end, True)
        try:
            pid = os.posix_spawn(self._command[0], self._command, environment, setsid=True)
        except OSError as error:
            _say(f"The manager cannot be started: {error.strerror}; trying again.")
            self._start_at = time.monotonic() + RETRY_DELAY
            os.close(beats)
            os.close(lifeline)
        else:
            self._child = _Child(pid, beats, lifeline)
        finally:
            os.close(beats_of_child)
            os.close(lifeline_of_child)

    def _wait(self) -> None:
        """Sleep until a signal, a beat, or the time of the next thing to do; kill a manager that hangs."""
        child = self._child
        descriptors = [self._wakeup]
        until = self._start_at
        if child is not None:
            if child.beats_open:
                descriptors.append(child.beats)
            if child.last_beat and not child.hung:
                until = child.last_beat + SILENT_AFTER
        timeout = None if until is None else max(0.0, until - time.monotonic())
        ready, _, _ = select.select(descriptors, [], [], timeout)
        now = time.monotonic()
        if self._wakeup in ready:
            os.read(self._wakeup, 4096)
        if child is None:
            return
        if child.beats in ready:
            child.read_beats()
        elif until is not None and now >= until:
            if hangs(until, now):
                child.hung = True
                os.kill(child.pid, signal.SIGKILL)
            else:
                child.last_beat = now

    def _pass_signals_on(self) -> bool:
        """Hand the wish to end on to the manager; true when there is none and the supervisor can leave at once."""
        received, self._received = self._received, []
        for number in received:
            if number == signal.SIGCHLD:
                continue
            now = time.monotonic()
            first = not self._stopped_by
            if first:
                self._stopped_by, self._stopped_at = number, now
            if self._child is None:
                return True
            if first:
                os.kill(self._child.pid, signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
            elif now - self._stopped_at >= _REPEATED_SIGNAL_AFTER:
                _say("The manager is ended at once. A running worker goes on and is found by the next start.")
                os.kill(self._child.pid, signal.SIGKILL)
        return False

    def _reap(self) -> Restart | Leave | None:
        """Take the exit codes of all processes that have ended; decide when the manager is among them."""
        decision = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return decision
            if pid == 0:
                return decision
            child = self._child
            if child is None or pid != child.pid:
                continue
            self._child = None
            if child.beats_open and select.select([child.beats], [], [], 0)[0]:
                child.read_beats()
            child.close()
            decision = self._policy.decide(
                os.waitstatus_to_exitcode(status),
                up=child.last_beat > 0,
                hung=child.hung,
                stopped_by=self._stopped_by,
                now=time.monotonic(),
            )


def _say(sentence: str) -> None:
    if sentence:
        # When the terminal has gone, the manager is worth more than the message.
        with contextlib.suppress(OSError):
            os.write(2, f"start-re-manager: {sentence}\n".encode())


def main() -> int:
    """Entry point of `start-re-manager`; returns the exit code."""
    # -P: the current directory is no place to import from, a beamline may have any names in it.
    return Supervisor([sys.executable, "-P", "-m", "queueserver_manager", *sys.argv[1:]]).run()


if __name__ == "__main__":
    sys.exit(main())
