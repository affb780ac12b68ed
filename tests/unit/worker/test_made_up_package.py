"""The package `bluesky_queueserver` that is made up where none is installed: every name of its modules."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from queueserver_worker.profile import importable

NAMES = {
    "bluesky_queueserver": """
        is_re_worker_active is_ipython_mode set_user_ns load_devices_from_happi register_device register_plan
        parameter_annotation_decorator gen_list_of_plans_and_devices validate_plan bind_plan_arguments
        construct_parameters format_text_descriptions ReceiveConsoleOutput ReceiveConsoleOutputAsync ReceiveSystemInfo
        ReceiveSystemInfoAsync ZMQCommSendThreads ZMQCommSendAsync CommTimeoutError generate_zmq_keys
        generate_zmq_public_key validate_zmq_key __version__
    """,
    "bluesky_queueserver.manager.profile_tools": "load_devices_from_happi set_user_ns is_re_worker_active",
    "bluesky_queueserver.manager.annotation_decorator": "parameter_annotation_decorator",
    "bluesky_queueserver.manager.profile_ops": "register_device register_plan validate_plan construct_parameters",
    "bluesky_queueserver.manager.gen_lists": "gen_list_of_plans_and_devices",
    "bluesky_queueserver.manager.output_streaming": "ReceiveConsoleOutput ReceiveSystemInfo",
    "bluesky_queueserver.manager.comms": "ZMQCommSendThreads ZMQCommSendAsync generate_zmq_keys",
}
WITHOUT_THE_PACKAGE = """
import importlib
import sys
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.startswith("bluesky_queueserver") else find(name, *rest)
from queueserver_worker.profile import importable

importable.install()
for module, *names in (line.split() for line in sys.stdin):
    found = importlib.import_module(module)
    assert found.__spec__.origin is None
    print(module, *(name for name in names if not hasattr(found, name)))
"""


@pytest.mark.row("plans-and-permissions", "helpers without the package")
def test_every_helper_is_found_where_the_package_is_not_installed() -> None:
    asked = "\n".join(f"{module} {' '.join(names.split())}" for module, names in NAMES.items())
    answer = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_PACKAGE], input=asked, capture_output=True, text=True, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == list(NAMES)  # and no name behind any of them


@pytest.mark.parametrize(
    "name",
    [
        "bind_plan_arguments",
        "construct_parameters",
        "format_text_descriptions",
        "validate_plan",
        "ReceiveConsoleOutput",
        "ReceiveConsoleOutputAsync",
        "ReceiveSystemInfo",
        "ReceiveSystemInfoAsync",
        "ZMQCommSendThreads",
        "generate_zmq_keys",
        "generate_zmq_public_key",
        "gen_list_of_plans_and_devices",
        "load_devices_from_happi",
        "register_device",
        "register_plan",
    ],
)
def test_helpers_take_the_arguments_that_those_of_the_package_take(name: str) -> None:
    import bluesky_queueserver
    from bluesky_queueserver.manager import profile_tools

    helpers = importable.client_helpers()["bluesky_queueserver"] | importable.startup_helpers()["bluesky_queueserver"]
    theirs = getattr(bluesky_queueserver, name, None) or getattr(profile_tools, name)
    names = [p.name for p in inspect.signature(theirs).parameters.values() if p.kind is not p.VAR_KEYWORD]
    ours = inspect.signature(helpers[name]).parameters
    assert set(names) <= set(ours) or any(p.kind is p.VAR_KEYWORD for p in ours.values())


@pytest.mark.row("plans-and-permissions", "helpers with the package")
def test_an_installed_package_is_told_of(tmp_path: Path) -> None:
    code = (
        "import logging, sys; logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(message)s')\n"
        "from queueserver_worker.profile import importable\n"
        "importable.install()\n"
        "import bluesky_queueserver\n"
        "assert bluesky_queueserver.register_device.__module__ == 'queueserver_worker.profile.helpers'\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=os.environ, cwd=tmp_path
    )
    assert answer.returncode == 0, answer.stderr
    assert "The installed package bluesky_queueserver " in answer.stdout
    assert "its helpers for startup code are replaced by this worker's: is_ipython_mode, " in answer.stdout
