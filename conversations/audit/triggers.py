"""The database's own refusal to change or remove what the audit journal holds.

Made by the migration that makes the table. SQLite drops the triggers of a table that a later migration makes anew:
that migration has to make them again. Whoever may drop triggers can do so; that is what the chain is for.
"""

from django.db.backends.base.base import BaseDatabaseWrapper

TABLE = "conversations_auditentry"
WORDS = "the audit journal is append-only"
ON_SQLITE = [
    f"CREATE TRIGGER IF NOT EXISTS {TABLE}_no_{verb} BEFORE {verb} ON {TABLE} BEGIN SELECT RAISE(ABORT, '{WORDS}'); END"
    for verb in ("update", "delete")
]
ON_POSTGRES = [
    f"CREATE OR REPLACE FUNCTION {TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ "
    f"BEGIN RAISE EXCEPTION '{WORDS}'; END $$",
    f"CREATE TRIGGER {TABLE}_no_change BEFORE UPDATE OR DELETE ON {TABLE} "
    f"FOR EACH ROW EXECUTE FUNCTION {TABLE}_refuse()",
    f"CREATE TRIGGER {TABLE}_no_truncate BEFORE TRUNCATE ON {TABLE} "
    f"FOR EACH STATEMENT EXECUTE FUNCTION {TABLE}_refuse()",
]
NAMES = {
    "sqlite": [f"{TABLE}_no_update", f"{TABLE}_no_delete"],
    "postgresql": [f"{TABLE}_no_change", f"{TABLE}_no_truncate"],
}


def make(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        for statement in ON_SQLITE if connection.vendor == "sqlite" else ON_POSTGRES:
            cursor.execute(statement)


def drop(connection: BaseDatabaseWrapper) -> None:
    on = f" ON {TABLE}" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        for name in NAMES[connection.vendor]:
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}{on}")
