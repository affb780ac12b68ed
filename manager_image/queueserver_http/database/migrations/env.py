"""Alembic runs this to bring the tables up to date; the connection is given by `database.migration.migrate`."""

from alembic import context

from queueserver_http.database.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
