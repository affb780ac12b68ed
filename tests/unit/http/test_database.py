"""The tables of accounts: made, found up to date, and left alone when a newer server has changed them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from ports import free_ports
from queueserver_http.database.engine import DatabaseAway, DatabaseError, make_engine, prepare
from queueserver_http.database.migration import migrate, migrations
from queueserver_http.database.tables import METADATA, REVISION, VERSION_TABLE

OPEN = """
import sys
from queueserver_http.database.engine import make_engine, prepare
from queueserver_http.database.revision import revision
engine = make_engine(sys.argv[1])
prepare(engine)
with engine.connect() as connection:
    print(revision(connection))
print("alembic" in sys.modules)
"""


def test_the_newest_migration_is_the_one_that_is_named() -> None:
    assert ScriptDirectory.from_config(migrations()).get_heads() == [REVISION]


def test_the_migrations_give_the_tables_that_are_used() -> None:
    engine = make_engine("sqlite://")
    with engine.begin() as connection:
        migrate(connection)
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_a_new_database_is_made_without_the_migrations_staying_in_memory(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a file in the working directory was executed')")
    command = [sys.executable, "-P", "-c", OPEN, f"sqlite:///{tmp_path}/a.sqlite"]
    for _ in ("new", "up to date"):
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
        assert done.stdout.split() == [REVISION, "False"]


def test_a_database_of_a_newer_server_is_refused_with_a_sentence(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/a.sqlite"
    engine = make_engine(uri)
    prepare(engine)
    engine.dispose()
    database = sqlite3.connect(tmp_path / "a.sqlite")
    database.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    database.commit()
    database.close()
    with pytest.raises(DatabaseError, match="changed by a newer version of this server"):
        prepare(engine)
    engine.dispose()


def test_a_postgresql_that_nobody_reaches_is_away_and_the_sentence_holds_no_password() -> None:
    [port] = free_ports(1)
    with pytest.raises(DatabaseAway, match=f"The database postgresql.*{port}.* cannot be used: ") as caught:
        prepare(make_engine(f"postgresql://tester:secret@127.0.0.1:{port}/accounts"))
    assert "secret" not in str(caught.value)


def test_what_the_uri_says_of_the_connection_comes_first(tmp_path: Path) -> None:
    engine = make_engine("postgresql://tester@127.0.0.1/accounts?connect_timeout=2")
    _, arguments = engine.dialect.create_connect_args(engine.url)
    assert arguments["connect_timeout"] == "2"
