"""Load the startup code of an environment and give it the helpers that it may import (plans-and-permissions 1)."""

from queueserver_worker.profile.errors import StartupError
from queueserver_worker.profile.loading import load_startup
from queueserver_worker.profile.user_namespace import Namespace

__all__ = ["Namespace", "StartupError", "load_startup"]
