"""Every key has an owner or a time to live; `manage.py storage` counts them and finds the others."""

import inspect
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command

from conversations import keys, services, storage
from conversations.assistant import keys as checkpoint_keys
from conversations.erasing import Eraser
from conversations.models import User
from conversations.storage import kind_of
from tests.archive_kit import Talk, archive_all, finish_turn, keys_with, new_talk, redis, say, start_turn

pytestmark = pytest.mark.django_db(transaction=True)

ARGUMENTS = {"partition_tag": "{p01}", "user_id": "7", "address": "::1", "kind": "messages", "name": "n1"}


def sample(function: object) -> str:
    names = inspect.signature(function).parameters
    return function(*(ARGUMENTS.get(name, str(uuid4())) for name in names))


def made_by(module: object) -> list[object]:
    functions = [
        each for _, each in inspect.getmembers(module, inspect.isfunction) if each.__module__ == module.__name__
    ]
    return [each for each in functions if each.__name__ not in ("tag", "prefix", "writes_prefix", "memory_namespace")]


@pytest.mark.parametrize("function", [*made_by(keys), *made_by(checkpoint_keys)], ids=lambda each: each.__name__)
def test_every_name_that_we_give_is_of_a_kind(function: object) -> None:
    kind, _ = kind_of(sample(function))
    assert kind is not None


async def busy_talk() -> Talk:
    """Return a conversation with a finished turn, one that runs, and a waiting command."""
    talk = await new_talk()
    await say(talk, respond=True)
    await finish_turn(await start_turn(talk), "fine")
    await say(talk, respond=True)
    await start_turn(talk)
    await services.rename_conversation(user_id=talk.user_id, conversation_id=talk.conversation_id, title="t", once="r")
    return talk


async def test_what_a_conversation_takes_is_counted_by_kind() -> None:
    talk = await busy_talk()
    await busy_talk()
    found = await storage.measure(talk.conversation_id)
    assert {name: usage.keys for name, usage in found.kinds.items()} == {
        "log": 1,
        "meta": 1,
        "members": 1,
        "reads": 1,
        "turns": 1,
        "sent": 4,
        "turn": 1,
        "told": 1,
    }
    assert found.kinds["sent"].expiring == 4
    assert found.kinds["log"].bytes == await redis().memory_usage(keys.log(talk.conversation_id), samples=0)
    assert found.orphans == []


async def test_a_working_server_has_no_orphans() -> None:
    for _ in range(3):
        await busy_talk()
    await archive_all()
    found = await storage.measure()
    assert (found.kinds["log"].keys, found.orphans) == (3, [])


async def test_keys_that_nobody_deletes_are_found() -> None:
    talk, gone = await busy_talk(), str(uuid4())
    await redis().rpush(keys.pieces(talk.conversation_id, gone), "piece")
    await redis().hset(keys.members(gone), "7", "owner")
    await redis().set(checkpoint_keys.prefix(gone) + ":c1", "state")
    await redis().set(keys.sent(talk.conversation_id, "7", "c"), "1 x")
    await redis().set("what:is:this", "x")
    await redis().hset(keys.feed_meta("999999"), "seq", 1)
    found = await storage.measure()
    assert {orphan.key: orphan.reason for orphan in found.orphans} == {
        keys.pieces(talk.conversation_id, gone): "its turn is over",
        keys.members(gone): "its log is gone",
        checkpoint_keys.prefix(gone) + ":c1": "no turn waits, so it should have a time to live",
        keys.sent(talk.conversation_id, "7", "c"): "should have a time to live",
        "what:is:this": "of no kind that the product writes",
        keys.feed_meta("999999"): "its user is gone",
    }


async def test_a_deleted_user_leaves_nothing_for_ever() -> None:
    talk = await busy_talk()
    await archive_all()
    await sync_to_async(_delete_user)(talk.user_id)
    await Eraser().erase_due()
    left = [*await keys_with(talk.conversation_id), *await keys_with(f"u:{talk.user_id}")]
    assert [key for key in left if await redis().pttl(key) < 0] == []
    assert (await storage.measure()).orphans == []


def _delete_user(user_id: str) -> None:
    User.objects.get(pk=user_id).delete()


def test_the_command_prints_kinds_and_fails_where_there_are_orphans(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("storage")
    assert capsys.readouterr().out.split() == ["kind", "keys", "bytes", "expiring", "ends", "all", "0", "0"]
    with pytest.raises(CommandError, match="1 keys belong to nobody"):
        _with_stray()
    assert "orphan: stray (" in capsys.readouterr().out


def _with_stray() -> None:
    from conversations.store import connect_sync

    with connect_sync() as client:
        client.set("stray", "x")
    call_command("storage")
