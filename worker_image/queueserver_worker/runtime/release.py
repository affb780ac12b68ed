"""The release of the worker's software."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

_DISTRIBUTION = "bluesky-queueserver-k8s"


def release() -> str:
    """Version of the installed distribution; "0" when the sources are used without being installed."""
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:
        return "0"
