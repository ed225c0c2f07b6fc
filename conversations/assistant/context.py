"""What the graph keeps about a conversation beside its newest messages: pure functions over messages.

Everything here is plain and cheap: no model is asked, so a turn never waits or fails for it.
"""

import re
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

WINDOW_MESSAGES = 20
# However long single messages are, the window stays below this.
WINDOW_CHARACTERS = 200_000
SUMMARY_BYTES = 1024
DIGEST_CHARACTERS = 80
# Of each message, where a model is told what was said.
TOLD_CHARACTERS = 2_000
TOPIC_WORDS = 3
TOPIC_CHARACTERS = 60
CANCELLED = "cancelled"

SCRIPTS = [
    ("ja", re.compile(r"[぀-ヿ]")),
    ("ko", re.compile(r"[가-힯]")),
    ("zh", re.compile(r"[一-鿿]")),
    ("ru", re.compile(r"[Ѐ-ӿ]")),
    ("ar", re.compile(r"[؀-ۿ]")),
]
TONES = [
    ("urgent", re.compile(r"\b(asap|urgent(ly)?|immediately|right now)\b|!!|紧急|尽快|马上", re.IGNORECASE)),
    ("polite", re.compile(r"\b(please|thanks|thank you|kindly)\b|请|谢谢", re.IGNORECASE)),
]
QUESTION = re.compile(r"[?？]|^(who|what|when|where|why|how|which|can|could|is|are|do|does)\b|吗|什么|怎么", re.I)
GREETING = re.compile(r"^(hi|hello|hey|good (morning|evening))\b|^(你好|您好)", re.IGNORECASE)


def answer_open_calls(messages: list[BaseMessage]) -> list[BaseMessage]:
    """Return the messages with every tool call answered, an open one by 'cancelled', right after its call.

    Providers refuse a conversation in which a call has no answer.
    """
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    closed: list[BaseMessage] = []
    for message in messages:
        closed.append(message)
        calls = message.tool_calls if isinstance(message, AIMessage) else []
        for call in calls:
            if call["id"] not in answered:
                closed.append(cancelled_call(call["id"] or ""))
    return closed


def cancelled_call(call_id: str) -> ToolMessage:
    return ToolMessage(CANCELLED, tool_call_id=call_id, id=f"{call_id}-cancelled")


def split_window(messages: list[BaseMessage], characters: int = WINDOW_CHARACTERS) -> int:
    """Return the index at which the window begins: at a person's message, unless the last turn alone is too big."""
    start, total = len(messages), 0
    while start > 0 and len(messages) - start < WINDOW_MESSAGES:
        total += len(messages[start - 1].text)
        if total > characters and start < len(messages):
            break
        start -= 1
    for index in range(start, len(messages)):
        if isinstance(messages[index], HumanMessage):
            return index
    return start


def count_rounds(messages: list[BaseMessage]) -> int:
    """Return how often the model has called tools since the newest message of a person."""
    count = 0
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            break
        count += isinstance(message, AIMessage) and bool(message.tool_calls)
    return count


def count_before(messages: list[BaseMessage]) -> dict[str, int]:
    """Return the counts of a state that begins, or was rebuilt: what it holds, without the message that asks now."""
    people = sum(isinstance(message, HumanMessage) for message in messages) - 1
    answers = sum(isinstance(message, AIMessage) and not message.tool_calls for message in messages)
    return {"user": people, "assistant": answers}


def digest(summary: str, leaving: list[BaseMessage]) -> str:
    """Return the summary with a line for each message that leaves the window; the newest lines that fit 1 KiB."""
    lines = summary.splitlines() + _lines(leaving, DIGEST_CHARACTERS)
    kept: list[str] = []
    room = SUMMARY_BYTES
    for line in reversed(lines):
        room -= len(line.encode("utf-8", "replace")) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join(reversed(kept))


def as_text(messages: list[BaseMessage], before: str = "") -> HumanMessage:
    """Return what was said as one text, so that a model reads it and does not answer it."""
    return HumanMessage(before + "\n".join(_lines(messages, TOLD_CHARACTERS)))


def _lines(messages: list[BaseMessage], characters: int) -> list[str]:
    """Return a line for each message of a person or the assistant: who said it, and its beginning."""
    lines = []
    for message in messages:
        text = " ".join(message.text.split())[:characters]
        if text and isinstance(message, HumanMessage | AIMessage):
            author = (message.name or "User") if isinstance(message, HumanMessage) else "Assistant"
            lines.append(f"{author}: {text}")
    return lines


def describe(text: str, before: dict[str, Any]) -> dict[str, Any]:
    """Return language, tone and intent of the newest message, and the topic, which the first one gives."""
    words = " ".join(text.split())
    return {
        "language": next((name for name, letters in SCRIPTS if letters.search(text)), "en"),
        "tone": next((name for name, signs in TONES if signs.search(text)), "neutral"),
        "intent": _intent(words),
        "topic": before.get("topic") or _topic(words),
    }


def _intent(words: str) -> str:
    if words.startswith("/"):
        return "command"
    if QUESTION.search(words):
        return "question"
    return "greeting" if GREETING.search(words) else "statement"


def _topic(words: str) -> str:
    """The longest words in their own order; text without spaces gives its beginning."""
    found = re.findall(r"\w{4,20}", words)
    longest = sorted(found, key=len, reverse=True)[:TOPIC_WORDS]
    return " ".join(word for word in found if word in longest)[:TOPIC_CHARACTERS] or words[:20]
