"""Accounts without a server: what happens as time passes."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from queueserver_http.access.policies import DictionaryAPIAccessControl
from queueserver_http.accounts.accounts import Accounts
from queueserver_http.accounts.records import Records
from queueserver_http.accounts.threads import RecordsInThreads
from queueserver_http.accounts.tokens import Tokens
from queueserver_http.database.engine import make_engine


@pytest.mark.row("http-api", "expired sessions are purged again and again")
def test_expired_sessions_are_deleted_whenever_there_are_some(tmp_path: Path) -> None:
    file = tmp_path / "accounts.sqlite"

    def sessions() -> int:
        database = sqlite3.connect(file)
        try:
            [[count]] = database.execute("select count(*) from qs_sessions")
        finally:
            database.close()
        return int(count)

    async def run() -> None:
        records = RecordsInThreads(Records(make_engine(f"sqlite:///{file}")), threads=2, purge_period=0.02)
        await records.open()
        policy = DictionaryAPIAccessControl(users={"bob": {"roles": ["user"]}})
        tokens = Tokens(["a key of this test"], 900, 900)
        accounts = Accounts(records, policy, tokens, session_age=0.2)
        for _ in range(2):
            assert (await accounts.log_in("toy", "bob"))["refresh_token"]
            deadline = time.monotonic() + 20
            while sessions():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
        await accounts.close()

    asyncio.run(run())
