"""Log messages of the worker itself, on its standard error."""

from __future__ import annotations

import logging
import sys

_PACKAGES = ("bluesky_queueserver", "queueserver_common")


class _StandardErrorHandler(logging.Handler):
    """Writes to what `sys.stderr` is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:
            self.handleError(record)


def set_up_log() -> None:
    """Show messages of the worker's packages, whatever startup code does to the root logger."""
    handler = _StandardErrorHandler()
    handler.setFormatter(logging.Formatter("[%(levelname).1s %(asctime)s %(name)s] %(message)s"))
    for name in _PACKAGES:
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
