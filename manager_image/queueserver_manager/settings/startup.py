"""Which startup code is loaded, and where the files beside it are (cli 2)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from queueserver_common.startup import StartupSource, profile_directory
from queueserver_manager.settings.declaration import Given
from queueserver_manager.settings.errors import Notice, SettingsError
from queueserver_manager.settings.model import LISTS_FILE_NAME, PERMISSIONS_FILE_NAME, Settings

SOURCES = ("startup_dir", "startup_script", "startup_module", "startup_profile", "ipython_dir")
"""Settings that together name the source; who gives one of them overrides them all."""

_CLASHES = {
    "startup_dir": ("startup_script", "startup_module", "startup_profile", "ipython_dir"),
    "startup_script": ("startup_module",),
}


@dataclass(frozen=True, slots=True)
class Startup:
    """The resolved source and the files that go with it."""

    source: StartupSource | None
    is_packaged: bool
    lists_path: Path | None
    permissions_path: Path | None


def resolve_startup(given: Mapping[str, Given], packaged_profile: Callable[[], Path]) -> Startup:
    """Settle the source of startup code and the paths of the two files; raises `SettingsError` when they clash."""
    if "queue_server" in given:
        return _startup_elsewhere(given)
    is_packaged = not any(name in given for name in SOURCES)
    source, directory = _packaged_source(packaged_profile) if is_packaged else _source(given)
    return Startup(
        source=source,
        is_packaged=is_packaged,
        lists_path=_file(given, "existing_plans_and_devices_path", directory, LISTS_FILE_NAME, source),
        permissions_path=_file(given, "user_group_permissions_path", directory, PERMISSIONS_FILE_NAME, source),
    )


def _startup_elsewhere(given: Mapping[str, Given]) -> Startup:
    """In a cluster the worker's pod has the startup code; only files that are mounted here can be named."""
    if clash := next((given[name] for name in SOURCES if name in given), None):
        raise SettingsError(
            f"{clash.origin} names startup code, but workers are pods ({given['queue_server'].origin}): "
            "name it in spec.environment.profile of the QueueServer."
        )
    return Startup(
        source=None,
        is_packaged=False,
        lists_path=_given_file(given, "existing_plans_and_devices_path", LISTS_FILE_NAME),
        permissions_path=_given_file(given, "user_group_permissions_path", PERMISSIONS_FILE_NAME),
    )


def _packaged_source(packaged_profile: Callable[[], Path]) -> tuple[StartupSource, Path]:
    try:
        directory = packaged_profile()
    except FileNotFoundError as error:
        raise SettingsError(f"{error}.") from None
    return StartupSource("directory", str(directory)), directory


def _source(given: Mapping[str, Given]) -> tuple[StartupSource, Path | None]:
    """The source and the directory in which the files beside it lie, when there is one."""
    _refuse_two_sources(given)
    if "startup_dir" in given:
        directory = _path(given["startup_dir"])
        return StartupSource("directory", str(directory)), directory
    profile = _profile_directory(given)
    if "startup_script" in given:
        return StartupSource("script", str(given["startup_script"].value)), profile
    if "startup_module" in given:
        return StartupSource("module", str(given["startup_module"].value)), profile
    return StartupSource("directory", str(profile)), profile


def _refuse_two_sources(given: Mapping[str, Given]) -> None:
    """A directory stands alone; a script or a module may go with a profile, whose files lie beside it."""
    for first, others in _CLASHES.items():
        for other in others:
            if first in given and other in given:
                raise SettingsError(
                    f"{given[first].origin} and {given[other].origin} cannot be given together: "
                    "name one source of startup code."
                )


def _profile_directory(given: Mapping[str, Given]) -> Path | None:
    if "startup_profile" not in given and "ipython_dir" not in given:
        return None
    profile = str(given["startup_profile"].value) if "startup_profile" in given else None
    return profile_directory(profile, _path(given["ipython_dir"]) if "ipython_dir" in given else None)


def _path(given: Given) -> Path:
    assert isinstance(given.value, Path)
    return given.value


def _file(given: Mapping[str, Given], name: str, directory: Path | None, file: str, source: StartupSource) -> Path:
    if path := _given_file(given, name, file):
        return path
    if directory is None:
        option = "--existing-plans-devices" if file == LISTS_FILE_NAME else "--user-group-permissions"
        raise SettingsError(
            f"With startup code from a {source.kind} the path of {file} must be given: "
            f"add {option} (or '{'startup/' + name}' in the configuration file)."
        )
    return directory / file


def _given_file(given: Mapping[str, Given], name: str, file: str) -> Path | None:
    """The path that a setting gives: of the file itself, or of its directory."""
    if name not in given:
        return None
    path = _path(given[name])
    return path if path.suffix == ".yaml" else path / file


def check_startup(settings: Settings) -> list[Notice]:
    """Look at the files that the settings name; raises `SettingsError` for those without which nothing can work.

    A missing script or module is not looked for here but when the environment is opened.
    """
    lists, permissions = settings.existing_plans_and_devices_path, settings.user_group_permissions_path
    if settings.startup is not None:
        _check_local_source(settings.startup, lists)
    notices = []
    if lists is not None and not lists.is_file():
        text = (
            f"The file with the list of existing plans and devices ('{lists}') does not exist. The manager starts with "
            "the lists of the last opening, if there was one."
        )
        notices.append(Notice(logging.WARNING, text))
    if permissions is not None and not permissions.is_file():
        text = (
            f"The file with user group permissions ('{permissions}') does not exist. The manager starts with no "
            "groups, so nobody may submit anything; give the file with --user-group-permissions."
        )
        notices.append(Notice(logging.ERROR, text))
    return notices


def _check_local_source(startup: StartupSource, lists: Path | None) -> None:
    source = Path(startup.value)
    if startup.kind == "directory" and not source.is_dir():
        problem = "is not a directory" if source.exists() else "does not exist"
        raise SettingsError(
            f"The startup directory '{source}' {problem}; give the directory of the startup files with --startup-dir."
        )
    if lists is not None and not lists.parent.is_dir():
        raise SettingsError(
            f"The directory '{lists.parent}' of the list of existing plans and devices does not exist; "
            "create it or give another path with --existing-plans-devices."
        )
