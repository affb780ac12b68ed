"""Reading settings from environment variables (zmq-api 1.5)."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from queueserver_manager.settings.declaration import Given
from queueserver_manager.settings.errors import Notice, SettingsError
from queueserver_manager.settings.table import CONFIG, SETTINGS


def read_environment(environ: Mapping[str, str]) -> tuple[dict[str, Given], list[Notice]]:
    """Settings that the environment gives, by name; a variable that is empty counts as not set."""
    given: dict[str, Given] = {}
    notices: list[Notice] = []
    for setting in (CONFIG, *SETTINGS):
        names = [setting.variable, *setting.deprecated_variables] if setting.variable else []
        name = next((name for name in names if environ.get(name)), None)
        if name is None:
            continue
        if name != setting.variable:
            text = f"The environment variable {name} is deprecated: set {setting.variable} instead."
            notices.append(Notice(logging.WARNING, text))
        try:
            value = setting.kind.from_text(environ[name])
        except ValueError as error:
            raise SettingsError(f"The environment variable {name} {error}.") from None
        given[setting.name] = Given(value, f"environment variable {name}")
    return given, notices
