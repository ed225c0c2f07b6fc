"""What one device knows of one conversation, and every breach of the protocol that it saw. No I/O.

Frames go in as parsed objects with their raw text; a breach is recorded, never raised, and the mirror goes on
from what came, so that one fault is counted once.
"""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

from .ledger import Seen

Frame = dict[str, Any]
CLOSED, OPENING, OPEN = "closed", "opening", "open"


class Cursor(NamedTuple):
    epoch: int
    seq: int
    chain: str

    @classmethod
    def of(cls, frame: Frame) -> "Cursor":
        return cls(frame["epoch"], frame["seq"], frame["chain"])

    def as_json(self) -> Frame:
        return self._asdict()


@dataclass(frozen=True, slots=True)
class Entry:
    """One `event` frame; ``raw`` is its text exactly as it came."""

    cursor: Cursor
    event: str
    data: Frame
    raw: str

    @property
    def seen(self) -> Seen:
        return (*self.cursor, blake2b(self.raw.encode(), digest_size=8).hexdigest())


@dataclass(slots=True)
class TurnView:
    """An answer as this device watches it being written."""

    attempt: int = 0
    started: int = 0
    n: int = 0
    text: str = ""
    longest: str = ""  # what an attempt before this one had shown, the longest
    pieces: int = 0  # deltas applied, over all attempts
    nodes: list[str] = field(default_factory=list)
    interrupts: list[Frame] = field(default_factory=list)
    finals: list[Frame] = field(default_factory=list)
    status: str = ""  # empty until finished
    error: str = ""  # why it failed, for people

    def begin(self, attempt: int, n: int = 0, text: str = "") -> None:
        self.longest = max(self.longest, self.text, key=len)
        self.attempt, self.n, self.text = attempt, n, text


