"""Texts and commands until they are answered: sent again after each reconnection, once in effect."""

import asyncio
from collections import Counter
from dataclasses import dataclass

from .link import Link
from .wire import Frame

UNANSWERED = 32  # the server closes past 64
PAUSE_SECONDS = 0.2  # before asking again, where the server names no time


class Answered(Exception):
    """The server refused: ``code``, and the whole frame."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(f"{frame['code']}: {frame['message']}")
        self.code: str = frame["code"]
        self.frame = frame


class Stopped(Exception):
    """The client is closed for good: by `stop`, or by a final close code."""


@dataclass(slots=True)
class Asked:
    """``sent`` once it has left on any socket: from then on it may have had its effect."""

    frame: Frame
    answer: asyncio.Future[Frame]
    sent: bool = False


class Asks:
    def __init__(self, link: Link) -> None:
        self.link = link
        self.counts: Counter[str] = Counter()
        self.breaches: list[str] = []
        # By conversation: client_id -> seq, as acked.
        self.acks: dict[str, dict[str, int]] = {}
        self._asked: dict[str, Asked] = {}
        self._slots = asyncio.Semaphore(UNANSWERED)

    async def ask(self, key: str, frame: Frame) -> Frame:
        """Send until it is answered; return the answer. Raises Answered, Stopped."""
        async with self._slots:
            if self.link.stopping:
                raise Stopped(f"closed with {self.link.closes}")
            asked = Asked(frame, asyncio.get_running_loop().create_future())
            self._asked[key] = asked
            try:
                self._send(key)
                return await asked.answer
            finally:
                self._asked.pop(key, None)

    def send_all(self) -> None:
        for key in list(self._asked):
            self._send(key)

    def give_up(self) -> None:
        for asked in self._asked.values():
            if not asked.answer.done():
                asked.answer.set_exception(Stopped(f"closed with {self.link.closes}"))

    def _send(self, key: str) -> None:
        """Send it, marked as a repeat from the second time on; without a connection, once there is one."""
        asked = self._asked.get(key)
        if asked is None or asked.answer.done() or not self.link.connected:
            return
        self.counts["resent"] += asked.sent
        again = {"retry": True} if asked.sent and asked.frame["type"] == "text" else {}
        asked.sent = True
        self.link.send({**asked.frame, **again})

    def acked(self, frame: Frame) -> None:
        acks = self.acks.setdefault(frame["conversation_id"], {})
        if acks.setdefault(frame["client_id"], frame["seq"]) != frame["seq"]:
            self.breaches.append(f"ack: of one client_id at {acks[frame['client_id']]} and {frame['seq']}")
        self.counts["duplicates"] += bool(frame["duplicate"])
        self.answered(frame["client_id"], frame)

    def answered(self, key: str, frame: Frame) -> None:
        asked = self._asked.get(key)
        if asked is not None and not asked.answer.done():
            self.counts["acked"] += frame["type"] == "ack"
            asked.answer.set_result(frame)

    def refused(self, frame: Frame) -> None:
        """Pass the refusal on; what is retryable is sent again after its `retry_after` instead."""
        key = frame.get("client_id") or frame.get("id") or ""
        asked = self._asked.get(key)
        if asked is None or asked.answer.done():
            self.counts["errors"] += 1
        elif frame["retryable"]:
            self.counts["put_off"] += 1
            wait_seconds = frame.get("retry_after") or PAUSE_SECONDS
            asyncio.get_running_loop().call_later(wait_seconds, self._send, key)
        else:
            asked.answer.set_exception(Answered(frame))
