"""What an operator does: each through the service that people's commands use, each on record."""

from uuid import uuid4

from django.utils.translation import gettext as _

from .. import control, notices, retrying
from ..announce import node_group, user_group
from ..audit import journal
from ..audit.actor import acting_user_id
from ..audit.entry import Action
from ..errors import Conflict
from ..models import Conversation, User
from . import nodes
from .asking import ask, tell_groups

# What the log says in place of a device.
DEVICE = "operator"
NOTICE_CHARACTERS = 500


def cancel_turn(conversation_id: str, turn_id: str) -> None:
    """Cancel a turn in its owner's place. Raises Conflict, Forbidden, Unavailable."""
    owner = Conversation.objects.filter(pk=conversation_id).values_list("owner_id", flat=True).first()
    if owner is None:
        raise Conflict(_("This conversation does not exist."))
    ask(
        lambda: control.cancel_turn(
            conversation_id=conversation_id, user_id=str(owner), device_id=DEVICE, turn_id=turn_id, once=uuid4().hex
        )
    )
    journal.record(Action.TURN_CANCELLED, subject=f"conversation:{conversation_id}", turn=turn_id)


def retry_turn(turn_id: str) -> str:
    """Try a failed turn again and return the new one's id. Raises Conflict, Forbidden, Unavailable."""
    new_turn_id = ask(lambda: retrying.retry_turn(turn_id=turn_id, device_id=DEVICE, once=uuid4().hex))
    journal.record(Action.TURN_RETRIED, subject=f"turn:{turn_id}", turn=new_turn_id)
    return new_turn_id


def drain_node(name: str) -> None:
    """Tell the node to take no more, hand back its turns, say goodbye and end. Raises Conflict, Unavailable."""
    if name not in nodes.live_names():
        raise Conflict(_("This node is not there."))
    journal.record(Action.NODE_DRAINED, subject=f"node:{name}" if journal.PLAIN.fullmatch(f"node:{name}") else "node")
    ask(lambda: tell_groups([node_group(name)], {"type": "node.drain"}))


def send_notice(message: str, level: str, usernames: list[str], hours: int = 0) -> int:
    """Tell whoever is connected, or these users; return how many nodes or users were told.

    ``hours``: for so long it is told to whoever comes later, too. Raises Conflict naming who is unknown, Unavailable.
    """
    if usernames:
        known = dict(User.objects.filter(username__in=usernames).values_list("username", "pk"))
        unknown = sorted(set(usernames) - set(known))
        if unknown:
            raise Conflict(_("Nobody is called %(names)s.") % {"names": ", ".join(unknown)})
        told = [user_group(str(pk)) for pk in known.values()]
        journal.record_many(
            journal.Draft(Action.NOTICE_SENT, acting_user_id(), journal.person(pk), {"level": level, "hours": hours})
            for pk in known.values()
        )
        frame = _frame(message, level, [str(pk) for pk in known.values()], hours)
        ask(lambda: tell_groups(told, {"type": "direct", "f": frame}))
        return len(told)
    names = nodes.live_names()
    journal.record(Action.NOTICE_SENT, subject="everyone", level=level, hours=hours)
    frame = _frame(message, level, [], hours)
    ask(lambda: tell_groups([node_group(name) for name in names], {"type": "node.notice", "f": frame}))
    return len(names)


def _frame(message: str, level: str, people: list[str], hours: int) -> bytes:
    return notices.keep(message, level, people, hours).frame() if hours else notices.frame_of(message, level)


def take_notice_back(notice_id: str) -> None:
    """Tell it to nobody any more; whoever has seen it has seen it. Raises Conflict, Unavailable."""
    if not notices.take_back(notice_id):
        raise Conflict(_("This notice does not stand any more."))
    journal.record(Action.NOTICE_TAKEN_BACK, subject=f"notice:{notice_id}")
