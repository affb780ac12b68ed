"""Bring the file of existing plans and devices up to date, beside the worker's work."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from queueserver_common import loggers
from queueserver_common.descriptions import DeviceDescription, PlanDescription
from queueserver_common.link.worker_config import WorkerConfig
from queueserver_common.lists_file import ListsFileError, write_lists
from queueserver_common.simulated_profile import simulated_profile_dir
from queueserver_worker.runtime.threads import start_thread

_log = logging.getLogger(loggers.WORKER)


def update_lists_file(
    config: WorkerConfig, plans: Mapping[str, PlanDescription], devices: Mapping[str, DeviceDescription]
) -> None:
    """Write the lists of an opened environment where the configuration says so, unless they are there already.

    Returns at once. The file of the simulated profile is part of the package and never written.
    """
    if not config.lists_file or config.update_lists == "NEVER":
        return
    path = Path(config.lists_file)
    if _belongs_to_package(path):
        return

    def update() -> None:
        try:
            if write_lists(path, plans, devices):
                _log.info("The list of existing plans and devices was written to '%s'", path)
        except ListsFileError as error:
            _log.warning("%s", error)

    start_thread("lists-file", update)


def _belongs_to_package(path: Path) -> bool:
    try:
        return path.resolve().is_relative_to(simulated_profile_dir().resolve())
    except FileNotFoundError:
        return False
