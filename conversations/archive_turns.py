"""Turn rows, from the entries of a log page that tell how a turn went."""

from datetime import UTC, datetime
from typing import Any

import orjson

from .archive_pages import LogPage
from .models import Message, Turn

Bodies = list[dict[str, Any]]

CHANGING = [
    "seq",
    "status",
    "attempts",
    "node",
    "queued_at",
    "started_at",
    "first_piece_at",
    "finished_at",
    "usage",
    "error",
]


def store_turns(pages: list[tuple[LogPage, Bodies]]) -> None:
    """Store the turns that these entries begin or change, as they are after them."""
    wanted = {body["data"]["turn_id"] for _, bodies in pages for body in bodies if body["data"].get("turn_id")}
    wanted |= {body["data"]["by"] for _, bodies in pages for body in bodies if body["event"] == "message.superseded"}
    if not wanted:
        return
    turns = {str(turn.pk): turn for turn in Turn.objects.filter(pk__in=wanted)}
    changed: dict[str, Turn] = {}
    for page, bodies in pages:
        changed |= _changed(page, bodies, turns)
    Turn.objects.bulk_create(changed.values(), update_conflicts=True, unique_fields=["id"], update_fields=CHANGING)


def _changed(page: LogPage, bodies: Bodies, turns: dict[str, Turn]) -> dict[str, Turn]:
    changed: dict[str, Turn] = {}
    for entry, body in zip(page.entries, bodies, strict=True):
        turn_id = body["data"].get("turn_id")
        private = page.private.get(entry.seq, b"")
        facts = orjson.loads(private) if private else {}
        if entry.kind == "message.superseded" and facts:  # an answer is written anew, for an older message
            turn_id = facts["turn_id"]
        if not turn_id or (entry.kind == "message" and body["data"]["role"] != "user"):
            continue
        turn = turns.get(turn_id)
        if turn is None:
            turn = turns[turn_id] = _new_turn(page, turn_id, entry.seq, entry.kind, body)
        elif entry.kind == "message":
            turn.seq = entry.seq
        turn.seq = facts.get("asked", turn.seq)
        _apply(turn, entry.kind, body, facts)
        changed[turn_id] = turn
    return changed


def _new_turn(page: LogPage, turn_id: str, seq: int, kind: str, body: dict[str, Any]) -> Turn:
    if kind != "message":  # asked for without a message of its own: by the newest one of a person
        asked = Message.objects.filter(conversation_id=page.conversation_id, role="user", seq__lt=seq)
        seq = asked.order_by("-seq").values_list("seq", flat=True).first() or seq
    return Turn(id=turn_id, conversation_id=page.conversation_id, seq=seq, queued_at=_at(body))


def _at(body: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(body["at"])


def _apply(turn: Turn, kind: str, body: dict[str, Any], facts: dict[str, Any]) -> None:
    data = body["data"]
    if kind == "turn.started":
        turn.status, turn.node, turn.attempts = Turn.Status.RUNNING, data["node"], data["attempt"]
        turn.started_at = turn.started_at or _at(body)
    elif kind == "turn.waiting":
        turn.status = Turn.Status.WAITING
    elif kind == "turn.answered":
        turn.status = Turn.Status.RUNNING
    elif kind == "turn.finished":
        _finish(turn, body, facts)


def _finish(turn: Turn, body: dict[str, Any], facts: dict[str, Any]) -> None:
    data = body["data"]
    error = data.get("error") or ""
    turn.status, turn.finished_at = data["status"], _at(body)
    turn.error = (error if isinstance(error, str) else orjson.dumps(error).decode()).replace("\0", "")
    turn.usage = facts.get("usage") or {}
    for name in ("queued", "started", "first_piece", "finished"):
        if ms := facts.get(f"{name}_ms"):
            setattr(turn, f"{name}_at", datetime.fromtimestamp(ms / 1000, UTC))
