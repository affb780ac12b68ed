"""The home directory, in which startup code keeps what has to go on after the environment is closed."""

from __future__ import annotations

import os
from pathlib import Path


def problem_of_home() -> str:
    """Why nothing can be written to the home directory, a sentence; empty when that is possible."""
    home = os.environ.get("HOME", "")
    if not home:
        return "The environment variable HOME is not set, so startup code has no home directory."
    if not Path(home).is_dir():
        return f"The home directory '{home}' does not exist; mount a volume there."
    if not os.access(home, os.W_OK | os.X_OK):
        return (
            f"The home directory '{home}' cannot be written to by user {os.getuid()}; "
            "mount a writable volume there, in a pod with a fitting fsGroup."
        )
    return ""
