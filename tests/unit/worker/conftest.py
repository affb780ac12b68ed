"""Startup code changes the process that it is loaded in; the fixture puts everything back."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queueserver_common.startup import SourceKind, StartupSource
from queueserver_worker.profile import Namespace, helpers, load_startup, user_namespace

Load = Callable[[SourceKind, "Path | str"], Namespace]


@pytest.fixture
def process_restored() -> Iterator[None]:
    """Restore what loading startup code changes in its process."""
    environment, path, finders = dict(os.environ), list(sys.path), list(sys.meta_path)
    main, modules = sys.modules["__main__"], set(sys.modules)
    namespace = user_namespace.active()
    yield
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if "pytest" in file or name.startswith("bluesky_queueserver"):
            del sys.modules[name]
    sys.modules["__main__"] = main
    sys.path[:], sys.meta_path[:] = path, finders
    os.environ.clear()
    os.environ.update(environment)
    helpers.forget_registrations()
    user_namespace.activate(namespace)
    linecache.clearcache()


@pytest.fixture
def load(process_restored: None) -> Load:
    """Load startup code in this process."""
    return lambda kind, value: load_startup(StartupSource(kind, str(value)))


@pytest.fixture
def startup_dir(tmp_path: Path) -> Path:
    """An empty directory for startup files."""
    directory = tmp_path / "startup"
    directory.mkdir()
    return directory
