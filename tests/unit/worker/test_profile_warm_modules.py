"""What may be imported before it is known what will be loaded (design 5 rule 15)."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from queueserver_common.simulated_profile import simulated_profile_dir
from queueserver_worker.warm_modules import SAFE_WARM_MODULES, SIMULATED_PROFILE_WARM_MODULES, expand_warm_modules

PROBE = """
import importlib, json, os, sys
environ = type(os.environ)
reads = []
get, iterate = environ.__getitem__, environ.__iter__
environ.__getitem__ = lambda self, name: (reads.append(name), get(self, name))[1]
environ.__iter__ = lambda self: (reads.append('all'), iterate(self))[1]
before = dict(os.environ.items())
reads.clear()
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
seen = list(reads)
threads = len(os.listdir('/proc/self/task'))
print(json.dumps({'reads': seen, 'threads': threads, 'changed': dict(os.environ.items()) != before}))
"""


def probe(*names: str) -> dict[str, object]:
    """Import in a fresh interpreter; tell which variables were read and how many threads there are then."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROBE, json.dumps(names)], check=True, timeout=60, capture_output=True, text=True
    )
    return json.loads(done.stdout)


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")


@linux_only
def test_safe_modules_read_no_environment_and_start_no_thread():
    assert probe(*SAFE_WARM_MODULES) == {"reads": [], "threads": 1, "changed": False}


@linux_only
def test_the_probe_sees_what_it_looks_for():
    """numpy reads variables and starts threads of OpenBLAS: the reason why it is not among the safe modules."""
    seen = probe("numpy")
    assert "NUMPY_MADVISE_HUGEPAGE" in seen["reads"]
    assert "HOME" in probe("bluesky.utils")["reads"]


def test_the_simulated_profile_imports_nothing_beyond_its_warm_modules():
    code = (
        "import importlib, json, sys\n"
        "for name in json.loads(sys.argv[1]): importlib.import_module(name)\n"
        "before = set(sys.modules)\n"
        "from queueserver_common.startup import StartupSource\n"
        "from queueserver_worker.profile import load_startup\n"
        "load_startup(StartupSource('directory', sys.argv[2]))\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    names = json.dumps(SAFE_WARM_MODULES + SIMULATED_PROFILE_WARM_MODULES)
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, names, str(simulated_profile_dir())],
        check=True, timeout=60, capture_output=True, text=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == []


def test_words_stand_for_the_lists():
    assert expand_warm_modules(["safe", "my.module", "pydantic"]) == [*SAFE_WARM_MODULES, "my.module"]
    assert expand_warm_modules(["simulated"]) == [*SAFE_WARM_MODULES, *SIMULATED_PROFILE_WARM_MODULES]
    assert expand_warm_modules([]) == []
