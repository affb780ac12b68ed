"""One line of JSON per log message; the object that it is about, if any, under `object`."""

from __future__ import annotations

import logging

import kopf

_AT_LEAST = {
    "aiohttp": logging.INFO,
    "asyncio": logging.INFO,
    "kopf": logging.INFO,
    "kopf.objects": logging.WARNING,  # a line for every event that was seen
    "kubernetes": logging.INFO,
}
"""Libraries that log whole bodies at level DEBUG, Secrets among them."""


def log_json(level: str) -> None:
    """Log to standard error at this level; libraries never below their least level."""
    kopf.configure(log_format=kopf.LogFormat.JSON, log_refkey="object")
    logging.getLogger().setLevel(level)
    for name, least in _AT_LEAST.items():
        logging.getLogger(name).setLevel(max(least, logging.getLevelName(level)))
