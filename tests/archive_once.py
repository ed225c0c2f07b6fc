"""A process that does one piece of the archiver's work on the tests' database, to be killed in the middle.

Forked from a server that has Django loaded already, so that each costs milliseconds, not seconds.
"""

import asyncio
import multiprocessing
import os

import django
from django.db import connection, connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")
django.setup()

from conversations import parking, restoring  # noqa: E402
from conversations.archive import Archiver  # noqa: E402
from conversations.faults import KILLED  # noqa: E402
from conversations.models import Conversation  # noqa: E402

DEADLINE_SECONDS = 60


async def kill_at(fault: str, name: str, conversation_id: str = "") -> None:
    """Do ``archive``, ``bring_back`` or ``park`` in another process, which must die at the named point."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    database = str(connection.settings_dict["NAME"])
    child = context.Process(target=_child, args=(database, fault, name, conversation_id))
    child.start()
    await asyncio.to_thread(child.join, DEADLINE_SECONDS)
    assert child.exitcode == KILLED


def _child(database: str, fault: str, name: str, conversation_id: str) -> None:
    os.environ["TETHER_FAULT"] = fault
    connections.databases["default"]["NAME"] = database
    asyncio.run(_work(name, conversation_id))


async def _work(name: str, conversation_id: str) -> None:
    if name == "archive":
        await Archiver("child").run_once()
    elif name == "bring_back":
        await restoring.bring_back(conversation_id)
    else:
        await parking.park_rows([await Conversation.objects.aget(pk=conversation_id)], idle_ms=0)
