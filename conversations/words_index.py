"""The index that search looks in: made and filled by the database itself, whoever writes or deletes a message.

SQLite has an FTS5 table beside the messages (no copy of their text), PostgreSQL a column of lexemes. Both stem English
words, and have every two neighbouring letters of a script without spaces as a word: ``pairs`` here, and the same in
SQL. `ensure` is asked after each migration: SQLite drops the triggers of a table that a migration makes anew.
"""

import re
from sqlite3 import Connection
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from .models import Message

# Kana, ideographs, Hangul.
SPACELESS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
RUN = re.compile(f"[{SPACELESS}]+")
TABLE = Message._meta.db_table
INDEX = f"{TABLE}_words"
KIND = "fts5(words, content='', detail=none, columnsize=0, tokenize='porter unicode61')"
FTS = f"CREATE VIRTUAL TABLE {INDEX} USING {KIND}"

ON_SQLITE = [
    FTS,
    f"INSERT INTO {INDEX}(rowid, words) SELECT id, pairs(content) FROM {TABLE}",
]
TRIGGERS_ON_SQLITE = [
    f"CREATE TRIGGER IF NOT EXISTS {INDEX}_in AFTER INSERT ON {TABLE} BEGIN "
    f"INSERT INTO {INDEX}(rowid, words) VALUES (new.id, pairs(new.content)); END",
    f"CREATE TRIGGER IF NOT EXISTS {INDEX}_out AFTER DELETE ON {TABLE} BEGIN "
    f"INSERT INTO {INDEX}({INDEX}, rowid, words) VALUES ('delete', old.id, pairs(old.content)); END",
]
# What the parser would join or take for addresses and paths stands apart.
APART = "!\"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~"
SPACES = " " * (len(APART) - 1)
MARKS = "\u2000-\u206f\u3000-\u303f\uff00-\uff0f\uff1a-\uff20"
ON_POSTGRES = [
    f"""
    CREATE TEXT SEARCH DICTIONARY {INDEX}_stem (TEMPLATE = snowball, LANGUAGE = english);
    CREATE TEXT SEARCH CONFIGURATION {INDEX} (COPY = pg_catalog.simple);
    ALTER TEXT SEARCH CONFIGURATION {INDEX}
        ALTER MAPPING FOR asciiword, word, numword WITH {INDEX}_stem;
    CREATE FUNCTION {INDEX}_of(said text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        said := translate(said, '{APART}', '{SPACES}');
        IF said ~ '[^\\x01-\\x7f]' THEN
            said := regexp_replace(said, '[{MARKS}]+', ' ', 'g');
            said := regexp_replace(said, '([{SPACELESS}]{{1,2}})', ' \\1 ', 'g') || ' ' || CASE
                WHEN said ~ '[{SPACELESS}]' THEN regexp_replace(
                    regexp_replace(said, '[{SPACELESS}]([{SPACELESS}]*)', ' \\1 ', 'g'),
                    '([{SPACELESS}]{{1,2}})', ' \\1 ', 'g')
                ELSE '' END;
        END IF;
        RETURN strip(to_tsvector('{INDEX}', said));
    END $$;
    CREATE FUNCTION {INDEX}_keep() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.words := {INDEX}_of(NEW.content);
        RETURN NEW;
    END $$;
    ALTER TABLE {TABLE} ADD COLUMN words tsvector;
    UPDATE {TABLE} SET words = {INDEX}_of(content);
    CREATE TRIGGER {INDEX}_keep BEFORE INSERT OR UPDATE OF content ON {TABLE}
        FOR EACH ROW EXECUTE FUNCTION {INDEX}_keep();
    CREATE INDEX {INDEX}_found ON {TABLE} USING gin (words);
    """
]


def pairs(text: str) -> str:
    """Return the text with each run of a script without spaces as its pairs of letters, and its last letter."""
    return text if text.isascii() else RUN.sub(_pairs, text)


def _pairs(run: re.Match[str]) -> str:
    letters = run[0]
    return f" {' '.join([letters[at : at + 2] for at in range(len(letters))])} "


def prepare(database: Connection) -> None:
    """Give a connection of SQLite what the triggers call."""
    database.create_function("pairs", 1, pairs, deterministic=True)


def on_connection(sender: Any, connection: BaseDatabaseWrapper, **_: Any) -> None:
    if connection.vendor == "sqlite":
        prepare(connection.connection)


def after_migration(sender: Any, using: str, **_: Any) -> None:
    ensure(using)


def ensure(using: str) -> None:
    """Make the index where it is not there, filled with the messages that are. Repeatable."""
    connection = connections[using]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT 1 FROM sqlite_master WHERE name = %s", [INDEX])
            wanted = TRIGGERS_ON_SQLITE if cursor.fetchone() else ON_SQLITE + TRIGGERS_ON_SQLITE
        else:
            cursor.execute("SELECT 1 FROM pg_class WHERE relname = %s", [f"{INDEX}_found"])
            wanted = [] if cursor.fetchone() else ON_POSTGRES
        for statement in wanted:
            cursor.execute(statement)
