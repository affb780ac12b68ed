"""Which startup code is loaded, where its files are, and what is checked before the manager starts (cli 2)."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from queueserver_common.simulated_profile import simulated_profile_dir
from queueserver_manager.settings import Settings, SettingsError, check_startup, load_settings


def load(*arguments: str) -> Settings:
    return load_settings(arguments, {})[0]


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    folder = tmp_path / "startup"
    folder.mkdir()
    (folder / "user_group_permissions.yaml").touch()
    (folder / "existing_plans_and_devices.yaml").touch()
    return folder


def test_without_options_the_packaged_profile_is_loaded_and_never_written_to() -> None:
    settings = load()
    assert settings.startup.as_mapping() == {"kind": "directory", "value": str(simulated_profile_dir())}
    assert settings.existing_plans_and_devices_path.parent == simulated_profile_dir()
    assert settings.writable_lists_file == ""
    assert settings.preload == ("simulated",)


def test_a_lists_file_of_ones_own_is_written_with_the_packaged_profile_too(tmp_path: Path) -> None:
    settings = load("--existing-plans-devices", str(tmp_path))
    assert settings.writable_lists_file == str(tmp_path / "existing_plans_and_devices.yaml")


@pytest.mark.row("cli", "paths of the two files")
def test_files_lie_in_the_startup_directory_by_default(profile: Path) -> None:
    settings = load("--startup-dir", str(profile))
    assert settings.existing_plans_and_devices_path == profile / "existing_plans_and_devices.yaml"
    assert settings.user_group_permissions_path == profile / "user_group_permissions.yaml"
    assert settings.writable_lists_file == str(profile / "existing_plans_and_devices.yaml")
    assert settings.preload == ("safe",)


@pytest.mark.row("cli", "--existing-plans-devices")
def test_a_path_that_does_not_end_in_yaml_is_a_directory(tmp_path: Path) -> None:
    settings = load("--existing-plans-devices", f"{tmp_path}/lists", "--user-group-permissions", f"{tmp_path}/p.yaml")
    assert settings.existing_plans_and_devices_path == tmp_path / "lists" / "existing_plans_and_devices.yaml"
    assert settings.user_group_permissions_path == tmp_path / "p.yaml"


def test_paths_expand_the_home_directory_and_start_at_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert load("--startup-dir", "~/a").startup.value == str(tmp_path / "a")
    assert load("--startup-dir", "b").startup.value == str(tmp_path / "b")


@pytest.mark.row("cli", "paths with a script or module")
@pytest.mark.parametrize(("option", "kind"), [("--startup-script", "script"), ("--startup-module", "module")])
def test_a_script_or_module_needs_both_paths(tmp_path: Path, option: str, kind: str) -> None:
    with pytest.raises(SettingsError, match=f"from a {kind} .* add --existing-plans-devices"):
        load(option, "x.y")
    with pytest.raises(SettingsError, match="add --user-group-permissions"):
        load(option, "x.y", "--existing-plans-devices", str(tmp_path))
    settings = load(option, "x.y", "--existing-plans-devices", str(tmp_path), "--user-group-permissions", str(tmp_path))
    assert settings.startup.kind == kind


def test_a_profile_is_its_startup_directory(tmp_path: Path) -> None:
    settings = load("--startup-profile", "cosx", "--ipython-dir", str(tmp_path))
    assert settings.startup.as_mapping() == {"kind": "directory", "value": f"{tmp_path}/profile_cosx/startup"}


def test_a_script_with_a_profile_has_its_files_in_the_profile(tmp_path: Path) -> None:
    settings = load("--startup-profile", "a", "--ipython-dir", str(tmp_path), "--startup-script", "/s.py")
    assert settings.startup.as_mapping() == {"kind": "script", "value": "/s.py"}
    assert settings.user_group_permissions_path.parent == tmp_path / "profile_a" / "startup"


@pytest.mark.row("cli", "--startup-dir, --startup-script, --startup-module exclude each other")
def test_a_directory_with_a_profile_is_ambiguous() -> None:
    with pytest.raises(SettingsError, match="--startup-dir and --startup-profile cannot be given together"):
        load("--startup-dir", "/a", "--startup-profile", "b")


def test_a_source_on_the_command_line_replaces_all_of_the_configuration_file(tmp_path: Path, profile: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text("startup: {startup_profile: other, ipython_dir: /ipython}\n")
    assert load("--config", str(config), "--startup-dir", str(profile)).startup.value == str(profile)


def test_a_missing_startup_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none' does not exist; give .* --startup-dir"):
        check_startup(load("--startup-dir", f"{tmp_path}/none"))


def test_a_file_as_startup_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="is not a directory"):
        check_startup(load("--startup-dir", f"{tmp_path}/file"))


def test_a_missing_directory_of_the_lists_file_is_refused(profile: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="create it or give another path with --existing-plans-devices"):
        check_startup(load("--startup-dir", str(profile), "--existing-plans-devices", f"{tmp_path}/none"))


@pytest.mark.row("cli", "a missing list file is a warning, missing permissions an error in the log")
def test_a_missing_lists_file_is_a_warning_and_missing_permissions_are_an_error_in_the_log(profile: Path) -> None:
    settings = load("--startup-dir", str(profile))
    assert check_startup(settings) == []
    settings.existing_plans_and_devices_path.unlink()
    settings.user_group_permissions_path.unlink()
    lists, permissions = check_startup(settings)
    assert (lists.level, permissions.level) == (logging.WARNING, logging.ERROR)
    assert str(settings.existing_plans_and_devices_path) in lists.text
    assert str(settings.user_group_permissions_path) in permissions.text


def test_a_missing_script_is_not_looked_for_at_start(profile: Path, tmp_path: Path) -> None:
    paths = ["--existing-plans-devices", str(profile), "--user-group-permissions", str(profile)]
    assert check_startup(load("--startup-script", f"{tmp_path}/none.py", *paths)) == []


def test_the_worker_is_told_what_concerns_it(profile: Path, tmp_path: Path) -> None:
    options = ["--device-max-depth", "3", "--ignore-invalid-plans", "ON", "--worker-idle-timeout", "7"]
    settings = load("--startup-dir", str(profile), *options, "--update-existing-plans-devices", "NEVER")
    config = settings.worker_config(
        link_address="ipc:///l", opening_id="o", token="t", spool_dir=tmp_path, instrument_lock=tmp_path / "lock"
    )
    assert config.startup == settings.startup
    assert (config.device_max_depth, config.ignore_invalid_plans) == (3, True)
    assert (config.orphan_timeout, config.busy_orphan_timeout) == (7.0, 0.0)
    assert (config.update_lists, config.lists_file) == ("NEVER", str(profile / "existing_plans_and_devices.yaml"))
    assert (config.spool_dir, config.instrument_lock) == (str(tmp_path), str(tmp_path / "lock"))
    assert type(config).from_json(config.to_json()) == config


def test_more_modules_can_be_imported_ahead_or_none_at_all(profile: Path) -> None:
    assert load("--startup-dir", str(profile), "--warm-modules", "scipy", "h5py").preload == ("safe", "scipy", "h5py")
    assert load("--warm-worker", "OFF").preload == ()
