"""The commands about a conversation as its members see it: made, listed, read, named, put away."""

from typing import Any

from django.urls import reverse

from conversations import asides, log, search, services

from . import outgoing
from .command_calls import Call, Handler


async def _new_conversation(call: Call) -> dict[str, Any]:
    conversation_id = await services.create_conversation(
        user_id=call.user_id,
        conversation_id=await call.reserve_id(),
        title=call.args.title or "",
        topic=call.args.topic or "",
    )
    return {"conversation_id": conversation_id}


async def _list_conversations(call: Call) -> dict[str, Any]:
    return await services.list_conversations(
        user_id=call.user_id,
        archived=call.args.archived,
        before=call.args.before or "",
        limit=call.args.limit,
    )


async def history(call: Call) -> bytes:
    """Return the frame of its own that answers `get_history`."""
    given = call.args.before_seq
    before_seq = 0 if given is None else max(given, 1)  # below, 0 asks for the newest
    found, more = await log.history(call.conversation_id, call.user_id, before_seq=before_seq, limit=call.args.limit)
    entries = await asides.read_asides(
        call.conversation_id,
        call.user_id,
        from_seq=found[0]["seq"] if more else 0,
        before_seq=before_seq,
    )
    return outgoing.encode(
        {
            "type": "history",
            "id": call.id,
            "conversation_id": call.conversation_id,
            "messages": found,
            "entries": entries,
            "more": more,
        }
    )


async def _get_history(call: Call) -> dict[str, Any]:
    raise AssertionError("answered by a history frame")


async def _clear_history(call: Call) -> dict[str, Any]:
    await services.clear_history(user_id=call.user_id, conversation_id=call.conversation_id, once=call.id)
    return {}


async def _set_flag(call: Call) -> dict[str, Any]:
    await services.set_flag(user_id=call.user_id, conversation_id=call.conversation_id, command=call.command)
    return {}


async def _delete(call: Call) -> dict[str, Any]:
    await services.delete_conversation(
        user_id=call.user_id, conversation_id=call.conversation_id, device_id=call.device_id, once=call.id
    )
    return {}


async def _restore(call: Call) -> dict[str, Any]:
    await services.restore_conversation(user_id=call.user_id, conversation_id=call.conversation_id, once=call.id)
    return {}


async def _switch_topic(call: Call) -> dict[str, Any]:
    await services.switch_topic(
        user_id=call.user_id, conversation_id=call.conversation_id, topic=call.args.topic, once=call.id
    )
    return {}


async def _rename(call: Call) -> dict[str, Any]:
    await services.rename_conversation(
        user_id=call.user_id, conversation_id=call.conversation_id, title=call.args.title, once=call.id
    )
    return {}


async def _mark_read(call: Call) -> dict[str, Any]:
    await services.mark_read(user_id=call.user_id, conversation_id=call.conversation_id, seq=call.args.seq)
    return {}


async def _set_draft(call: Call) -> dict[str, Any]:
    await services.set_draft(
        user_id=call.user_id,
        conversation_id=call.conversation_id,
        content=call.args.content,
        device_id=call.device_id,
    )
    return {}


async def _search(call: Call) -> dict[str, Any]:
    return await search.search_messages(
        user_id=call.user_id,
        query=call.args.query,
        conversation_id=call.conversation_id,
        before=call.args.before or "",
        limit=call.args.limit,
    )


async def _export(call: Call) -> dict[str, Any]:
    path = reverse("export", args=[call.conversation_id])
    return {"url": f"{path}?format={call.args.format}"}


HANDLERS: dict[str, Handler] = {
    "new_conversation": _new_conversation,
    "list_conversations": _list_conversations,
    "get_history": _get_history,
    "clear_history": _clear_history,
    "archive": _set_flag,
    "unarchive": _set_flag,
    "pin": _set_flag,
    "unpin": _set_flag,
    "delete": _delete,
    "restore": _restore,
    "switch_topic": _switch_topic,
    "rename": _rename,
    "mark_read": _mark_read,
    "set_draft": _set_draft,
    "search": _search,
    "export": _export,
}
