"""The program `qserver-list-plans-devices` (cli 3)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from queueserver_common.lists_file import LISTS_FILE_NAME, read_lists

STARTUP = """
class Detector:
    name = "det"
    component_names = ("part",)
    def read(self): ...
    def describe(self): ...
det = Detector()
Detector.part = Detector()
def plan(a: int = 1):
    yield
"""


def program(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "queueserver_worker.list_plans_devices", *map(str, arguments)],
        cwd=cwd, timeout=60, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "startup.py"
    path.write_text(STARTUP)
    return path


def test_lists_are_written_to_the_current_directory(tmp_path, script):
    done = program("--startup-script", script, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == "The list of existing plans and devices was created successfully.\n"
    lists = read_lists(tmp_path / LISTS_FILE_NAME)
    assert list(lists.plans) == ["plan"]
    assert lists.devices["det"]["classname"] == "Detector"


@pytest.mark.row("cli", "qserver-list-plans-devices")
def test_all_sources_and_names_of_files_can_be_given(tmp_path, script, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    (tmp_path / "out").mkdir()
    for source in (("--startup-dir", tmp_path), ("--startup-module", "startup"), ("--startup-script", script)):
        name = f"{source[0].strip('-')}.yaml"
        done = program(*source, "--file-dir", "out", "--file-name", name, cwd=tmp_path)
        assert (done.returncode, list(read_lists(tmp_path / "out" / name).plans)) == (0, ["plan"]), done.stderr


@pytest.mark.row("cli", "qserver-list-plans-devices: profile")
def test_the_startup_folder_of_a_profile_is_a_source(tmp_path, script):
    folder = tmp_path / "ipython" / "profile_collection" / "startup"
    folder.mkdir(parents=True)
    script.rename(folder / "00-base.py")
    done = program("--startup-profile", "collection", "--ipython-dir", tmp_path / "ipython", cwd=tmp_path)
    assert (done.returncode, list(read_lists(tmp_path / LISTS_FILE_NAME).plans)) == (0, ["plan"]), done.stderr


def test_a_profile_with_magics_is_listed_as_a_worker_with_a_kernel_loads_it(tmp_path, script):
    folder = tmp_path / "startup"
    folder.mkdir()
    script.rename(folder / "00-base.py")
    (folder / "10-magics.ipy").write_text("lines = !echo one\nif lines == ['one']:\n    other_plan = plan\n")
    done = program("--startup-dir", folder, cwd=tmp_path)
    assert done.returncode == 1
    assert "IPython syntax cannot run in plain Python" in done.stderr
    done = program("--startup-dir", folder, "--use-ipython-kernel", "ON", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(read_lists(tmp_path / LISTS_FILE_NAME).plans) == ["other_plan", "plan"]


@pytest.mark.parametrize(("kernel", "plans"), [("ON", ["first", "plan"]), ("OFF", ["plan"])])
def test_with_a_kernel_a_script_goes_after_the_profile(tmp_path, script, kernel, plans):
    folder = tmp_path / "profile_collection" / "startup"
    folder.mkdir(parents=True)
    (folder / "00-first.py").write_text("def first():\n    yield\n")
    profile = ("--startup-profile", "collection", "--ipython-dir", tmp_path)
    done = program(*profile, "--startup-script", script, "--use-ipython-kernel", kernel, cwd=tmp_path)
    assert (done.returncode, list(read_lists(tmp_path / LISTS_FILE_NAME).plans)) == (0, plans), done.stderr


def test_an_existing_file_is_overwritten(tmp_path, script):
    (tmp_path / LISTS_FILE_NAME).write_text("existing_plans: {}")
    assert program("--startup-script", script, cwd=tmp_path).returncode == 0
    assert list(read_lists(tmp_path / LISTS_FILE_NAME).plans) == ["plan"]


def test_the_depth_of_devices_can_be_limited(tmp_path, script):
    program("--startup-script", script, "--device-max-depth", 1, cwd=tmp_path)
    assert "components" not in read_lists(tmp_path / LISTS_FILE_NAME).devices["det"]
    program("--startup-script", script, "--device-max-depth", 2, cwd=tmp_path)
    assert list(read_lists(tmp_path / LISTS_FILE_NAME).devices["det"]["components"]) == ["part"]


def test_invalid_plans_fail_or_are_left_out(tmp_path, script):
    script.write_text(STARTUP + "\ndef bad(a=object()):\n    yield\n")
    done = program("--startup-script", script, cwd=tmp_path)
    assert done.returncode == 1
    assert "Operation failed ..." in done.stderr
    assert "plan 'bad'" in done.stderr
    assert not (tmp_path / LISTS_FILE_NAME).exists()
    done = program("--startup-script", script, "--ignore-invalid-plans", "ON", cwd=tmp_path)
    assert done.returncode == 0
    assert "PLAN WAS IGNORED" in done.stderr


@pytest.mark.row("cli", "qserver-list-plans-devices: failure")
def test_an_error_in_the_code_is_shown_with_its_traceback_and_leaves_the_file_alone(tmp_path, script):
    program("--startup-script", script, cwd=tmp_path)
    before = (tmp_path / LISTS_FILE_NAME).read_bytes()
    script.write_text("x = 1\n1 / 0\n")
    done = program("--startup-script", script, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f'File "{script}", line 2' in done.stderr
    assert "queueserver_worker" not in done.stderr
    assert (tmp_path / LISTS_FILE_NAME).read_bytes() == before


@pytest.mark.parametrize(
    ("code", "problem"),
    [("import os; os._exit(7)", "exit code 7"), ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL")],
)
def test_code_that_ends_its_process_is_reported(tmp_path, script, code, problem):
    script.write_text(code)
    done = program("--startup-script", script, cwd=tmp_path)
    assert done.returncode == 1
    assert problem in done.stderr


def test_threads_that_never_end_do_not_hold_the_program(tmp_path, script):
    script.write_text("import threading\nthreading.Thread(target=threading.Event().wait).start()\n" + STARTUP)
    assert program("--startup-script", script, cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "one of --startup-dir, --startup-script, --startup-module or --startup-profile"),
        (("--startup-dir", "missing"), "does not exist"),
        (("--startup-dir", ".", "--file-dir", "missing"), "(--file-dir) does not exist"),
        (("--startup-profile", "default", "--startup-dir", "."), "Name one source of startup code"),
        (("--startup-profile", "nowhere", "--ipython-dir", "."), "does not exist"),
        (("--startup-dir", ".", "--ipython-dir", "."), "Name one source of startup code"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_exit_code_1(tmp_path, arguments, problem):
    done = program(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--startup-dir", ".", "--startup-module", "x"),
        ("--startup-dir", ".", "--device-max-depth", "-1"),
        ("--startup-dir", ".", "--device-max-depth", "x"),
        ("--startup-dir", ".", "--ignore-invalid-plans", "YES"),
        ("--unknown",),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(tmp_path, arguments):
    done = program(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "error: " in done.stderr
