from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from queueserver_common import simulated_profile
from queueserver_common.simulated_profile import simulated_profile_dir


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directory of the package in a repository elsewhere."""
    package = tmp_path / "common" / "queueserver_common"
    package.mkdir(parents=True)
    monkeypatch.setattr(simulated_profile, "__file__", str(package / "simulated_profile.py"))
    return package


def test_the_profile_packaged_with_the_wheel_comes_first(package: Path, tmp_path: Path) -> None:
    (tmp_path / "sim_profile").mkdir()
    assert simulated_profile_dir() == tmp_path / "sim_profile"
    (package / "sim_profile").mkdir()
    assert simulated_profile_dir() == package / "sim_profile"


def test_a_missing_profile_is_reported_with_both_places(package: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "sim_profile", ignore_errors=True)
    with pytest.raises(FileNotFoundError, match="--startup-dir") as missing:
        simulated_profile_dir()
    assert str(package / "sim_profile") in str(missing.value)
    assert str(tmp_path / "sim_profile") in str(missing.value)