class Mirror:
    def __init__(self, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self.state = CLOSED
        self.reopening = False
        self.cursor: Cursor | None = None
        self.entries: list[Entry] = []
        self.turns: dict[str, TurnView] = {}
        self.snapshots: list[Frame] = []
        self.openings = 0
        self.breaches: list[str] = []
        self.counts: Counter[str] = Counter()
        self._chains: dict[tuple[int, int], str] = {}
        self._authored: dict[tuple[str, str], int] = {}

    def breach(self, kind: str, detail: str) -> None:
        self.counts[kind] += 1
        self.breaches.append(f"{kind}: {detail} in {self.conversation_id}")

    def turn(self, turn_id: str) -> TurnView:
        return self.turns.setdefault(turn_id, TurnView())

    def messages(self) -> list[Frame]:
        return [entry.data for entry in self.entries if entry.event == "message"]

    def asked(self) -> None:
        """`open` was sent, by itself or in `auth`. Where it is open already, frames go on meanwhile, and what
        was on its way then may come once more in the replay."""
        self.reopening = self.state == OPEN
        self.state = OPEN if self.reopening else OPENING

    def event(self, frame: Frame, raw: str) -> None:
        """Take an entry of the log; it must be the one after the cursor."""
        cursor = Cursor.of(frame)
        if self.state == CLOSED:
            self.breach("uninvited", f"event {cursor.seq}, not open on this socket")
        if not self._extends(cursor):
            return
        self.cursor = cursor
        self._chains[cursor[:2]] = cursor.chain
        entry = Entry(cursor, frame["event"], frame["data"], raw)
        self.entries.append(entry)
        self.counts["delivered"] += 1
        self._understand(entry)

    def _extends(self, cursor: Cursor) -> bool:
        """Compare with what came before; return whether the entry is new to this device."""
        if cursor[:2] in self._chains:
            if not self.reopening:
                self.breach("repeated", f"entry {cursor.seq}")
            if self._chains[cursor[:2]] != cursor.chain:
                self.breach("chain", f"entry {cursor.seq} came again with another chain")
            return False
        if self.cursor is None:
            if cursor.seq != 1:
                self.breach("gap", f"the first entry is {cursor.seq}")
            return True
        if cursor.epoch != self.cursor.epoch:
            self.breach("epoch", f"entry {cursor.seq} is of epoch {cursor.epoch}, without a snapshot")
        elif cursor.seq <= self.cursor.seq:
            self.breach("reordered", f"entry {cursor.seq} after {self.cursor.seq}")
        elif cursor.seq != self.cursor.seq + 1:
            self.breach("gap", f"entry {cursor.seq} after {self.cursor.seq}")
        return cursor.seq > self.cursor.seq or cursor.epoch != self.cursor.epoch

    def _understand(self, entry: Entry) -> None:
        data = entry.data
        if entry.event == "message":
            self._message(entry)
        elif entry.event == "turn.started":
            turn = self.turn(data["turn_id"])
            if data["attempt"] <= turn.started:
                self.breach("attempt", f"{data['attempt']} started after {turn.started}")
            turn.started = data["attempt"]
            turn.nodes.append(data["node"])
            if data["attempt"] > turn.attempt:
                turn.begin(data["attempt"])
        elif entry.event == "turn.waiting":
            self.turn(data["turn_id"]).interrupts = data["interrupts"]
        elif entry.event == "turn.finished":
            self._finished(self.turn(data["turn_id"]), data)

    def _message(self, entry: Entry) -> None:
        data = entry.data
        if data.get("client_id"):
            first = self._authored.setdefault((str(data["author"]), data["client_id"]), entry.cursor.seq)
            if first != entry.cursor.seq:
                self.breach("repeated", f"client_id of entry {first} again in {entry.cursor.seq}")
        if data["role"] == "assistant" and data.get("turn_id"):
            turn = self.turn(data["turn_id"])
            turn.finals.append(data)
            if len(turn.finals) > 1:
                self.breach("second_final", f"entry {entry.cursor.seq}")

    def _finished(self, turn: TurnView, data: Frame) -> None:
        if turn.status:
            self.breach("second_final", f"turn {data['turn_id']} finished twice")
        turn.status, turn.error = data["status"], data.get("error") or ""
        if turn.status == "cancelled":
            kept = "".join(final["content"] for final in turn.finals)
            if len(kept) < len(max(turn.longest, turn.text, key=len)):
                self.breach("torn", f"of turn {data['turn_id']} were shown and not kept when it was cancelled")
        if turn.status != "done":
            return
        if [final["message_id"] for final in turn.finals] != [data.get("message_id")]:
            self.breach("no_final", f"turn {data['turn_id']} is done without its message")
        elif not turn.finals[0]["content"].startswith(turn.text):
            self.breach("torn", f"of turn {data['turn_id']} are not how its message begins")

    def delta(self, frame: Frame) -> bool:
        """Take a piece; return whether pieces are missing before it, so that the client must open again."""
        if self.state != OPEN:
            self.breach("early_delta", f"piece {frame['n']} before opened")
            return False
        turn = self.turn(frame["turn_id"])
        if turn.status:
            self.breach("late_delta", f"piece {frame['n']} after turn.finished")
            return False
        if frame["attempt"] < turn.attempt:
            self.breach("attempt", f"piece of {frame['attempt']} after {turn.attempt}")
            return False
        if frame["attempt"] > turn.attempt:
            turn.begin(frame["attempt"])
        if frame["n"] <= turn.n:
            self.counts["stale_pieces"] += 1
            return False
        if frame["n"] > turn.n + 1:
            self.counts["piece_gaps"] += 1
            return not self.reopening
        turn.n, turn.text, turn.pieces = frame["n"], turn.text + frame["text"], turn.pieces + 1
        self.counts["pieces"] += 1
        return False

    def snapshot(self, frame: Frame) -> None:
        """Start afresh at the snapshot's head. The entries seen before stay, for the comparison."""
        if self.state == CLOSED:
            self.breach("uninvited", "snapshot, not open on this socket")
        self.snapshots.append(frame)
        self.cursor = Cursor.of(frame["head"])

    def opened(self, frame: Frame) -> None:
        """Live from here; compare the head and the answers being written with what is known."""
        head = Cursor.of(frame["head"])
        if head != (self.cursor or head._replace(seq=0)):
            self.breach("opened", f"at {head.seq} with the cursor at {self.cursor}")
        self.cursor = head
        self.state, self.reopening = OPEN, False
        self.openings += 1
        for told in frame["turns"]:
            self._resumed(self.turn(told["turn_id"]), told)

    def _resumed(self, turn: TurnView, told: Frame) -> None:
        if turn.status:
            self.breach("late_delta", f"turn {told['turn_id']} in flight after turn.finished")
        if told["attempt"] < turn.attempt:
            self.breach("attempt", f"{told['attempt']} in opened after {turn.attempt}")
        elif told["attempt"] == turn.attempt and not told["text"].startswith(turn.text):
            self.breach("torn", f"of turn {told['turn_id']} were withdrawn or changed")
        turn.begin(told["attempt"], told["n"], told["text"])
        turn.interrupts = told["interrupts"]

    def lost_socket(self) -> None:
        self.state, self.reopening = CLOSED, False
