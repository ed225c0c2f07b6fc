"""The index that search looks in, which the database keeps beside the messages.

SQLite has an FTS5 table without a copy of the text, PostgreSQL a column of lexemes. Both stem English words, and have
every two neighbouring letters of a script without spaces as a word (`pairs`). What is deleted goes by a trigger,
whoever deletes. `ensure` is asked after each migration: SQLite drops the triggers of a table that one makes anew.
"""

import re
from collections.abc import Sequence
from sqlite3 import Connection
from typing import Any

from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from .archive_insert import insert_rows
from .gist import SPACELESS
from .models import Message

RUN = re.compile(f"[{SPACELESS}]+")
# By these, PostgreSQL would take words for addresses, paths and numbers.
JOINT = re.compile(r"[^\w\s]|_")
TABLE = Message._meta.db_table
INDEX = f"{TABLE}_words"
ROWS = 500

KIND = "fts5(words, content='', detail=none, tokenize='porter unicode61')"
FTS = f"CREATE VIRTUAL TABLE {INDEX} USING {KIND}"
# Not by a trigger: FTS5 writes out what it has gathered before each, which costs four times as much.
FILL_ON_SQLITE = f"INSERT INTO {INDEX}(rowid, words) SELECT id, pairs(content) FROM {TABLE} WHERE id > %s"
# Only what is in it: to take out anything else would spoil the index.
FORGET_ON_SQLITE = (
    f"CREATE TRIGGER IF NOT EXISTS {INDEX}_out AFTER DELETE ON {TABLE} "
    f"WHEN EXISTS (SELECT 1 FROM {INDEX}_docsize WHERE id = old.id) BEGIN "
    f"INSERT INTO {INDEX}({INDEX}, rowid, words) VALUES ('delete', old.id, pairs(old.content)); END"
)
# `said` only carries the words to the trigger and is never kept; null: as the content has them.
ON_POSTGRES = f"""
    CREATE TEXT SEARCH DICTIONARY {INDEX}_stem (TEMPLATE = snowball, LANGUAGE = english);
    CREATE TEXT SEARCH CONFIGURATION {INDEX} (COPY = pg_catalog.simple);
    ALTER TEXT SEARCH CONFIGURATION {INDEX} ALTER MAPPING FOR asciiword, word, numword WITH {INDEX}_stem;
    ALTER TABLE {TABLE} ADD COLUMN words tsvector, ADD COLUMN said text;
    CREATE FUNCTION {INDEX}_keep() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.words := strip(to_tsvector('{INDEX}', coalesce(NEW.said, NEW.content)));
        NEW.said := NULL;
        RETURN NEW;
    END $$;
    CREATE TRIGGER {INDEX}_keep BEFORE INSERT OR UPDATE OF content, said ON {TABLE}
        FOR EACH ROW EXECUTE FUNCTION {INDEX}_keep();
    CREATE INDEX {INDEX}_found ON {TABLE} USING gin (words);
"""


def pairs(text: str) -> str:
    """Return the text with each run of a script without spaces as its pairs of letters, and its last letter."""
    return text if text.isascii() else RUN.sub(_pairs, text)


def _pairs(run: re.Match[str]) -> str:
    letters = run[0]
    return f" {' '.join([letters[at : at + 2] for at in range(len(letters))])} "


def plain_words(text: str) -> str | None:
    """Return the text's words with nothing but spaces between them, None where they are so anyway."""
    if text.isascii():
        return JOINT.sub(" ", text) if JOINT.search(text) else None
    # In small letters: a database with the locale C knows only those of ASCII.
    return JOINT.sub(" ", pairs(text)).lower()


def insert_messages(names: Sequence[str], rows: list[tuple[Any, ...]]) -> None:
    """Insert messages, values in the order of these fields, and their words. In a transaction. As `insert_rows`."""
    if connection.vendor == "postgresql":
        content = names.index("content")
        insert_rows(Message, names, [(*row, plain_words(row[content])) for row in rows], more=["said"])
        return
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT coalesce(max(id), 0) FROM {TABLE}")
        [last] = cursor.fetchone()
        insert_rows(Message, names, rows)
        cursor.execute(FILL_ON_SQLITE, [last])


def prepare(database: Connection) -> None:
    """Give a connection of SQLite the function that the index is filled by."""
    database.create_function("pairs", 1, pairs, deterministic=True)


def on_connection(sender: Any, connection: BaseDatabaseWrapper, **_: Any) -> None:
    if connection.vendor == "sqlite":
        prepare(connection.connection)


def after_migration(sender: Any, using: str, **_: Any) -> None:
    ensure(using)


def ensure(using: str) -> None:
    """Make the index where it is not there, filled with the messages that are. Repeatable."""
    if connections[using].vendor == "sqlite":
        _ensure_on_sqlite(using)
    else:
        _ensure_on_postgres(using)


def _ensure_on_sqlite(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT 1 FROM sqlite_master WHERE name = %s", [INDEX])
        if cursor.fetchone() is None:
            cursor.execute(FTS)
            cursor.execute(FILL_ON_SQLITE, [0])
        cursor.execute(FORGET_ON_SQLITE)


def _ensure_on_postgres(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_class WHERE relname = %s", [f"{INDEX}_found"])
        if cursor.fetchone() is not None:
            return
        cursor.execute(ON_POSTGRES)
        last = 0
        while rows := _rows_after(cursor, last):
            said = [(plain_words(content) or content, pk) for pk, content in rows]
            cursor.executemany(f"UPDATE {TABLE} SET said = %s WHERE id = %s", said)
            last = rows[-1][0]


def _rows_after(cursor: Any, last: int) -> list[tuple[int, str]]:
    cursor.execute(f"SELECT id, content FROM {TABLE} WHERE id > %s ORDER BY id LIMIT {ROWS}", [last])
    return list(cursor.fetchall())
