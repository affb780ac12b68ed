"""Names of the loggers of manager and worker: programs that read a console look for them (zmq-api 1.4, cli 2)."""

from __future__ import annotations

PREFIX = "bluesky_queueserver"

MANAGER = f"{PREFIX}.manager.manager"
START = f"{PREFIX}.manager.start_manager"
"""What a manager was started with."""
COMMS = f"{PREFIX}.manager.comms"
"""Control and info sockets."""
WORKERS = f"{PREFIX}.manager.workers"
"""Starts and ends of workers."""
STORE = f"{PREFIX}.manager.store"
"""Redis."""
LINK = f"{PREFIX}.manager.link"
"""The socket of workers."""
CLUSTER = f"{PREFIX}.manager.cluster"
"""Objects of Kubernetes."""
LAUNCH = f"{PREFIX}.manager.launch"
"""Processes of workers."""
WORKER = f"{PREFIX}.manager.worker"
PROFILE = f"{PREFIX}.manager.profile_ops"
"""Startup code, and the plans and devices in it."""
