"""Helpers that startup code imports from `bluesky_queueserver` (plans-and-permissions 1)."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import queueserver_common
import queueserver_worker
from queueserver_worker.profile import helpers, importable

USE_ALL_HELPERS = """
from bluesky_queueserver import is_ipython_mode, is_re_worker_active, parameter_annotation_decorator
from bluesky_queueserver import register_device, register_plan
from bluesky_queueserver.manager.annotation_decorator import parameter_annotation_decorator as decorator
from bluesky_queueserver.manager.profile_tools import set_user_ns
assert decorator is parameter_annotation_decorator
assert is_re_worker_active() and not is_ipython_mode()
register_device("det", depth=2)
register_plan("plan", exclude=True)
@set_user_ns
def names(user_ns):
    return user_ns
assert names() is globals()
"""


def test_startup_code_finds_the_helpers_where_the_package_is_installed(load, startup_dir):
    assert find_spec("bluesky_queueserver") is not None
    (startup_dir / "a.py").write_text(USE_ALL_HELPERS + "from bluesky_queueserver import bind_plan_arguments")
    load("directory", startup_dir)
    assert helpers.device_registration("det") == helpers.DeviceRegistration(depth=2, exclude=False)
    assert helpers.is_plan_excluded("plan")


def test_startup_code_finds_the_helpers_where_the_package_is_not_installed(startup_dir, tmp_path):
    """A fresh interpreter with everything that is installed here except that package."""
    (startup_dir / "a.py").write_text(
        USE_ALL_HELPERS + "\nimport bluesky_queueserver\nassert not bluesky_queueserver.__path__"
    )
    site = tmp_path / "site"
    site.mkdir()
    for package in (queueserver_common, queueserver_worker):
        (site / package.__name__).symlink_to(Path(package.__file__).parent)
    code = (
        "import sys\n"
        "from queueserver_common.startup import StartupSource\n"
        "from queueserver_worker.profile import helpers, load_startup\n"
        "load_startup(StartupSource('directory', sys.argv[1]))\n"
        "assert helpers.device_registration('det').depth == 2\n"
        "assert helpers.is_plan_excluded('plan')\n"
    )
    subprocess.run(
        [sys.executable, "-S", "-c", code, str(startup_dir)],
        check=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(site)},
    )


def test_installing_twice_changes_nothing(process_restored):
    importable.install()
    finders = list(sys.meta_path)
    importable.install()
    assert sys.meta_path == finders


def test_loading_forgets_what_was_registered_before(load, startup_dir):
    helpers.register_device("old", exclude=True)
    helpers.register_plan("old", exclude=True)
    (startup_dir / "a.py").write_text("")
    load("directory", startup_dir)
    assert helpers.device_registration("old") is None
    assert not helpers.is_plan_excluded("old")


def test_the_process_is_a_worker_only_after_loading(load, startup_dir, monkeypatch):
    monkeypatch.delenv("_QSERVER_RE_WORKER_ACTIVE", raising=False)
    assert not helpers.is_re_worker_active()
    (startup_dir / "a.py").write_text("")
    load("directory", startup_dir)
    assert helpers.is_re_worker_active()
    assert os.environ["_QSERVER_RE_WORKER_ACTIVE"] == "1"


@pytest.mark.row("zmq-api", "variables inside the worker")
@pytest.mark.parametrize(("value", "active"), [("", False), ("0", False), ("1", True), ("True", True)])
def test_worker_and_ipython_mode_are_told_by_the_environment(monkeypatch, value, active):
    monkeypatch.setenv("_QSERVER_RE_WORKER_ACTIVE", value)
    monkeypatch.setenv("_QSERVER_RUNNING_IPYTHON_KERNEL", value)
    assert helpers.is_re_worker_active() is active
    assert helpers.is_ipython_mode() is active


@pytest.mark.parametrize("register", [helpers.register_device, helpers.register_plan])
@pytest.mark.parametrize(("name", "error"), [("1a", ValueError), ("a.b", ValueError), ("", ValueError), (5, TypeError)])
def test_a_registered_name_must_be_an_identifier(register, name, error):
    with pytest.raises(error, match="name"):
        register(name)


@pytest.mark.parametrize(("depth", "error"), [(-1, ValueError), ("2", TypeError), (1.0, TypeError), (True, TypeError)])
def test_a_depth_must_be_a_whole_number_from_zero(depth, error):
    with pytest.raises(error, match="Depth must be"):
        helpers.register_device("det", depth=depth)


def test_a_plan_can_be_taken_in_again(process_restored):
    helpers.register_plan("p", exclude=True)
    helpers.register_plan("p")
    assert not helpers.is_plan_excluded("p")


@pytest.mark.row("plans-and-permissions", "set_user_ns")
def test_set_user_ns_fills_its_parameters_of_functions_and_plans(load, startup_dir):
    (startup_dir / "a.py").write_text(
        "from bluesky_queueserver.manager.profile_tools import set_user_ns\n"
        "@set_user_ns\n"
        "def f(a, user_ns, ipython):\n"
        "    '''Doc'''\n"
        "    return a, user_ns is globals(), ipython\n"
        "@set_user_ns\n"
        "def p(a, *, user_ns):\n"
        "    yield a\n"
        "    return user_ns is globals()\n"
        "@set_user_ns\n"
        "def plain(a): return a\n"
    )
    namespace = load("directory", startup_dir)
    assert namespace["f"](1) == (1, True, None)
    assert namespace["f"](a=2) == (2, True, None)
    assert namespace["plain"](3) == 3
    assert str(inspect.signature(namespace["f"])) == "(a)"
    assert namespace["f"].__doc__ == "Doc"
    assert inspect.isgeneratorfunction(namespace["p"])
    plan = namespace["p"](4)
    assert next(plan) == 4
    with pytest.raises(StopIteration) as ended:
        next(plan)
    assert ended.value.value is True


def test_names_of_a_module_source_are_what_set_user_ns_passes(load, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "module_source_of_test.py").write_text(
        "from bluesky_queueserver.manager.profile_tools import set_user_ns\n"
        "@set_user_ns\ndef f(user_ns): return user_ns\n"
    )
    namespace = load("module", "module_source_of_test")
    assert namespace["f"]() is namespace
