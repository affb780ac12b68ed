"""Run one file of startup code in a namespace."""

from __future__ import annotations

import ast
import importlib.util
import linecache
from pathlib import Path

from queueserver_worker.profile import ipython_stand_in
from queueserver_worker.profile.errors import IsStartupFile, StartupError, startup_error
from queueserver_worker.profile.user_namespace import Namespace


def run_file(path: Path, namespace: Namespace, is_startup_file: IsStartupFile, *, replace_ipython: bool) -> None:
    """Execute a file with `__file__` set to its path; `__file__` is gone afterwards.

    `replace_ipython` lets imports of IPython's `get_ipython` find the stand-in. Everything that the code raises,
    SystemExit included, becomes a `StartupError`; only KeyboardInterrupt passes, because a person sent it.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise StartupError(
            f"The startup file '{path}' cannot be read: {error.strerror or error}.", file=str(path)
        ) from error
    namespace["__file__"] = str(path)
    try:
        shell = ipython_stand_in.kernel_shell()
        if shell is not None and path.suffix == ".ipy":
            source = shell.transform_cell(source.decode("utf-8")).encode("utf-8")
        tree = ast.parse(source, filename=str(path))
        _keep_text(path, source)
        if replace_ipython and shell is None:
            tree = ipython_stand_in.replace_imports(tree)
        exec(compile(tree, str(path), "exec", dont_inherit=True), namespace)  # noqa: S102 - startup code is code
    except KeyboardInterrupt:
        raise
    except SyntaxError as error:
        raise _ipython_syntax_error(error) or startup_error(error, is_startup_file) from error
    except BaseException as error:
        raise startup_error(error, is_startup_file) from error
    finally:
        namespace.pop("__file__", None)


def _keep_text(path: Path, source: bytes) -> None:
    """Let tracebacks show the text that was loaded, also after the file was edited."""
    lines = importlib.util.decode_source(source).splitlines(keepends=True)
    # An entry without a modification time is never compared with the file again.
    linecache.cache[str(path)] = (len(source), None, lines, str(path))


def _ipython_syntax_error(error: SyntaxError) -> StartupError | None:
    if error.text is None or not ipython_stand_in.is_ipython_syntax(error.text):
        return None
    return StartupError(
        f"IPython syntax cannot run in plain Python: {error.text.strip()!r} ({error.filename}, line {error.lineno}). "
        "Write it as Python code or take it out.",
        exception="SyntaxError",
        file=error.filename or "",
        line=error.lineno or 0,
        traceback=startup_error(error, lambda _: False).traceback,
    )
