"""Servers that tests need are found installed or unpacked, and what is missing is said in a sentence."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

import kind.servers as servers
from kind.failure import CannotContinue
from kind.packages import unpack

NOT_INSTALLED = servers.DebianProgram("no-such-server", "usr/sbin/no-such-server")
APT = """
case "$*" in
*update*) ;;
*install*) for word in "$@"; do case "$word" in Dir::Cache::Archives=*) touch "${word#*=}/one.deb" ;; esac; done ;;
esac
"""
DPKG = 'mkdir -p "$3/usr/sbin" && touch "$3/usr/sbin/no-such-server"'


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put shell scripts before the programs of the system."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(**scripts: str) -> None:
        for name, script in scripts.items():
            file = folder / name.replace("_", "-")
            file.write_text(f"#!/bin/sh\n{script}\n")
            file.chmod(0o755)

    return write


def test_packages_are_unpacked_and_apts_own_files_leave_nothing_behind(
    programs: Callable[..., None], tmp_path: Path
) -> None:
    programs(apt_get=APT, dpkg_deb=DPKG)
    unpack(tmp_path / "root", ["no-such-server"])
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["usr"]


def test_no_mirror_is_said_in_a_sentence(programs: Callable[..., None], tmp_path: Path) -> None:
    programs(apt_get='echo "cannot resolve"; exit 100')
    with pytest.raises(CannotContinue, match=r"(?s)Does the machine reach a mirror of Debian\?.*cannot resolve"):
        unpack(tmp_path / "root", ["no-such-server"])


def test_an_unpacked_server_is_found_with_its_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "OUTPUT", tmp_path)
    with pytest.raises(CannotContinue, match="run `make servers`"):
        servers.find(NOT_INSTALLED)
    program = tmp_path / "no-such-server/usr/sbin/no-such-server"
    program.parent.mkdir(parents=True)
    program.touch()
    found = servers.find(NOT_INSTALLED)
    assert (found.program, found.root) == (program, tmp_path / "no-such-server")
    assert str(found.root / "usr/lib") in found.environment["LD_LIBRARY_PATH"]


def test_private_libraries_of_an_unpacked_program_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "OUTPUT", tmp_path)
    root = tmp_path / "no-such-server"
    architecture = sysconfig.get_config_var("MULTIARCH")
    for file in ("usr/sbin/no-such-server", f"usr/lib/{architecture}/pulseaudio/libpulsecommon.so"):
        (root / file).parent.mkdir(parents=True)
        (root / file).touch()
    folders = servers.find(NOT_INSTALLED).environment["LD_LIBRARY_PATH"].split(":")
    assert folders == [str(root / folder / architecture) for folder in ("usr/lib", "lib")] + [
        str(root / "usr/lib" / architecture / "pulseaudio")
    ]


def test_another_program_that_is_as_good_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "OUTPUT", tmp_path)
    other = servers.DebianProgram("no-such-server", "usr/sbin/no-such-server", ("opt/vendor/server",))
    program = tmp_path / "no-such-server/opt/vendor/server"
    program.parent.mkdir(parents=True)
    program.touch()
    assert servers.find(other).program == program


def test_each_server_that_cannot_be_had_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(server: object) -> None:
        raise CannotContinue(f"no {server}")

    monkeypatch.setattr(servers, "_debian", fail)
    monkeypatch.setattr(servers, "_programs_of_kubernetes", lambda: None)
    assert servers.make_servers() == 3
    said = capsys.readouterr().out
    assert all(package in said for package in ("postgresql", "slapd", "chromium-headless-shell"))
