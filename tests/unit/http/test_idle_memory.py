"""What an idle server has not loaded: each of these packages takes megabytes, and few servers use it."""

from __future__ import annotations

import subprocess
import sys


def test_a_server_with_accounts_loads_what_it_uses_and_nothing_more() -> None:
    program = """
import sys
import queueserver_http.accounts.opening
from queueserver_http.application import Application
from queueserver_http.configuration.sources import load
from queueserver_http.main import _Server
_Server(Application(load()), "localhost", 0).config.load()
heavy = (
    "alembic", "sqlalchemy.orm", "httpx", "ldap3", "onelogin", "openpyxl", "xlrd", "jwt", "cryptography", "websockets",
    "queueserver_manager.core.handlers",
)
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
