"""One line of JSON per log message; the object that it is about, if any, under `object`."""

from __future__ import annotations

import logging

import kopf

_TALKATIVE = ("aiohttp", "asyncio", "kopf", "kubernetes", "urllib3")
"""They log whole bodies at level DEBUG, and those of Secrets are among them."""


def log_json(level: str) -> None:
    """Log to standard error at this level; libraries never below INFO."""
    kopf.configure(log_format=kopf.LogFormat.JSON, log_refkey="object")
    logging.getLogger().setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelName(level)))
