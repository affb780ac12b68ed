"""Exit codes of the manager process and of `start-re-manager`.

Plain numbers, not an enum: the supervisor reads them and stays small.
"""

from __future__ import annotations

STOPPED = 0
"""Orderly end: `manager_stop`, or Ctrl-C at the supervisor (cli 2)."""

SETTINGS = 1
"""The manager cannot start: a setting, file, port or directory is wrong; a sentence on standard error says which."""

TERMINATED = 1
"""The supervisor was ended by SIGTERM or SIGHUP (cli 2); the manager itself left in order."""

USAGE = 2
"""The command line could not be read (argparse)."""

REFUSED = 10
"""Another manager holds the same data; never started again by the supervisor."""

FENCED = 11
"""A newer manager took over the data while this one ran; never started again by the supervisor."""

GAVE_UP = 12
"""The supervisor saw the manager crash too often."""

CRASHED = 70
"""An unexpected exception ended the manager; the supervisor starts it again."""

FINAL = frozenset({STOPPED, USAGE, REFUSED, FENCED})
"""Codes after which the manager is never started again, whenever they come."""
