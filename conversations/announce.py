"""Ring the doorbell: tell a user's sockets on all nodes what just became durable, through the channel layer.

A lost announcement costs time, never an entry: sessions compare their cursors with the log each second.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from channels.layers import get_channel_layer

from .events import event_frame

ALL_NODES = "nodes"


def user_group(user_id: str) -> str:
    return f"user.{user_id}"


def node_group(node: str) -> str:
    return f"node.{node}"


def tell_due(conversation_id: str, turn_id: str, attempts: int) -> None:
    """Tell all nodes that this turn may be claimed, soon. Who does not hear of it finds it with its next sweep.

    It is named, with its attempts so far: all but one of the nodes claim it in vain, and should ask nothing before.
    """
    due = {"type": "turn.due", "conversation_id": conversation_id, "turn_id": turn_id, "attempts": attempts}
    get_channel_layer().group_send_soon(ALL_NODES, due)


def tell_users(user_ids: Iterable[str], message: dict[str, Any]) -> None:
    """Send to each user's group soon, without waiting."""
    layer = get_channel_layer()
    for user_id in user_ids:
        layer.group_send_soon(user_group(user_id), message)


def tell_entries(
    user_ids: Iterable[str],
    conversation_id: str,
    epoch: int,
    entries: Sequence[tuple[int, str, str, bytes]],
    *,
    turn: tuple[str, int] = ("", 0),
) -> None:
    """Announce entries, as Entry has them, in order. ``turn``: (id, attempt) of the one that turn entries are about."""
    items = [
        [seq, chain, kind, *turn, event_frame(conversation_id, epoch, seq, chain, body)]
        for seq, chain, kind, body in entries
    ]
    tell_users(user_ids, {"type": "entries", "c": conversation_id, "e": epoch, "i": items})
