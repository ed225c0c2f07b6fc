"""What one socket has seen and may be sent: sans-I/O, so that every race is a test of plain calls.

Facts come in (announcements, pages of the log, confirmations), frames and reads come out. A conversation is in one
of these states:

    state    entered when                             announcements are            left when
    reading  opened; a gap or doubt; window free      kept aside (bounded)         a last page or snapshot came
    live     `opened` was sent                        sent if they extend the      a gap, doubt, or a full window
                                                      cursor by exactly one
    stalled  the client has not confirmed enough      dropped                      it has confirmed half the window
    gone     it was refused after it was open         dropped                      it was restored

The feed goes through the same states. Whatever is uncertain is read again from the log; nothing is guessed.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import orjson

from conversations.events import Entry, Position, event_frame, feed_frame
from conversations.feed import FeedPage
from conversations.log import Cursor, Head, Page, Snapshot, TurnView

KEPT_ASIDE = 256
FINISHED_KEPT = 8
FEED = ""  # the feed's place among the conversations

State = Literal["reading", "live", "stalled", "gone"]


class Read(NamedTuple):
    """A wish: read this conversation (or the feed) from here, at most so many bytes."""

    conversation_id: str
    cursor: Cursor | None
    most_bytes: int
    opening: int = 0  # of which opening; what an older one reads is of no use


@dataclass(slots=True)
class Opened:
    """One open conversation of a socket, or its feed."""

    cursor: Cursor | None
    opening: int = 0
    state: State = "reading"
    asked: bool = False  # a read is under way
    again: bool = False  # something came meanwhile that the read may not show
    aside: list[tuple[Any, ...]] = field(default_factory=list)
    turns: dict[str, tuple[int, int]] = field(default_factory=dict)  # turn -> attempt, pieces sent
    finished: deque[str] = field(default_factory=lambda: deque(maxlen=FINISHED_KEPT))
    polled: Head | None = None
    answered: bool = False  # the client's `open` has had its answer


class Session:
    """The socket's conversations, its feed, and the window of what the client has not confirmed.

    ``out`` are frames to send, in order; ``reads`` are wishes for the log. The caller empties both.
    """

    def __init__(self, window_bytes: int) -> None:
        self.out: list[bytes] = []
        self.reads: deque[Read] = deque()
        self._window_bytes = window_bytes
        self._open: dict[str, Opened] = {}
        self._queued_bytes = 0
        self._sent: deque[int] = deque()
        self._sent_bytes = 0
        self._confirmed = 0
        self._openings = 0
        self._feed_polled: Position | None = None

    # -- the window

    @property
    def unconfirmed_bytes(self) -> int:
        return self._sent_bytes + self._queued_bytes

    @property
    def is_full(self) -> bool:
        return self.unconfirmed_bytes >= self._window_bytes

    @property
    def is_stalled(self) -> bool:
        return self.is_full or "stalled" in [each.state for each in self._open.values()]

    def push(self, frame: bytes) -> None:
        """Queue a frame. Answers to what the client asked come through here whatever the window says."""
        self.out.append(frame)
        self._queued_bytes += len(frame)

    def sent(self, size_bytes: int) -> None:
        """One WebSocket frame went out."""
        self._sent.append(size_bytes)
        self._sent_bytes += size_bytes
        self._queued_bytes = max(0, self._queued_bytes - size_bytes)

    def emptied(self) -> None:
        self._queued_bytes = 0

    def confirm(self, frames: int) -> bool:
        """The client has received so many WebSocket frames. Returns whether that is more than before."""
        fresh = min(frames - self._confirmed, len(self._sent))
        for _ in range(max(0, fresh)):
            self._sent_bytes -= self._sent.popleft()
            self._confirmed += 1
        if fresh > 0 and self.unconfirmed_bytes <= self._window_bytes // 2:
            for conversation_id, opened in self._open.items():
                if opened.state == "stalled":
                    self._ask(conversation_id, opened)
        return fresh > 0

    # -- opening and closing

    @property
    def conversations(self) -> list[str]:
        return [each for each in self._open if each != FEED]

    def open(self, conversation_id: str, cursor: Cursor | None) -> None:
        """Open, or open again from this cursor; the read answers."""
        self._openings += 1
        opened = self._open[conversation_id] = Opened(cursor, self._openings)
        self.reads = deque([read for read in self.reads if read.conversation_id != conversation_id])
        self._ask(conversation_id, opened)

    def open_feed(self, cursor: Position | None, head: Position) -> None:
        """Follow the feed from the client's cursor, or from the head that `ready` told."""
        start = cursor or head
        opened = self._open[FEED] = Opened(Cursor(*start))
        if cursor is None or cursor == head:
            opened.state = "live"
        else:
            self._ask(FEED, opened)

    def close(self, conversation_id: str) -> None:
        self._open.pop(conversation_id, None)

    def _ask(self, conversation_id: str, opened: Opened) -> None:
        if opened.asked:
            opened.again = True
            return
        if self.is_full:
            opened.state = "stalled"
            return
        opened.state = "reading"
        opened.asked = True
        opened.again = False
        room = min(self._window_bytes - self.unconfirmed_bytes, self._window_bytes // 2)
        self.reads.append(Read(conversation_id, opened.cursor, max(1, room), opened.opening))

    # -- announcements

    def entries(self, conversation_id: str, epoch: int, items: list[list[Any]]) -> None:
        """Announced entries: [seq, chain, kind, turn_id, attempt, frame] each."""
        opened = self._open.get(conversation_id)
        if opened is None or self._sent_as_next(opened, epoch, items):
            return
        for item in items:
            self._live(conversation_id, opened, (self._entry, epoch, *item))

    def _sent_as_next(self, opened: Opened, epoch: int, items: list[list[Any]]) -> bool:
        """The usual case, quickly: messages that come next and have room. Any other is left alone: False."""
        cursor = opened.cursor
        if opened.state != "live" or cursor is None or epoch != cursor.epoch:
            return False
        last = cursor.seq
        fresh: list[bytes] = []
        for seq, _, kind, _, _, frame in items:
            if seq != last + 1 or kind != "message":
                return False
            last = seq
            fresh.append(frame)
        size = sum(map(len, fresh))
        if self.unconfirmed_bytes + size > self._window_bytes:
            return False
        self.out += fresh
        self._queued_bytes += size
        opened.cursor = Cursor(epoch, last, items[-1][1])
        return True

    def piece(self, conversation_id: str, turn_id: str, attempt: int, n: int, frame: bytes) -> None:
        opened = self._open.get(conversation_id)
        if opened is not None:
            self._live(conversation_id, opened, (self._piece, turn_id, attempt, n, frame))

    def hint(self, conversation_id: str, frame: bytes) -> None:
        """A frame that nobody needs: sent to whoever is live and has room."""
        opened = self._open.get(conversation_id)
        if opened is not None and opened.state == "live" and not self.is_full:
            self.push(frame)

    def feed_entry(self, epoch: int, seq: int, chain: str, frame: bytes) -> None:
        opened = self._open.get(FEED)
        if opened is not None:
            self._live(FEED, opened, (self._entry, epoch, seq, chain, "", "", 0, frame))

    def _live(self, conversation_id: str, opened: Opened, fact: tuple[Any, ...]) -> None:
        if opened.state == "reading":
            if len(opened.aside) < KEPT_ASIDE:
                opened.aside.append(fact)
            else:
                opened.again = True
        elif opened.state == "live":
            if self.is_full:
                opened.state = "stalled"
            else:
                fact[0](conversation_id, opened, *fact[1:])

    def _entry(
        self,
        conversation_id: str,
        opened: Opened,
        epoch: int,
        seq: int,
        chain: str,
        kind: str,
        turn_id: str,
        attempt: int,
        frame: bytes,
    ) -> None:
        cursor = opened.cursor
        assert cursor is not None
        if epoch == cursor.epoch and seq <= cursor.seq:
            return
        if epoch != cursor.epoch or seq != cursor.seq + 1:
            self._ask(conversation_id, opened)
            return
        self.push(frame)
        opened.cursor = Cursor(epoch, seq, chain)
        if kind == "turn.started":
            opened.turns[turn_id] = (attempt, 0)
        elif kind == "turn.finished":
            opened.turns.pop(turn_id, None)
            opened.finished.append(turn_id)

    def _piece(self, conversation_id: str, opened: Opened, turn_id: str, attempt: int, n: int, frame: bytes) -> None:
        if turn_id in opened.finished:
            return
        known_attempt, known_n = opened.turns.get(turn_id, (0, 0))
        if attempt < known_attempt or (attempt == known_attempt and n <= known_n):
            return
        if attempt != known_attempt or n != known_n + 1:
            self._ask(conversation_id, opened)
            return
        self.push(frame)
        opened.turns[turn_id] = (attempt, n)

    # -- what the log says

    def _reading(self, read: Read) -> Opened | None:
        """Return what the read was for, unless it was closed or opened anew since."""
        opened = self._open.get(read.conversation_id)
        if opened is None or opened.opening != read.opening:
            return None
        opened.asked = False
        return opened

    def read_failed(self, read: Read, frame: bytes, *, gone: bool) -> None:
        """The read was refused (`gone`) or must be tried later; the frame answers the client's `open`."""
        opened = self._reading(read)
        if opened is None:
            return
        if gone and opened.answered:
            opened.state = "gone"
        elif gone:
            self.close(read.conversation_id)
            self.push(frame)
        else:
            opened.state = "stalled"

    def page(self, read: Read, found: Page | Snapshot) -> None:
        """A page of the log, or a snapshot: send it, and go on reading, or go live with `opened`."""
        conversation_id, opened = read.conversation_id, self._reading(read)
        if opened is None:
            return
        if isinstance(found, Snapshot):
            self.push(snapshot_frame(conversation_id, found))
            opened.cursor = Cursor(*found.head)
        else:
            self._replay(conversation_id, opened, found.head.epoch, found.entries)
        if found.turns is not None:
            self._go_live(conversation_id, opened, found.head, found.turns)
        else:
            self._ask(conversation_id, opened)

    def _replay(self, conversation_id: str, opened: Opened, epoch: int, entries: list[Entry]) -> None:
        for entry in entries:
            self.push(event_frame(conversation_id, epoch, entry.seq, entry.chain, entry.body))
        if entries:
            opened.cursor = Cursor(epoch, entries[-1].seq, entries[-1].chain)

    def _go_live(self, conversation_id: str, opened: Opened, head: Position, turns: list[TurnView]) -> None:
        opened.cursor = Cursor(*head)
        opened.turns = {turn.turn_id: (turn.attempt, turn.n) for turn in turns}
        opened.state = "live"
        opened.answered = True
        self.push(opened_frame(conversation_id, head, turns))
        self._take_aside(conversation_id, opened)

    def _take_aside(self, conversation_id: str, opened: Opened) -> None:
        aside, opened.aside = opened.aside, []
        for fact in aside:
            self._live(conversation_id, opened, fact)
        if opened.again and opened.state == "live":
            self._ask(conversation_id, opened)

    def feed_page(self, read: Read, found: FeedPage) -> None:
        opened = self._reading(read)
        if opened is None:
            return
        if found.entries is None:
            self.push(orjson.dumps({"type": "feed_reset", "head": found.head.wire()}))
            opened.cursor = Cursor(*found.head)
        else:
            for entry in found.entries:
                self.push(feed_frame(found.head.epoch, entry.seq, entry.chain, entry.body))
            if found.entries:
                last = found.entries[-1]
                opened.cursor = Cursor(found.head.epoch, last.seq, last.chain)
        assert opened.cursor is not None
        if opened.cursor.seq < found.head.seq:
            self._ask(FEED, opened)
            return
        opened.state = "live"
        self._take_aside(FEED, opened)

    # -- doubt

    def doubt(self) -> None:
        """Something may have been lost on the way: read everything that is open again."""
        for conversation_id, opened in self._open.items():
            if opened.state == "live":
                self._ask(conversation_id, opened)

    def recheck(self, conversation_id: str) -> None:
        """This user may not be in it any more: send nothing of it until the log has been asked.

        Opened anew, so that what was read before is of no use, and a refusal ends it with an `error`.
        """
        opened = self._open.get(conversation_id)
        if opened is not None:
            self.open(conversation_id, opened.cursor)

    def head(self, conversation_id: str, head: Head | None) -> None:
        """The log is here now; read it if the session is behind and nothing announced has closed the gap."""
        opened = self._open.get(conversation_id)
        if opened is None or opened.cursor is None:
            return
        if opened.state == "gone" and head is not None and head.active:
            self.open(conversation_id, opened.cursor)  # it was restored, or it is gone for this user alone
        elif opened.state == "stalled":
            self._ask(conversation_id, opened)  # a read that failed, or room again
        elif opened.state == "live" and (head is None or not head.active or self._is_behind(opened, head)):
            self._ask(conversation_id, opened)

    def feed_head(self, head: Position) -> None:
        """The feed is here now; what was there at the poll before must have been sent."""
        opened = self._open.get(FEED)
        if opened is None or opened.cursor is None:
            return
        before, self._feed_polled = self._feed_polled, head
        moved = head.epoch != opened.cursor.epoch or (before is not None and before.seq > opened.cursor.seq)
        if opened.state == "stalled" or (opened.state == "live" and moved):
            self._ask(FEED, opened)

    def _is_behind(self, opened: Opened, head: Head) -> bool:
        """Whether what was there at the poll before is not sent yet; what is younger may be on its way."""
        assert opened.cursor is not None
        before, opened.polled = opened.polled, head
        if head.position.epoch != opened.cursor.epoch:
            return True
        if before is None:
            return False
        if before.position.seq > opened.cursor.seq:
            return True
        if before.turn is None or head.turn is None or before.turn[:2] != head.turn[:2]:
            return False
        turn_id, attempt, n = before.turn
        return (attempt, n) > opened.turns.get(turn_id, (0, 0))

    def claims(self, conversation_id: str, cursor: Cursor, *, settled: bool) -> None:
        """A heartbeat says what the client has: if that is not what was sent, read from there.

        ``settled``: whatever was sent has arrived, so that its cursor is not merely late.
        """
        opened = self._open.get(conversation_id)
        if opened and settled and opened.state == "live" and cursor != opened.cursor:
            opened.cursor = cursor
            self._ask(conversation_id, opened)

    def has_arrived(self, frames: int | None = None) -> bool:
        """Whether the client has confirmed every frame; with ``frames``, whether it already had when it said so.

        A heartbeat may have waited behind slow work: what was sent and confirmed since then, its cursors lack.
        """
        if frames is not None and frames < self._confirmed + len(self._sent):
            return False
        return not self._sent and not self.out

    def cursors(self) -> dict[str, dict[str, Any]]:
        """Where each open conversation is, for the `heartbeat` answer."""
        return {
            conversation_id: opened.cursor._asdict()
            for conversation_id, opened in self._open.items()
            if conversation_id != FEED and opened.cursor is not None
        }

    def feed_cursor(self) -> dict[str, Any] | None:
        opened = self._open.get(FEED)
        return opened.cursor._asdict() if opened and opened.cursor else None


def opened_frame(conversation_id: str, head: Position, turns: list[TurnView]) -> bytes:
    return orjson.dumps(
        {
            "type": "opened",
            "conversation_id": conversation_id,
            "head": head.wire(),
            "turns": [turn.wire() for turn in turns],
        }
    )


def snapshot_frame(conversation_id: str, found: Snapshot) -> bytes:
    names = found.names
    return orjson.dumps(
        {
            "type": "snapshot",
            "conversation_id": conversation_id,
            "head": found.head.wire(),
            "title": found.title,
            "topic": found.topic,
            "members": [
                {"user_id": user_id, "role": role} | ({"username": names[user_id]} if user_id in names else {})
                for user_id, role in found.members.items()
            ],
            "messages": found.messages,
            "entries": found.entries,
            "more": found.more,
            "reason": found.reason,
        }
    )
