"""Whatever the layer does to announcements, what a session sends is the log: gapless, in order, nothing twice."""

from typing import Any
from uuid import UUID

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from conversations.events import NO_CHAIN, Entry, Position, chain_after, event_frame
from conversations.log import Cursor, Head, Page, TurnView
from realtime.session import Session

CONVERSATION = str(UUID(int=1))
START = Cursor(None, 0, "")
WINDOW_BYTES = 3_000
Fact = tuple[str, tuple[Any, ...]]


class Log:
    """The truth: entries, and the one turn in flight as [turn_id, attempt, pieces]."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.turn: list[Any] | None = None
        self.ended = 0

    @property
    def head(self) -> Position:
        return Position(1, len(self.entries), self.entries[-1].chain if self.entries else NO_CHAIN)

    def append(self, kind: str = "message") -> Fact:
        """Add an entry; return its announcement. A turn starts again under a higher attempt."""
        if kind == "turn.started":
            self.turn = [f"t{self.ended}", self.turn[1] + 1 if self.turn else 1, 0]
        turn_id, attempt = self.turn[:2] if self.turn and kind != "message" else ("", 0)
        body = orjson.dumps({"event": kind, "data": {"turn_id": turn_id, "attempt": attempt}})
        entry = Entry(len(self.entries) + 1, chain_after(self.head.chain, body), kind, body)
        self.entries.append(entry)
        if kind == "turn.finished":
            self.turn, self.ended = None, self.ended + 1
        frame = event_frame(CONVERSATION, 1, entry.seq, entry.chain, body)
        return "entries", (CONVERSATION, 1, [[entry.seq, entry.chain, kind, turn_id, attempt, frame]])

    def write_piece(self) -> Fact:
        assert self.turn is not None
        self.turn[2] += 1
        turn_id, attempt, n = self.turn
        frame = {"type": "delta", "conversation_id": CONVERSATION, "turn_id": turn_id, "attempt": attempt, "n": n}
        return "piece", (CONVERSATION, turn_id, attempt, n, orjson.dumps(frame))

    def read(self, cursor: Cursor | None, most_bytes: int) -> Page:
        assert cursor is not None
        found = self.entries[cursor.seq :][: max(1, most_bytes // 200)]
        is_last = cursor.seq + len(found) == len(self.entries)
        return Page(self.head, found, self._views() if is_last else None)

    def _views(self) -> list[TurnView]:
        if self.turn is None:
            return []
        turn_id, attempt, n = self.turn
        return [TurnView(turn_id, attempt, "running", n, "x" * n, [])]


class Client:
    """Holds every frame to the protocol."""

    def __init__(self) -> None:
        self.seq, self.chain, self.frames = 0, NO_CHAIN, 0
        self.turns: dict[str, tuple[int, int]] = {}
        self.finished: set[str] = set()
        self.is_open = False

    def take(self, frame: dict[str, Any]) -> None:
        getattr(self, frame["type"])(frame)

    def event(self, frame: dict[str, Any]) -> None:
        assert frame["seq"] == self.seq + 1
        self.seq, self.chain = frame["seq"], frame["chain"]
        turn_id = frame["data"]["turn_id"]
        if frame["event"] == "turn.started":
            self.turns[turn_id] = (frame["data"]["attempt"], 0)
        elif frame["event"] == "turn.finished":
            self.turns.pop(turn_id, None)
            self.finished.add(turn_id)

    def opened(self, frame: dict[str, Any]) -> None:
        assert (frame["head"]["seq"], frame["head"]["chain"]) == (self.seq, self.chain)
        self.is_open = True
        self.turns = {turn["turn_id"]: (turn["attempt"], turn["n"]) for turn in frame["turns"]}

    def delta(self, frame: dict[str, Any]) -> None:
        assert self.is_open
        assert frame["turn_id"] not in self.finished
        attempt, n = self.turns[frame["turn_id"]]
        assert (frame["attempt"], frame["n"]) == (attempt, n + 1)
        self.turns[frame["turn_id"]] = (attempt, n + 1)


class World:
    """A log, a session on it and its client, with everything under way between them in our hands."""

    def __init__(self, window_bytes: int = WINDOW_BYTES) -> None:
        self.log, self.client, self.session = Log(), Client(), Session(window_bytes)
        self.announced: list[Fact] = []
        self.pages: list[tuple[Any, Page]] = []
        self.session.open(CONVERSATION, START)

    def act(self, action: str, number: int) -> None:
        getattr(self, action)(number)

    def say(self, _: int) -> None:
        self.announced.append(self.log.append())

    def answer(self, number: int) -> None:
        """Let the turn go on by a piece, or begin, begin again or end."""
        if self.log.turn is None or number == 0:
            self.announced.append(self.log.append("turn.started"))
        elif number == 1:
            self.announced.append(self.log.append("turn.finished"))
        else:
            self.announced.append(self.log.write_piece())

    def announce(self, number: int) -> None:
        """Deliver any announcement, once or (odd numbers) not for the last time."""
        if self.announced:
            index = number // 2 % len(self.announced)
            name, facts = self.announced[index] if number % 2 else self.announced.pop(index)
            getattr(self.session, name)(*facts)

    def announce_next(self, _: int) -> None:
        self.announce(0)

    def drop(self, number: int) -> None:
        if self.announced:
            del self.announced[number % len(self.announced)]

    def read(self, _: int) -> None:
        """The log answers; the answer arrives later."""
        while self.session.reads:
            read = self.session.reads.popleft()
            self.pages.append((read, self.log.read(read.cursor, read.most_bytes)))

    def land(self, _: int) -> None:
        while self.pages:
            self.session.page(*self.pages.pop(0))

    def flush(self, _: int) -> None:
        out, self.session.out = self.session.out, []
        for data in out:
            self.session.sent(len(data))
            self.client.frames += 1
            self.client.take(orjson.loads(data))
        self.session.emptied()

    def confirm(self, _: int) -> None:
        self.session.confirm(self.client.frames)

    def poll(self, _: int) -> None:
        turn = self.log.turn
        self.session.head(
            CONVERSATION, Head(self.log.head, True, None if turn is None else (turn[0], turn[1], turn[2]))
        )

    def doubt(self, _: int) -> None:
        self.session.doubt()

    def settle(self) -> None:
        """Nothing is announced any more; polls, reads and confirmations go on."""
        self.announced.clear()
        for _ in range(3 + len(self.log.entries)):
            for action in (self.poll, self.flush, self.confirm, self.read, self.land, self.flush, self.confirm):
                action(0)

    def is_whole(self) -> bool:
        turn = self.log.turn
        turns = {} if turn is None else {turn[0]: (turn[1], turn[2])}
        return (self.client.seq, self.client.chain, self.client.turns) == (*self.log.head[1:], turns)


WRITES = ["say", "answer", "answer"]
REST = ["announce", "announce_next", "announce_next", "drop", "read", "land", "flush", "confirm", "poll", "doubt"]
actions = st.lists(st.tuples(st.sampled_from(WRITES + REST), st.integers(0, 9)), max_size=120)


@settings(max_examples=400, deadline=None)
@given(actions)
def test_whatever_is_dropped_repeated_or_reordered_the_client_sees_the_log(steps: list[tuple[str, int]]) -> None:
    world = World()
    for action, number in steps:
        world.act(action, number)
    world.settle()
    assert world.is_whole()


def live(entries: int = 0, window_bytes: int = 100_000) -> World:
    world = World(window_bytes)
    for _ in range(entries):
        world.log.append()
    world.settle()
    assert world.client.is_open
    return world


def sent(world: World) -> list[str]:
    return [orjson.loads(frame)["type"] for frame in world.session.out]


def test_the_next_entry_goes_out_without_a_read() -> None:
    world = live()
    world.say(0)
    world.announce_next(0)
    assert (sent(world), list(world.session.reads)) == (["event"], [])


def test_entries_of_one_announcement_go_out_together() -> None:
    world = live()
    items = [world.log.append()[1][2][0] for _ in range(5)]
    world.session.entries(CONVERSATION, 1, items)
    world.flush(0)
    assert world.client.seq == 5


def test_a_gap_is_read_from_the_cursor() -> None:
    world = live(3)
    world.log.append()
    world.say(0)
    world.announce_next(0)
    assert (sent(world), [read.cursor and read.cursor.seq for read in world.session.reads]) == ([], [3])


def test_an_entry_is_not_sent_again() -> None:
    world = live()
    world.say(0)
    world.announce(1)
    world.announce(1)
    assert sent(world) == ["event"]


def test_what_is_announced_during_a_read_waits_for_it() -> None:
    world = World()
    world.read(0)
    world.say(0)
    world.announce_next(0)
    assert sent(world) == []
    world.land(0)
    assert sent(world) == ["opened", "event"]


def test_a_full_window_stops_events_and_room_brings_the_rest_from_the_log() -> None:
    world = live(window_bytes=1_000)
    for _ in range(20):
        world.say(0)
        world.announce_next(0)
    assert world.session.is_stalled
    assert world.session.unconfirmed_bytes < 1_400
    world.settle()
    assert world.is_whole()


def test_a_batch_that_is_larger_than_the_room_left_does_not_go_over_the_window_as_a_whole() -> None:
    world = live(window_bytes=1_000)
    world.session.entries(CONVERSATION, 1, [world.log.append()[1][2][0] for _ in range(20)])
    assert world.session.unconfirmed_bytes < 1_400
    world.settle()
    assert world.is_whole()


def test_pieces_of_a_finished_turn_are_dropped() -> None:
    world = live()
    for number in (2, 2, 1):  # started, a piece, finished
        world.answer(number)
    started, piece, finished = world.announced
    for name, facts in (started, finished, piece):
        getattr(world.session, name)(*facts)
    assert sent(world) == ["event", "event"]


def test_a_late_piece_of_a_turn_that_was_going_on_when_it_was_opened_is_dropped() -> None:
    world = World()
    world.log.append("turn.started")
    world.settle()
    world.answer(2)
    world.answer(1)
    piece, finished = world.announced
    for name, facts in (finished, piece):
        getattr(world.session, name)(*facts)
    assert sent(world) == ["event"]


def test_an_entry_of_another_epoch_is_not_sent_but_read() -> None:
    world = live()
    _, (_, _, items) = world.log.append()
    world.session.entries(CONVERSATION, 2, items)
    assert (sent(world), len(world.session.reads)) == ([], 1)


def test_a_read_of_an_older_opening_is_of_no_use() -> None:
    world = World()
    world.read(0)
    world.session.open(CONVERSATION, START)
    world.land(0)
    assert sent(world) == []
    world.settle()
    assert world.is_whole()


def test_a_closed_conversation_sends_nothing() -> None:
    world = live()
    world.session.close(CONVERSATION)
    world.say(0)
    world.announce_next(0)
    assert sent(world) == []


def test_a_heartbeat_that_waited_while_more_was_sent_and_confirmed_brings_nothing_twice() -> None:
    log, session = Log(), Session(WINDOW_BYTES)
    session.open(CONVERSATION, START)
    session.page(session.reads.popleft(), log.read(START, WINDOW_BYTES))
    before = Cursor(*log.head)
    for frames in (1, 2):  # `opened`, then an entry that the heartbeat's sender has not seen
        session.sent(sum(map(len, session.out)))
        session.out.clear()
        session.confirm(frames)
        if frames == 1:
            session.entries(*log.append()[1])
    session.claims(CONVERSATION, before, settled=session.has_arrived(1))
    assert not session.reads
    session.claims(CONVERSATION, before, settled=session.has_arrived(2))
    assert session.reads


def sent_kinds(session: Session) -> list[str]:
    kinds = [orjson.loads(frame)["type"] for frame in session.out]
    session.out.clear()
    return kinds


def live_session(log: Log) -> Session:
    session = Session(WINDOW_BYTES)
    session.open(CONVERSATION, START)
    session.page(session.reads.popleft(), log.read(START, WINDOW_BYTES))
    sent_kinds(session)
    return session


REFUSAL = b'{"type":"error"}'


def test_who_may_not_be_a_member_any_more_is_sent_nothing_until_the_log_was_asked() -> None:
    log = Log()
    session = live_session(log)
    session.recheck(CONVERSATION)
    session.entries(*log.append()[1])
    assert sent_kinds(session) == []
    session.read_failed(session.reads.popleft(), REFUSAL, gone=True)
    session.entries(*log.append()[1])
    assert (sent_kinds(session), session.conversations) == (["error"], [])


def test_who_still_is_a_member_goes_on_without_a_gap() -> None:
    log = Log()
    session = live_session(log)
    session.recheck(CONVERSATION)
    session.entries(*log.append()[1])
    read = session.reads.popleft()
    session.page(read, log.read(read.cursor, WINDOW_BYTES))
    session.entries(*log.append()[1])
    assert sent_kinds(session) == ["event", "opened", "event"]


def test_what_was_read_before_the_doubt_is_not_sent() -> None:
    log = Log()
    log.append()
    session = Session(WINDOW_BYTES)
    session.open(CONVERSATION, START)
    before = session.reads.popleft()
    session.recheck(CONVERSATION)
    session.page(before, log.read(START, WINDOW_BYTES))
    assert sent_kinds(session) == []
    session.read_failed(session.reads.popleft(), REFUSAL, gone=True)
    assert sent_kinds(session) == ["error"]


def test_a_conversation_that_is_there_but_refused_again_is_closed() -> None:
    log = Log()
    session = live_session(log)
    session.doubt()
    session.read_failed(session.reads.popleft(), REFUSAL, gone=True)
    assert (sent_kinds(session), session.conversations) == ([], [CONVERSATION])
    session.head(CONVERSATION, Head(log.head, active=True, turn=None))
    session.read_failed(session.reads.popleft(), REFUSAL, gone=True)
    assert (sent_kinds(session), session.conversations) == (["error"], [])
