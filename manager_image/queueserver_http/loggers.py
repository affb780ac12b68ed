"""Names of the loggers of the HTTP server."""

from __future__ import annotations

SERVER = "bluesky_httpserver"
ACCESS = f"{SERVER}.access"
"""One line of JSON for each request, and nothing else."""
ACCOUNTS = f"{SERVER}.accounts"
AUTHENTICATORS = f"{SERVER}.authenticators"
CONSOLE = f"{SERVER}.console"
KUBERNETES = f"{SERVER}.kubernetes"
"""Reviews of tokens."""
POLICIES = f"{SERVER}.policies"
"""Who may do what."""
SPREADSHEET = f"{SERVER}.spreadsheet"
WEBSOCKETS = f"{SERVER}.websockets"
ZMQ = f"{SERVER}.zmq"
"""The sockets of the manager."""
