"""Putting settings together: command line before configuration file before environment before default (cli 2)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from queueserver_common.simulated_profile import simulated_profile_dir
from queueserver_manager.settings.cluster import check_cluster, read_control_key
from queueserver_manager.settings.command_line import read_command_line
from queueserver_manager.settings.config_file import read_config
from queueserver_manager.settings.declaration import Given
from queueserver_manager.settings.environment import read_environment
from queueserver_manager.settings.errors import Notice
from queueserver_manager.settings.model import Settings
from queueserver_manager.settings.startup import SOURCES, resolve_startup
from queueserver_manager.settings.table import SETTINGS


def load_settings(arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[Settings, list[Notice]]:
    """The settings that `arguments` (without the program's name) and `environ` ask for, and remarks for the log.

    Raises `SettingsError`; `--help` and an unreadable command line end the process as argparse does.
    """
    from_arguments, notices = read_command_line(arguments)
    from_environment, remarks = read_environment(environ)
    config = from_arguments.get("config_path") or from_environment.get("config_path")
    config_path = config.value if config else None
    from_config = read_config(config_path, environ) if isinstance(config_path, Path) else {}
    given = _merge(from_environment, from_config, from_arguments)
    notices += remarks
    if "keep_re" in given and "run_engine" not in given:
        reason = "the RunEngine is the one that startup code makes as RE unless --run-engine is create"
        notices.append(Notice(logging.WARNING, f"{given['keep_re'].origin} has no effect: {reason}."))
    check_cluster(given)
    return _settings(given, config_path), notices


def _merge(*levels: dict[str, Given]) -> dict[str, Given]:
    """Later levels win; the settings that name the startup code are overridden as one."""
    merged: dict[str, Given] = {}
    for level in levels:
        if any(name in level for name in SOURCES):
            merged = {name: value for name, value in merged.items() if name not in SOURCES}
        merged |= level
    return merged


def _settings(given: Mapping[str, Given], config_path: object) -> Settings:
    startup = resolve_startup(given, simulated_profile_dir)
    values: dict[str, Any] = {
        setting.name: given[setting.name].value if setting.name in given else setting.default for setting in SETTINGS
    }
    values |= {
        "config_path": config_path,
        "startup": startup.source,
        "startup_is_packaged": startup.is_packaged,
        "existing_plans_and_devices_path": startup.lists_path,
        "user_group_permissions_path": startup.permissions_path,
    }
    if "queue_server" in given and "user_group_permissions_reload" not in given:
        values["user_group_permissions_reload"] = "ON_CHANGE"
    if "control_key_file" in given:
        values["zmq_private_key"] = read_control_key(given["control_key_file"])
    return Settings(**values)
