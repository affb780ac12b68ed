"""What an interpreter that is started ahead of an opening may import before it knows what it will load.

A module belongs into `SAFE_WARM_MODULES` only when importing it reads no environment variable and starts no thread:
then an environment that is opened in such an interpreter cannot be told from one opened in a fresh one. numpy, and with
it bluesky, ophyd and matplotlib, do both (OpenBLAS starts threads; cache directories, backends and control layers are
chosen by variables), so they are imported ahead only where a configuration names them.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

SAFE_WARM_MODULES: tuple[str, ...] = (
    # The standard library, as far as bluesky, ophyd and matplotlib import it.
    "asyncio",
    "concurrent.futures",
    "cProfile",
    "csv",
    "ctypes",
    "curses",
    "difflib",
    "email.parser",
    "gzip",
    "html.entities",
    "importlib.metadata",
    "importlib.resources",
    "pickle",
    "plistlib",
    "queue",
    "secrets",
    "shlex",
    "sqlite3",
    "unittest.mock",
    "uuid",
    "xml.etree.ElementTree",
    # What they depend on.
    "cycler",
    "dateutil.rrule",
    "historydict",
    "jsonschema",
    "kiwisolver",
    "packaging.version",
    "pydantic",
    "toolz",
    "typing_extensions",
    # The worker's own.
    "queueserver_worker.describe",
    "queueserver_worker.prepare",
    "queueserver_worker.profile",
)
"""Modules that may be imported ahead in any environment. One that is not installed there is left out."""

SIMULATED_PROFILE_WARM_MODULES: tuple[str, ...] = (
    "matplotlib.backends.backend_agg",
    "matplotlib.pyplot",
    "bluesky",
    "bluesky.callbacks.best_effort",
    "bluesky.plan_stubs",
    "bluesky.plans",
    "bluesky.preprocessors",
    "ophyd",
    "ophyd.sim",
    "ophyd_async",  # every RunEngine imports it, where it is installed, to note its version
)
"""Everything that the simulated profile imports. They read the environment and start threads: an interpreter that has
imported them may only open the simulated profile, in the environment variables it was started with."""


_LISTS = {"safe": SAFE_WARM_MODULES, "simulated": SAFE_WARM_MODULES + SIMULATED_PROFILE_WARM_MODULES}


def expand_warm_modules(names: Iterable[str]) -> list[str]:
    """Names of modules, with the words `safe` and `simulated` replaced by the lists above."""
    return list(dict.fromkeys(chain.from_iterable(_LISTS.get(name, (name,)) for name in names)))
