"""Data and runtime directories."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from queueserver_manager.paths import (
    MAX_SOCKET_PATH,
    default_data_dir,
    default_runtime_dir,
    identity_of,
    prepare_paths,
)
from queueserver_manager.settings import SettingsError


@pytest.fixture
def folder() -> Iterator[Path]:
    """Like `tmp_path`, but short enough for the path of a socket."""
    path = Path(tempfile.mkdtemp(prefix="qs"))
    yield path
    shutil.rmtree(path)


def test_the_data_directory_follows_xdg(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert default_data_dir({"XDG_DATA_HOME": "/data"}) == Path("/data/queueserver")
    assert default_data_dir({}) == folder / ".local/share/queueserver"
    assert default_data_dir({"XDG_DATA_HOME": "relative"}) == folder / ".local/share/queueserver"


def test_the_runtime_directory_follows_xdg_or_is_in_tmp(folder: Path) -> None:
    assert default_runtime_dir({"XDG_RUNTIME_DIR": str(folder)}) == folder / "queueserver"
    fallbacks = {Path(f"/run/user/{os.getuid()}/queueserver"), Path(f"/tmp/queueserver-{os.getuid()}")}
    assert default_runtime_dir({"XDG_RUNTIME_DIR": str(folder / "missing")}) in fallbacks
    assert default_runtime_dir({}) in fallbacks


def test_a_runtime_directory_that_is_too_long_for_a_socket_is_not_chosen(folder: Path) -> None:
    long = folder / ("x" * MAX_SOCKET_PATH)
    long.mkdir()
    assert default_runtime_dir({"XDG_RUNTIME_DIR": str(long)}) != long / "queueserver"
    with pytest.raises(SettingsError, match=r"too long.*Give a shorter one with --runtime-dir"):
        prepare_paths(folder / "data", long, identity_of("localhost:6379", "qs_default"))


def test_store_and_prefix_make_the_identity() -> None:
    one = identity_of("localhost:6379", "qs_default")
    assert one == identity_of("localhost:6379", "qs_default")
    assert len({one, identity_of("localhost:6379", "other"), identity_of("localhost:6380", "qs_default")}) == 3


def test_directories_are_created_for_the_owner_alone(folder: Path) -> None:
    identity = identity_of("localhost:6379", "qs_default")
    paths = prepare_paths(folder / "data", folder / "run", identity)
    assert paths.runtime_dir == folder / "run" / identity
    for directory in (folder / "run", paths.runtime_dir, paths.locks_dir):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert paths.spool_dir.is_dir()
    assert paths.worker_log_dir.is_dir()
    assert identity in str(paths.spool_dir)
    assert paths.link_address == f"ipc://{paths.link_socket}"
    assert paths == prepare_paths(folder / "data", folder / "run", identity)


def test_an_open_directory_is_closed_to_others_but_its_parent_is_left_as_it_is(folder: Path) -> None:
    base = folder / "run"
    (base / "id").mkdir(parents=True)
    (base / "id").chmod(0o777)
    base.chmod(0o755)
    prepare_paths(folder / "data", base, "id")
    assert stat.S_IMODE((base / "id").stat().st_mode) == 0o700
    assert stat.S_IMODE(base.stat().st_mode) == 0o755


def test_a_link_in_place_of_the_private_directory_is_refused(folder: Path) -> None:
    base = folder / "run"
    base.mkdir()
    (folder / "elsewhere").mkdir()
    (base / "id").symlink_to(folder / "elsewhere")
    with pytest.raises(SettingsError, match="cannot be used: it is a link"):
        prepare_paths(folder / "data", base, "id")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(folder: Path) -> None:
    (folder / "run" / "id").mkdir(parents=True)
    os.chown(folder / "run" / "id", 12345, 12345)
    with pytest.raises(SettingsError, match="belongs to another user"):
        prepare_paths(folder / "data", folder / "run", "id")


def test_a_data_directory_that_cannot_be_created_is_refused(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(SettingsError, match=r"data directory '.*file/data' cannot be written to: .* with --data-dir"):
        prepare_paths(folder / "file" / "data", folder / "run", "id")


def test_instrument_locks_are_told_apart(folder: Path) -> None:
    paths = prepare_paths(folder / "data", folder / "run", "id")
    assert paths.instrument_lock("") is None
    locks = {paths.instrument_lock(name) for name in ("ID 99", "ID/99", "id 99", "../../etc")}
    assert len(locks) == 4
    assert all(lock is not None and lock.parent == paths.locks_dir for lock in locks)
