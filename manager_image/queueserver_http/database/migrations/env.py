"""Alembic runs this to bring the tables up to date; the connection is given by `database.engine.migrate`."""

from alembic import context

from queueserver_http.database.tables import VERSION_TABLE, Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
