"""Say what went wrong in startup code in terms of the user's own files."""

from __future__ import annotations

import traceback as tracebacks
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

IsStartupFile = Callable[[str], bool]
"""Tells whether a file name of a traceback belongs to the startup code."""

_OWN_PACKAGE = str(Path(__file__).resolve().parent.parent)


class StartupError(Exception):
    """Startup code could not be loaded; the environment does not open (plans-and-permissions 1)."""

    def __init__(
        self, message: str, *, exception: str = "", file: str = "", line: int = 0, traceback: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        """A sentence with the exception and, where known, file and line."""
        self.exception = exception
        """Name of the exception's class; empty when the code was never run."""
        self.file = file
        """File of the startup code in which the innermost frame lies; empty when unknown."""
        self.line = line
        """Line in `file`, from 1; 0 when unknown."""
        self.traceback = traceback
        """Traceback from the startup code inwards, without frames of the worker; empty when the code was never run."""


def startup_error(error: BaseException, is_startup_file: IsStartupFile) -> StartupError:
    """Describe an exception that startup code raised."""
    summary = tracebacks.TracebackException.from_exception(error)
    file, line = _location(error, summary, is_startup_file)
    for part in _chain(summary):
        part.stack = tracebacks.StackSummary.from_list(_user_frames(part.stack, is_startup_file))
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    name = type(error).__qualname__
    where = f" ({file}, line {line})" if file else ""
    return StartupError(
        (f"{name}: {text}" if text else name) + where,
        exception=name,
        file=file,
        line=line,
        traceback="".join(summary.format()),
    )


def _location(
    error: BaseException, summary: tracebacks.TracebackException, is_startup_file: IsStartupFile
) -> tuple[str, int]:
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno or 0
    for frame in reversed(summary.stack):
        if is_startup_file(frame.filename):
            return frame.filename, frame.lineno or 0
    return "", 0


def _chain(summary: tracebacks.TracebackException | None) -> Iterator[tracebacks.TracebackException]:
    """The exception and everything that `format` prints with it: causes, contexts and members of groups."""
    if summary is not None:
        yield summary
        for related in (summary.__cause__, summary.__context__, *(summary.exceptions or ())):
            yield from _chain(related)


def _user_frames(
    frames: Iterable[tracebacks.FrameSummary], is_startup_file: IsStartupFile
) -> list[tracebacks.FrameSummary]:
    """Frames from the first one in startup code inwards; the importing machinery and the worker are left out."""
    kept = list(frames)
    first = next((number for number, frame in enumerate(kept) if is_startup_file(frame.filename)), 0)
    return [
        frame
        for frame in kept[first:]
        if not frame.filename.startswith(("<frozen importlib", _OWN_PACKAGE)) or is_startup_file(frame.filename)
    ]
