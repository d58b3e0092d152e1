"""Run by Alembic for each command: one database transaction per migration, on the connection it was given."""

from alembic import context

from wallet.storage.schema.revision import VERSION_TABLE

connection = context.config.attributes["connection"]
applied = context.config.attributes["applied"]

context.configure(
    connection=connection,
    transaction_per_migration=True,
    version_table=VERSION_TABLE,
    on_version_apply=lambda step, **_: applied.append(step.up_revision_id),
)
with context.begin_transaction():
    context.run_migrations()
