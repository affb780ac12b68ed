"""What the settings of a manager mean for its decisions."""

from __future__ import annotations

from queueserver_manager.core.core import CoreSettings
from queueserver_manager.settings.model import Settings


def core_settings(settings: Settings) -> CoreSettings:
    """The part of the settings that decisions depend on."""
    return CoreSettings(
        destroy_grace=settings.destroy_grace,
        secret_openings=not settings.in_cluster,
        permissions_from_worker=settings.in_cluster and settings.user_group_permissions_path is None,
        workers_wait=settings.in_cluster,
        history_limit=settings.history_limit,
        ipython_kernel=settings.use_ipython_kernel,
        audit_limit=settings.audit_limit,
        task_results_time=settings.task_results_time,
        task_results_limit=settings.task_results_limit,
        emergency_lock_key=settings.emergency_lock_key,
        root_submits=settings.root_submits,
        permitted_metadata=settings.permitted_re_metadata_keys,
        permissions_from_file=settings.user_group_permissions_reload != "NEVER",
    )
