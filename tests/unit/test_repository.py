"""Rules of the repository that no tool checks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

from queueserver_common import __version__

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCE_ROOTS = ["common", "manager_image", "worker_image", "operator"]
MOST_LINES = 450
# How to tell pip or uv where packages come from, and the usual places. Written so that they do not match themselves.
REGISTRY = re.compile(
    r"--(?:extra-)?index-u[r]l\b|https?://[^\s)\"']*\b(?:pypi|pythonhosted|golang|npmjs|maven|crates)\."
)
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|farm)/")


def tracked_files() -> list[Path]:
    """Files that are in the repository or about to be: everything that is not ignored."""
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def lines_that_match(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in tracked_files():
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    return found


def test_source_roots_are_folders_and_not_packages():
    assert [root for root in SOURCE_ROOTS if (ROOT / root / "__init__.py").exists()] == []


def test_tests_are_not_packages():
    assert [
        path for path in tracked_files() if path.name == "__init__.py" and path.is_relative_to(ROOT / "tests")
    ] == []


def test_source_roots_hold_nothing_but_packages():
    roots = [ROOT / root for root in SOURCE_ROOTS]
    loose = [path for path in tracked_files() if path.suffix == ".py" and path.parent in roots]
    assert loose == []


def test_the_standard_library_is_found_with_the_repository_on_the_path():
    program = "import collections, operator; print(operator.__file__)"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    assert not Path(answer.stdout.strip()).is_relative_to(ROOT / "operator")


def test_no_module_is_longer_than_a_reader_can_hold_in_mind():
    lengths = {path: len(path.read_text().splitlines()) for path in tracked_files() if path.suffix == ".py"}
    assert {str(path): length for path, length in lengths.items() if length > MOST_LINES} == {}


def test_no_file_names_a_package_registry():
    assert lines_that_match(REGISTRY) == []


def test_no_file_names_a_path_of_one_machine():
    assert lines_that_match(MACHINE_PATH) == []


@pytest.mark.parametrize(
    ("pattern", "example"),
    [
        (REGISTRY, "pip install --extra-" + "index" + "-url x"),
        (REGISTRY, "see https://" + "pypi.example/simple"),
        (MACHINE_PATH, "cp /" + "work/main/x ."),
    ],
)
def test_the_patterns_find_what_is_not_allowed(pattern: re.Pattern[str], example: str):
    assert pattern.search(example)


def test_the_readme_shows_the_two_commands():
    readme = (ROOT / "README.md").read_text()
    assert "    make demo\n" in readme
    assert "    make test\n" in readme


def test_the_continuous_integration_runs_the_test_command_of_the_readme():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert "make test" in lines
    assert "export CLUSTER_TESTS=required" in lines


@pytest.mark.parametrize(
    ("cluster_tests", "check", "run"),
    [("required", "false", True), ("required", "true", True), ("", "true", True), ("", "false", False)],
)
def test_tests_in_a_kubernetes_are_left_out_only_where_they_are_not_required_and_cannot_run(
    cluster_tests: str, check: str, run: bool
):
    # Instead of what looks at the machine and of the make that runs the tests; the former is several commands too.
    command = ["make", "test-cluster-if-possible", f"CLUSTER=first=1 && {check}", "MAKE=echo"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment["CLUSTER_TESTS"] = cluster_tests
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    left_out = "The tests in tests/cluster were left out; all others passed."
    assert done.stdout.strip() == ("--no-print-directory test-cluster" if run else left_out)


@pytest.mark.parametrize("target", ["demo", "run", "test", "check", "format", "bench"])
def test_make_prints_what_each_target_does(target: str):
    printed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^  {target} +\S+", printed, re.MULTILINE)


@pytest.mark.parametrize("program", PROJECT["scripts"])
def test_the_entry_point_of_each_program_can_be_called(program: str):
    entry_point, *others = [
        point
        for point in entry_points(group="console_scripts", name=program)
        if point.dist is not None and point.dist.name == PROJECT["name"]
    ]
    assert others == []
    assert entry_point.value == PROJECT["scripts"][program]
    assert callable(entry_point.load())


def test_the_installed_version_is_the_one_of_the_project_and_in_the_changelog():
    assert version(PROJECT["name"]) == __version__
    assert f"## {__version__} " in (ROOT / "CHANGELOG.md").read_text()
