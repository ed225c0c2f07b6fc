"""Saying something: check, append, announce, and queue the turn. And reading back what was said."""

import os
from itertools import count, pairwise
from typing import Any, NamedTuple
from uuid import uuid4

import orjson

from . import keys, log, people, restoring, store
from .errors import TetherError
from .events import encode_body
from .feed import teller
from .gist import preview_of, title_of
from .log import Appended, Draft
from .models import Event
from .threads import mapped_errors

TRANSCRIPT_MESSAGES = 40
_own_front = ""
_numbers = count(1)


class Said(NamedTuple):
    author: str
    content: str


def _take_front() -> None:
    global _own_front
    _own_front = str(uuid4())[:24]


# Ids are names, not secrets: the front is this process' own, the rest counts.
_take_front()
os.register_at_fork(after_in_child=_take_front)


def new_id() -> str:
    """Return a new UUID (version 4 in form)."""
    return f"{_own_front}{next(_numbers):012x}"


def draft_message(
    *,
    user_id: str,
    device_id: str,
    client_id: str,
    content: str,
    respond: bool,
    if_seq: int | None,
    retry: bool,
) -> Draft:
    """Return the message ready to append: its body encoded once, and its turn named if it asks for an answer."""
    message_id, preview = new_id(), preview_of(content)
    turn_id = new_id() if respond else ""
    data = {
        "message_id": message_id,
        "role": "user",
        "author": user_id,
        "device_id": device_id,
        "content": content,
        "client_id": client_id,
        "status": "complete",
    }
    if turn_id:
        data["turn_id"] = turn_id
    return Draft(
        client_id=client_id,
        message_id=message_id,
        turn_id=turn_id,
        body=encode_body("message", data),
        preview=preview,
        title=title_of(content),
        if_seq=if_seq,
        retry=retry,
    )


def asks(message: dict[str, Any]) -> bool:
    """Whether this message of a person asked the assistant. A fork's copy, which has neither turn nor device, says."""
    is_copy = "device_id" not in message
    return bool(message.get("turn_id") or (is_copy and message.get("respond", True)))


async def append_drafts(
    conversation_id: str, user_id: str, device_id: str, drafts: list[Draft]
) -> list[Appended | TetherError]:
    """Append, durable; see log.append_messages for what it returns."""
    done = await log.append_messages(conversation_id, user_id, device_id, drafts, find_sent=restoring.find_sent)
    if any(isinstance(each, Appended) for each in done):
        teller.note(conversation_id)
    return done


async def append_draft(conversation_id: str, user_id: str, device_id: str, draft: Draft) -> Appended:
    """Append one. Raises the error that `append_drafts` returns."""
    [appended] = await append_drafts(conversation_id, user_id, device_id, [draft])
    if isinstance(appended, TetherError):
        raise appended
    return appended


@mapped_errors()
async def find_message(conversation_id: str, seq: int) -> Said:
    """Return the message at a seq, from the stream or the archive; empty where it was erased.

    Raises Unavailable.
    """
    with store.mapped_errors():
        rows = await store.client().xrange(keys.log(conversation_id), f"{seq}-0", f"{seq}-0")
    if rows:
        body = rows[0][1][b"b"]
    else:
        row = await Event.objects.filter(conversation_id=conversation_id, seq=seq).afirst()
        if row is None:
            return Said("", "")
        body = row.body
    data = orjson.loads(body)["data"]
    return Said(data["author"], data["content"])


async def load_transcript(conversation_id: str, before_seq: int) -> list[dict[str, Any]]:
    """Return the newest messages before a seq as {message_id, role, content, name, addressed}, oldest first.

    To rebuild a lost state from. An answer follows its question, also where the next one was asked before it came.
    Names are there where several people have spoken. What gave way to another answer or an edit is left out.
    Raises Unavailable.
    """
    messages: list[dict[str, Any]] = []
    more = True
    while more and len(messages) < TRANSCRIPT_MESSAGES:
        page, more = await log.history(conversation_id, "", before_seq=before_seq, limit=TRANSCRIPT_MESSAGES)
        if not page:
            break
        before_seq = page[0]["seq"]
        messages = [each for each in page if "superseded_by" not in each] + messages
    messages = await _with_late_answers(conversation_id, messages[-TRANSCRIPT_MESSAGES:])
    authors = {message["author"] for message in messages if message["role"] == "user"}
    names = await people.names(authors) if len(authors) > 1 else {}
    # A fork's messages have no turns, but what was answered was a question.
    answered = {asked["message_id"] for asked, answer in pairwise(messages) if answer["role"] == "assistant"}
    answered |= {each["answers"] for each in messages if "answers" in each}
    return [
        {
            "message_id": message["message_id"],
            "role": message["role"],
            "content": message["content"],
            "name": names.get(message["author"], people.GONE) if names and message["role"] == "user" else "",
            "addressed": "turn_id" in message or (asks(message) and message["message_id"] in answered),
        }
        for message in messages
    ]


async def _with_late_answers(conversation_id: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with those answers to them, among the newest, that stand behind a later question."""
    waits = {each["turn_id"] for each in messages if each.get("turn_id") and each["role"] == "user"}
    waits -= {each.get("turn_id") for each in messages if each["role"] == "assistant"}
    if not waits:
        return messages
    page, _ = await log.history(conversation_id, "", before_seq=0, limit=TRANSCRIPT_MESSAGES)
    late = {
        each["turn_id"]: each
        for each in page
        if each["role"] == "assistant" and each.get("turn_id") in waits and "superseded_by" not in each
    }
    told = []
    for each in messages:
        told.append(each)
        if each["role"] == "user" and each.get("turn_id") in late:
            told.append(late[each["turn_id"]])
    return told
