"""The settings of a manager as its other parts see them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from queueserver_common.link.worker_config import WorkerConfig
from queueserver_common.startup import StartupSource, profile_directory
from queueserver_manager.settings.table import IPYTHON_CHANNELS, SETTINGS

_LOG_LEVELS = {
    "VERBOSE": logging.DEBUG,
    "NORMAL": logging.INFO,
    "QUIET": logging.WARNING,
    "SILENT": logging.CRITICAL + 1,
}

LISTS_FILE_NAME = "existing_plans_and_devices.yaml"
PERMISSIONS_FILE_NAME = "user_group_permissions.yaml"

SECRET_VARIABLES = frozenset(
    name for setting in SETTINGS if setting.secret for name in (setting.variable, *setting.deprecated_variables) if name
)
"""Environment variables that a worker does not inherit: startup code has no use for the manager's secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of cli 2 with its effective value; the fields are named as in the settings table."""

    config_path: Path | None

    zmq_control_addr: str
    zmq_info_addr: str
    zmq_encoding: str
    """"json" or "msgpack"."""
    zmq_publish_console: bool
    zmq_private_key: str = field(repr=False)
    """Z85 text; empty: no encryption."""
    legacy_addr: str | None
    """None: requests of version 0.0.1 are not answered."""
    max_request_size: int
    """Bytes."""

    redis_addr: str | None
    """Address as given; None when none was given: `localhost`, or the packaged server when none answers there."""
    redis_name_prefix: str
    data_dir: Path | None
    """None: the user's own (`paths.default_data_dir`)."""
    runtime_dir: Path | None
    """None: the user's own (`paths.default_runtime_dir`)."""
    appendfsync: str
    """"everysec" or "always"."""
    import_upstream: bool
    history_limit: int
    """0: without limit."""
    audit_limit: int
    """0: no audit log."""
    task_results_time: float
    """Seconds."""
    task_results_limit: int

    startup: StartupSource | None
    """None in a cluster, where the QueueServer names it and the operator hands it to the worker."""
    startup_is_packaged: bool
    """The startup code is the packaged simulated profile, which nothing may be written to."""
    startup_dir: Path | None
    startup_script: Path | None
    startup_module: str | None
    startup_profile: str | None
    ipython_dir: Path | None
    run_engine: str
    """"profile" or "create"."""
    keep_re: bool

    ignore_invalid_plans: bool
    device_max_depth: int
    existing_plans_and_devices_path: Path | None
    """None in a cluster unless it is given: the lists are those of the last opening."""
    update_existing_plans_and_devices: str
    """"NEVER", "ENVIRONMENT_OPEN" or "ALWAYS"."""
    user_group_permissions_path: Path | None
    """None in a cluster unless it is given: permissions come from the file beside the worker's startup code."""
    user_group_permissions_reload: str
    """"NEVER", "ON_REQUEST", "ON_STARTUP" or "ON_CHANGE"."""
    root_submits: bool
    """Clients may name the group `root`."""
    emergency_lock_key: str = field(repr=False)
    """Empty: none."""
    permitted_re_metadata_keys: tuple[str, ...]

    on_terminate: str
    """"LEAVE", "WAIT" or "DESTROY": what SIGTERM and SIGINT mean for an open environment."""
    worker_idle_timeout: float
    """Seconds; 0 waits for ever."""
    worker_busy_timeout: float
    """Seconds; 0 waits for ever."""
    instrument: str
    """Empty: no claim."""
    warm_worker: bool
    warm_modules: tuple[str, ...]
    """Modules besides the usual ones."""

    print_console_output: bool
    console_logging_level: str

    encrypted_info_addr: str | None
    """None: no encrypted copy of the info socket."""
    clear_info: bool
    """Publish at `zmq_info_addr`."""
    health_addr: tuple[str, int] | None
    """Host and port; None: no health server."""
    queue_server: str | None
    """Name of the QueueServer; None: workers are local processes."""
    namespace: str | None
    link_addr: str
    opening_deadline: float
    """Seconds."""
    close_grace: float
    """Seconds."""
    destroy_grace: float
    """Seconds."""
    control_key_file: Path | None
    link_key_file: Path | None
    link_worker_public_key_file: Path | None
    token_dir: Path

    use_ipython_kernel: bool
    ipython_matplotlib: str | None
    ipython_kernel_ip: str
    ipython_connection_file: str | None
    ipython_connection_dir: Path | None
    ipython_shell_port: int | None
    ipython_iopub_port: int | None
    ipython_stdin_port: int | None
    ipython_hb_port: int | None
    ipython_control_port: int | None

    @property
    def in_cluster(self) -> bool:
        """Workers are pods that the operator makes."""
        return self.queue_server is not None

    @property
    def log_level(self) -> int:
        """Level for the standard library's `logging`."""
        return _LOG_LEVELS[self.console_logging_level]

    @property
    def preload(self) -> tuple[str, ...]:
        """What an interpreter that is kept ready imports, as `--preload` of the worker takes it; empty: keep none.

        The words "safe" and "simulated" stand for lists of modules that only the worker knows.
        """
        if not self.warm_worker or self.in_cluster:
            return ()
        return ("simulated" if self.startup_is_packaged else "safe", *self.warm_modules)

    @property
    def writable_lists_file(self) -> str:
        """The lists file that a worker keeps up to date; empty when the file belongs to the packaged profile."""
        path = self.existing_plans_and_devices_path
        if path is None or self.startup is None:
            return ""
        if self.startup_is_packaged and path.parent == Path(self.startup.value):
            return ""
        return str(path)

    def describe(self) -> str:
        """The block that is logged at start (cli 2): all settings, secrets masked."""
        lines = ["RE Manager configuration:"]
        for name, secret in [("config_path", False), *((setting.name, setting.secret) for setting in SETTINGS)]:
            value = getattr(self, name)
            lines.append(f"    {name}: {_mask(value) if secret else _shown(name, value)}")
        lines.append(f"    startup: {self.startup or 'as the QueueServer says'}")
        return "\n".join(lines)

    def worker_config(
        self,
        *,
        link_address: str,
        opening_id: str,
        token: str,
        spool_dir: Path,
        instrument_lock: Path | None = None,
        permissions: dict[str, Any] | None = None,
        packaged_store_socket: str = "",
    ) -> WorkerConfig:
        """What a local worker is told; the arguments are what the settings alone do not decide."""
        assert self.startup is not None
        return WorkerConfig(
            link_address=link_address,
            opening_id=opening_id,
            token=token,
            startup=self.startup,
            spool_dir=str(spool_dir),
            instrument_lock=str(instrument_lock or ""),
            permissions=permissions,
            ignore_invalid_plans=self.ignore_invalid_plans,
            device_max_depth=self.device_max_depth,
            create_run_engine=self.run_engine == "create",
            keep_run_engine=self.keep_re,
            lists_file=self.writable_lists_file,
            update_lists=self.update_existing_plans_and_devices,
            orphan_timeout=self.worker_idle_timeout,
            busy_orphan_timeout=self.worker_busy_timeout,
            packaged_store_socket=packaged_store_socket,
            kernel=self._kernel() if self.use_ipython_kernel else None,
        )

    def _kernel(self) -> dict[str, Any]:
        """What a worker is told of its kernel."""
        ports = {channel: getattr(self, f"ipython_{channel}_port") for channel in IPYTHON_CHANNELS}
        before: dict[str, Any] = {}
        if (self.startup_profile or self.ipython_dir) and (self.startup_script or self.startup_module):
            before = {"profile_startup": str(profile_directory(self.startup_profile, self.ipython_dir))}
        return before | {
            "ip": self.ipython_kernel_ip,
            "connection_file": self.ipython_connection_file,
            "connection_dir": None if self.ipython_connection_dir is None else str(self.ipython_connection_dir),
            "matplotlib": self.ipython_matplotlib,
            "ports": {channel: port for channel, port in ports.items() if port is not None},
        }


def _mask(value: str) -> str:
    return "'***'" if value else "None"


def _shown(name: str, value: object) -> str:
    if isinstance(value, Path):
        return repr(str(value))
    if name == "redis_addr" and isinstance(value, str):
        return repr(without_password(value))
    return repr(list(value) if isinstance(value, tuple) else value)


def without_password(address: str) -> str:
    """A Redis address that can be logged: `redis://user:secret@host` becomes `redis://user:***@host`."""
    scheme, separator, rest = address.partition("://")
    credentials, at, host = rest.rpartition("@")
    if not separator or not at:
        return address
    user, colon, _ = credentials.partition(":")
    return f"{scheme}://{user}{':***' if colon else ''}@{host}"
