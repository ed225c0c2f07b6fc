"""The commands about who may read along: members, shared links, a person's own devices."""

from typing import Any

from conversations import devices, feed, log, memberships, sharing
from conversations.announce import tell_users
from conversations.audit.actor import acting
from conversations.errors import Forbidden
from conversations.events import time_text
from conversations.models import User
from conversations.threads import in_database

from . import outgoing
from .command_calls import Call, Handler


async def _invite(call: Call) -> dict[str, Any]:
    await memberships.invite_member(
        user_id=call.user_id, conversation_id=call.conversation_id, username=call.args.username, once=call.id
    )
    return {}


async def _remove_member(call: Call) -> dict[str, Any]:
    await memberships.remove_member(
        user_id=call.user_id,
        conversation_id=call.conversation_id,
        username=call.args.username,
        device_id=call.device_id,
        once=call.id,
    )
    return {}


async def _leave(call: Call) -> dict[str, Any]:
    await memberships.leave_conversation(
        user_id=call.user_id, conversation_id=call.conversation_id, device_id=call.device_id, once=call.id
    )
    return {}


async def _typing(call: Call) -> dict[str, Any]:
    members = await log.check_member(call.conversation_id, call.user_id)
    about = {
        "conversation_id": call.conversation_id,
        "user_id": call.user_id,
        "device_id": call.device_id,
    }
    frame = outgoing.encode({"type": "presence", "typing": about})
    tell_users(members, {"type": "hint", "c": call.conversation_id, "f": frame, "d": call.device_id})
    return {}


async def _share(call: Call) -> dict[str, Any]:
    reserved = await call.reserve_id()
    await sharing.create_share(
        user_id=call.user_id, conversation_id=call.conversation_id, share_id=reserved, days=call.args.days
    )
    return {"share_id": reserved}


async def _list_shares(call: Call) -> dict[str, Any]:
    return {"items": await sharing.list_shares(user_id=call.user_id, conversation_id=call.conversation_id)}


async def _unshare(call: Call) -> dict[str, Any]:
    await sharing.revoke_share(user_id=call.user_id, conversation_id=call.conversation_id, share_id=call.args.share_id)
    return {}


async def _list_devices(call: Call) -> dict[str, Any]:
    here = {device["device_id"]: device["node"] for device in await call.node.registry.devices(call.user_id)}
    user = await User.objects.aget(pk=call.user_id)
    known = await in_database(devices.list_devices, user)
    items = [
        {
            "device_id": device.device_id,
            "name": device.name,
            "created_at": time_text(device.created_at),
            "last_seen": time_text(device.last_seen_at) if device.last_seen_at else None,
            "connected": device.device_id in here,
            "node": here.get(device.device_id),
            "current": device.device_id == call.device_id,
        }
        for device in known
    ]
    return {"items": items}


async def _revoke_device(call: Call) -> dict[str, Any]:
    user = await User.objects.filter(pk=call.user_id).afirst()
    if user is None:
        raise Forbidden("This account has ended.")
    device_id, mine = call.args.device_id, call.identity
    # Several devices may share one token. Who signs another out keeps it; who signs themselves out does not.
    spared = None if device_id == call.device_id else devices.Credential(mine.token_id, mine.session_key)
    with acting(call.user_id):
        await in_database(lambda: devices.revoke_device(user=user, device_id=device_id, spared=spared))
    await feed.push(call.user_id, "device.revoked", {"device_id": call.args.device_id})
    return {}


HANDLERS: dict[str, Handler] = {
    "typing": _typing,
    "invite": _invite,
    "remove_member": _remove_member,
    "leave": _leave,
    "share": _share,
    "list_shares": _list_shares,
    "unshare": _unshare,
    "list_devices": _list_devices,
    "revoke_device": _revoke_device,
}
