"""Writing the effective settings to a file, for tests and scripts (zmq-api 1.5)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from queueserver_manager.settings.errors import SettingsError
from queueserver_manager.settings.model import Settings
from queueserver_manager.settings.table import SETTINGS

VARIABLE = "QSERVER_SETTINGS_SAVE_TO_FILE"
"""Environment variable with the path of the file."""


def save_settings(settings: Settings, environ: Mapping[str, str]) -> None:
    """Write all settings as YAML where the variable says so; secrets are masked. Raises `SettingsError`."""
    path = environ.get(VARIABLE)
    if not path:
        return
    values = {setting.name: _plain(getattr(settings, setting.name), secret=setting.secret) for setting in SETTINGS}
    try:
        Path(path).expanduser().write_text(yaml.safe_dump(values, sort_keys=False))
    except OSError as error:
        raise SettingsError(f"The settings cannot be written to '{path}' ({VARIABLE}): {error.strerror}.") from None


def _plain(value: object, *, secret: bool) -> object:
    if secret:
        return "***" if value else ""
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
