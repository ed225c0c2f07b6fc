"""Rows by the thousand into the database, past Django's instances: they cost more than the database does.

Tables and columns come from the models, values in the form that the database takes. Synchronous; runs in a thread.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Model


def insert_rows(
    model: type[Model], names: Sequence[str], rows: list[tuple[Any, ...]], *, more: Sequence[str] = ()
) -> None:
    """Insert rows of values in the order of these fields. Raises IntegrityError where one is there already.

    ``more``: columns that the model does not know, after its fields.

    A list, since PostgreSQL answers no other question while it takes rows.
    """
    table, columns = _quoted(model._meta.db_table), ", ".join([*(_column(model, name) for name in names), *more])
    with connection.cursor() as cursor, connection.wrap_database_errors:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            marks = ", ".join(["%s"] * len(names))
            cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)


def update_row(model: type[Model], facts: dict[str, Any], where: dict[str, Any]) -> bool:
    """Change one row, only if it still is as ``where`` says; return whether it was. Values as the model has them."""
    changes = ", ".join(f"{_column(model, name)} = %s" for name in facts)
    tests = " AND ".join(f"{_column(model, name)} = %s" for name in where)
    values = [
        model._meta.get_field(name).get_db_prep_save(value, connection)  # type: ignore[union-attr]
        for name, value in (*facts.items(), *where.items())
    ]
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {_quoted(model._meta.db_table)} SET {changes} WHERE {tests}", values)
        return bool(cursor.rowcount == 1)


def raise_values(model: type[Model], name: str, values: list[tuple[Any, int]]) -> None:
    """Set a number of these rows, (primary key, value), where it is lower."""
    if values:
        column, key = _column(model, name), _column(model, model._meta.pk.name)
        with connection.cursor() as cursor:
            cursor.executemany(
                f"UPDATE {_quoted(model._meta.db_table)} SET {column} = %s WHERE {key} = %s AND {column} < %s",
                [(value, pk, value) for pk, value in values],
            )


class Values:
    """Turns texts into what the database keeps. Made once for many rows: to ask for the connection takes its time."""

    def __init__(self) -> None:
        self._adapt_time = connection.ops.adapt_datetimefield_value
        self._has_uuids = connection.features.has_native_uuid_field

    def uuid(self, text: str) -> str:
        """Take a UUID in lowercase, with dashes."""
        return text if self._has_uuids else text.replace("-", "")

    def time(self, text: str) -> Any:
        return self._adapt_time(datetime.fromisoformat(text))


@cache
def _column(model: type[Model], name: str) -> str:
    return _quoted(str(model._meta.get_field(name).column))  # type: ignore[union-attr]


@cache
def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)
