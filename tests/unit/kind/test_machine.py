"""What a machine lacks for a cluster is said in sentences, and how a cluster is made follows from what answers.

The engines are small programs on the PATH that answer as the real ones do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import kind.__main__ as program
from kind.cache import Cache
from kind.engine import Engine
from kind.failure import CannotContinue
from kind.images import PUBLISHED_BASE
from kind.machine import REGISTRY_VARIABLE, look, reasons_against
from kind.own_podman import missing_packages

Install = Callable[..., None]
REACHES = f'test "$1" = info || test "$*" = "manifest inspect {PUBLISHED_BASE}"'
REACHES_NOTHING = 'test "$1" = info'


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Only programs that the test installs, by name and shell script, are on the PATH."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv(REGISTRY_VARIABLE, raising=False)
    monkeypatch.delenv("QUEUESERVER_TEST_ENGINE", raising=False)
    monkeypatch.delenv(program.KUBECONFIG_VARIABLE, raising=False)

    def write(**scripts: str) -> None:
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)

    return write


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.parametrize("engine", ["docker", "podman"])
@pytest.mark.usefixtures("somebody")
def test_an_engine_that_reaches_a_registry_and_go_are_all_that_is_needed(install: Install, tmp_path: Path, engine: str):
    install(**{engine: REACHES, "go": "true"})
    assert reasons_against() == []
    machine = look(Cache(tmp_path / "cache"))
    assert machine.has_registry
    assert machine.engine.program == engine
    assert machine.engine.environment["KIND_EXPERIMENTAL_PROVIDER"] == engine


@pytest.mark.usefixtures("somebody")
def test_without_go_the_sentence_names_it(install: Install):
    install(docker=REACHES)
    assert [reason for reason in reasons_against() if "Go 1.26" in reason] != []


@pytest.mark.usefixtures("somebody")
def test_without_a_registry_one_has_to_be_root(install: Install, tmp_path: Path):
    install(podman=REACHES_NOTHING, go="true")
    (reason,) = reasons_against()
    assert "has to be root" in reason
    with pytest.raises(CannotContinue, match=r"only root can install them: .*debootstrap"):
        look(Cache(tmp_path / "cache"))


@pytest.mark.usefixtures("root")
def test_root_is_told_the_packages_where_they_cannot_be_installed(install: Install, tmp_path: Path):
    install(podman=REACHES_NOTHING, go="true", runc="true")
    (reason,) = reasons_against()
    assert "debootstrap" in reason
    assert "runc" not in missing_packages()
    with pytest.raises(CannotContinue, match=r"needed, under Debian's names for their packages: .*debootstrap"):
        look(Cache(tmp_path / "cache"))


@pytest.mark.usefixtures("somebody")
def test_published_images_are_used_without_a_question_when_a_person_says_so(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    install(docker=REACHES_NOTHING)
    monkeypatch.setenv(REGISTRY_VARIABLE, "yes")
    assert look(Cache(tmp_path / "cache")).has_registry


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (REGISTRY_VARIABLE, "perhaps", "may be yes or no"),
        ("QUEUESERVER_TEST_ENGINE", "rkt", "may be docker or podman"),
        ("QUEUESERVER_TEST_ENGINE", "docker", "`docker info` does not succeed"),
    ],
)
def test_a_variable_with_a_wrong_value_is_named(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
):
    install(docker="exit 1")
    monkeypatch.setenv(variable, value)
    with pytest.raises(CannotContinue, match=f"{variable}.*{sentence}"):
        look(Cache(tmp_path / "cache"))


@pytest.mark.usefixtures("somebody")
def test_the_check_prints_the_reasons_and_its_exit_code_tells(install: Install, capsys: pytest.CaptureFixture[str]):
    install(true="exit 0")
    assert program.main(["check"]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("This machine can run no cluster for tests:\n  Go 1.26")
    assert "has to be root" in printed


def test_an_existing_cluster_needs_a_place_for_images(
    install: Install, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    install(true="exit 0")
    monkeypatch.setenv(program.KUBECONFIG_VARIABLE, sys.executable)
    assert program.main(["check"]) == 0
    assert program.main(["up"]) == 1
    assert program.PREFIX_VARIABLE in capsys.readouterr().err


def test_a_failing_program_is_told_with_the_end_of_its_output(install: Install, tmp_path: Path):
    install(podman="echo broken >&2; exit 3")
    with pytest.raises(CannotContinue, match=r"(?s)could not load.*exit code 3.*broken"):
        Engine("podman").load(tmp_path / "archive.tar")
