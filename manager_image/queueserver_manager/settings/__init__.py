"""Settings of the manager: where each is given, what it may be, and what follows from it."""

from queueserver_manager.settings.errors import Notice, SettingsError
from queueserver_manager.settings.load import load_settings
from queueserver_manager.settings.model import Settings
from queueserver_manager.settings.startup import check_startup

__all__ = ["Notice", "Settings", "SettingsError", "check_startup", "load_settings"]
