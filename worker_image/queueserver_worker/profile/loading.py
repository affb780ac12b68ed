"""Load the startup code of an environment from a directory, a script or a module (plans-and-permissions 1)."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from queueserver_common import loggers
from queueserver_common.startup import StartupSource
from queueserver_worker.profile import helpers, importable, ipython_stand_in, user_namespace
from queueserver_worker.profile.errors import IsStartupFile, StartupError, startup_error
from queueserver_worker.profile.execution import run_file
from queueserver_worker.profile.user_namespace import Namespace

_log = logging.getLogger(loggers.PROFILE)


def load_startup(source: StartupSource, profile_startup: str = "") -> Namespace:
    """Run the startup code in this process and return its namespace.

    `profile_startup`: directory of an IPython profile whose files a kernel runs before, as IPython would; there may be
    none.

    Directory: all `*.py` and `*.ipy` files in the order of their names, in one namespace; the directory stays on
    `sys.path`. Script: its directory is on `sys.path` while it runs, and modules that it imports from there are
    forgotten afterwards, so that the next run reads them again. Module: imported, its names copied.

    Marks this process as a worker, and forgets what an earlier call registered. Raises StartupError.
    """
    helpers.forget_registrations()
    helpers.mark_worker_active()
    importable.install()
    if profile_startup and _startup_files(Path(profile_startup)):
        _load_directory(profile_startup)
    load = {"directory": _load_directory, "script": _load_script, "module": _load_module}[source.kind]
    return load(source.value)


def _load_directory(value: str) -> Namespace:
    directory = Path(value).expanduser().absolute()
    if not directory.is_dir():
        problem = "is not a directory" if directory.exists() else "does not exist"
        raise StartupError(f"The startup directory '{directory}' {problem}.", file=str(directory))
    files = _startup_files(directory)
    if not files:
        raise StartupError(
            f"The startup directory '{directory}' holds no startup code: it needs at least one *.py or *.ipy file.",
            file=str(directory),
        )
    namespace = _new_namespace()
    namespace["get_ipython"] = ipython_stand_in.get_ipython
    user_namespace.activate(namespace)
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    for path in files:
        _log.info("Loading startup file '%s'", path)
        run_file(path, namespace, _below(directory), replace_ipython=True)
    return namespace


def _startup_files(directory: Path) -> list[Path]:
    """The code files of a directory in the order of their names; none when it does not exist."""
    if not directory.is_dir():
        return []
    files = (path for path in directory.iterdir() if path.suffix in (".py", ".ipy") and path.is_file())
    return sorted(files, key=lambda path: path.name)


def _load_script(value: str) -> Namespace:
    script = Path(value).expanduser().absolute()
    if not script.is_file():
        problem = "is not a file" if script.exists() else "does not exist"
        raise StartupError(f"The startup script '{script}' {problem}.", file=str(script))
    namespace = _new_namespace()
    user_namespace.activate(namespace)
    _log.info("Loading startup script '%s'", script)
    with modules_read_again(script.parent):
        run_file(script, namespace, _below(script.parent), replace_ipython=False)
    return namespace


def _load_module(name: str) -> Namespace:
    _log.info("Loading startup module '%s'", name)
    try:
        module = importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise StartupError(
                f"The startup module '{name}' cannot be found: {error}. "
                "It must be installed in the worker's environment or lie on PYTHONPATH.",
                exception=type(error).__qualname__,
            ) from error
        raise startup_error(error, _in_package_of(name)) from error
    except BaseException as error:
        raise startup_error(error, _in_package_of(name)) from error
    namespace = dict(vars(module))
    if (shell := ipython_stand_in.kernel_shell()) is not None:
        namespace = _into_shell(namespace, shell.user_ns)
    user_namespace.activate(namespace)
    return namespace


def _new_namespace() -> Namespace:
    """An empty namespace, or in a kernel the one that its consoles show."""
    shell = ipython_stand_in.kernel_shell()
    return user_namespace.new_main_namespace() if shell is None else shell.user_ns


def _into_shell(names: Namespace, user_ns: Namespace) -> Namespace:
    """The namespace of the kernel with the names of a module, but for those that say what a module is."""
    user_ns.update({name: value for name, value in names.items() if not name.startswith("__")})
    return user_ns


@contextmanager
def modules_read_again(directory: Path) -> Iterator[None]:
    """Put a directory on `sys.path` for a while; forget modules imported from it meanwhile."""
    loaded_before = set(sys.modules)
    entry = str(directory)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)
        belongs = _below(directory)
        for name in set(sys.modules) - loaded_before:
            if belongs(getattr(sys.modules[name], "__file__", None) or ""):
                del sys.modules[name]


def _below(directory: Path) -> IsStartupFile:
    prefixes = {f"{directory}{os.sep}", f"{directory.resolve()}{os.sep}"}
    return lambda filename: filename.startswith(tuple(prefixes))


def _in_package_of(module_name: str) -> IsStartupFile:
    """Files of the top-level package (or of the single-file module) that the startup module belongs to."""
    top_level = module_name.partition(".")[0]
    try:
        spec = importlib.util.find_spec(top_level)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return lambda _: False
    if spec.submodule_search_locations is not None:
        prefixes = tuple(f"{location}{os.sep}" for location in spec.submodule_search_locations)
        return lambda filename: filename.startswith(prefixes)
    return lambda filename: filename == spec.origin
