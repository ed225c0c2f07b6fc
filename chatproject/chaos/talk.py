"""One conversation of a fault run: who asks, cancels, edits and forks in it, by its own dice."""

import asyncio
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

from chatproject.demo.client import Answered, Client
from chatproject.demo.mirror import Entry, TurnView
from chatproject.demo.wire import Frame

from .history import History

# A turn that is not finished by then is stuck, whatever has struck meanwhile.
STUCK_SECONDS = 120
PAUSE_SECONDS = (0.0, 0.5)
# Of so many questions one is cancelled, an edit, or asked in a fork, in turns.
ELSE_EVERY = 6
LONG = ("/words 150", " ".join(f"w{n}" for n in range(1, 151)))
CANCEL_SECONDS = (0.0, 2.0)
MOST_FORKED = 20


@dataclass(slots=True)
class Question:
    """One turn: what was asked, what must be answered, and what became of it."""

    conversation_id: str
    text: str
    answer: str
    asked_at: float
    turn_id: str = ""
    status: str = ""
    finals: list[str] = field(default_factory=list)
    attempts: int = 0
    error: str = ""
    ended_as: list[str] = field(default_factory=list)  # of each final message, its status
    is_cancelled: bool = False  # somebody cancelled it, and was told that it is


class Edit(NamedTuple):
    """Of the message at ``seq``, answered by this turn."""

    seq: int
    turn_id: str


class Fork(NamedTuple):
    """``talk`` goes on from a place of another one, of which it must say the same: ``words`` of each message."""

    talk: "Talk"
    said: list[Frame]


def words(message: Frame) -> Frame:
    """Return what a fork repeats of a message."""
    return {name: message[name] for name in ("role", "author", "content", "status")}


def marks(entries: Iterable[Entry]) -> dict[int, str]:
    """Return which messages gave way, as the log says: seq -> what took their place first."""
    found: dict[int, str] = {}
    messages: list[int] = []
    for entry in entries:
        if entry.event == "message":
            messages.append(entry.cursor.seq)
        elif entry.event == "message.superseded":
            for seq in messages:
                if entry.data["from_seq"] <= seq <= entry.data["to_seq"]:
                    found.setdefault(seq, entry.data["by"])
    return found


def standing(entries: list[Entry]) -> list[Entry]:
    """Return the messages that have not given way."""
    gone = marks(entries)
    return [entry for entry in entries if entry.event == "message" and entry.cursor.seq not in gone]


class Watcher(Client):
    """A strict client that keeps when the first piece of each attempt came.

    It never asks for a snapshot, and nothing here is cleared or too far away: one means that the log was set back.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.first_pieces: dict[str, dict[int, float]] = {}

    def handle(self, frame: Frame, raw: str) -> None:
        if frame["type"] == "delta":
            self.first_pieces.setdefault(frame["turn_id"], {}).setdefault(frame["attempt"], time.monotonic())
        elif frame["type"] == "snapshot":
            self.breaches.append(f"snapshot: {frame['reason']} in {frame['conversation_id']}")
        super().handle(frame, raw)


def make_question(dice: random.Random) -> tuple[str, str]:
    """Return what to ask and what must be answered."""
    kind = dice.choices(("words", "steps", "slow", "echo", "approve"), (45, 30, 8, 12, 5))[0]
    number = dice.randrange(10**6)
    if kind == "words":
        count = dice.randint(20, 200)
        return f"/words {count}", " ".join(f"w{n}" for n in range(1, count + 1))
    if kind == "steps":
        count = dice.randint(5, 60)
        return f"/steps {count}", f"steps: {count}"
    if kind == "slow":
        return f"/slow {dice.randint(1, 4)}", "done"
    if kind == "approve":
        return f"/approve {number}", f"declined: {number}"
    return f"say {number} again", f"echo: say {number} again"


class Talk:
    """One conversation and who watches it."""

    def __init__(
        self, conversation_id: str, devices: list[Watcher], dice: random.Random, history: History, number: int = 0
    ) -> None:
        self.conversation_id, self.devices = conversation_id, devices
        self.questions: list[Question] = []
        self.edits: list[Edit] = []
        self.forks: list[Fork] = []
        self.refused: list[str] = []  # what had to be done and was not
        self.told: list[Frame] = []  # its messages in the end, as the server tells them
        self._dice, self._history, self._number = dice, history, number

    async def go_on(self, until: asyncio.Event) -> None:
        """Ask one question after the other until then; the last is answered, too. Now and then do something else."""
        others = (self._cancel, self._edit, self._fork)
        for turn in count(1):
            if until.is_set():
                return
            if turn % ELSE_EVERY == 2:
                await others[(self._number + turn // ELSE_EVERY) % len(others)]()
            else:
                await self._ask()
            await asyncio.sleep(self._dice.uniform(*PAUSE_SECONDS))

    async def _ask(self) -> None:
        text, answer = make_question(self._dice)
        device = self._dice.choice(self.devices)
        question = await self._send(device, text, answer)
        asked = [question]
        if text.startswith("/approve"):
            # Nobody approves here: whoever writes on has declined.
            await self._wait(device, question, lambda turn: bool(turn.interrupts or turn.status))
            asked.append(await self._send(device, "never mind", "echo: never mind"))
        for each in asked:
            await self._wait(device, each, lambda turn: bool(turn.status))
            self._close(device, each)

    async def _cancel(self) -> None:
        """Ask for something long; another device cancels it somewhere on the way."""
        device, other = self._dice.choice(self.devices), self._dice.choice(self.devices)
        text, answer = self._dice.choice([LONG, ("/slow 4", "done")])
        later = self._dice.uniform(*CANCEL_SECONDS)
        question = await self._send(device, text, answer)
        await self._wait(other, question, lambda turn: bool(turn.started or turn.status))
        await asyncio.sleep(later)
        turn_id, _ = self.turn_of(other, question)
        try:
            await other.command("cancel", self.conversation_id, turn_id=turn_id)
            question.is_cancelled = True
        except Answered as error:
            if error.code != "CONFLICT":  # it was over
                self._refuse("cancel", error)
        self._history.note("cancelled" if question.is_cancelled else "too late", turn=turn_id, device=other.device_id)
        await self._wait(device, question, lambda turn: bool(turn.status))
        self._close(device, question)

    async def _edit(self) -> None:
        """Say one of the last questions in other words."""
        device, number = self._dice.choice(self.devices), self._dice.randrange(10**6)
        place = self._dice.randrange(3)
        said = standing(device.mirrors[self.conversation_id].entries)
        asked = [entry for entry in said if entry.data["role"] == "user"][-3:]
        edited = asked[place % len(asked)]
        text = f"say {number} better"
        question = Question(self.conversation_id, text, f"echo: {text}", self._history.at)
        self.questions.append(question)
        try:
            result = await device.command(
                "edit", self.conversation_id, message_id=edited.data["message_id"], content=text
            )
        except Answered as error:
            self.questions.remove(question)
            self._refuse("edit", error)
            return
        self.edits.append(Edit(edited.cursor.seq, result["data"]["turn_id"]))
        self._history.note("edited", conversation=self.conversation_id, seq=edited.cursor.seq, text=text)
        await self._wait(device, question, lambda turn: bool(turn.status))
        self._close(device, question)

    async def _fork(self) -> None:
        """Fork at one of the newest messages, and ask something there."""
        device, place = self._dice.choice(self.devices), self._dice.randrange(MOST_FORKED)
        entries = device.mirrors[self.conversation_id].entries
        said = [entry for entry in entries if entry.event == "message"][-MOST_FORKED:]
        seq = said[place % len(said)].cursor.seq
        until = [entry for entry in entries if entry.cursor.seq <= seq]
        try:
            result = await device.command("fork", self.conversation_id, seq=seq)
            new_id: str = result["data"]["conversation_id"]
            self._history.note("forked", conversation=self.conversation_id, seq=seq, new=new_id)
            await device.open(new_id, seconds=STUCK_SECONDS)
        except (Answered, TimeoutError) as error:
            self._refuse("fork", error)
            return
        talk = Talk(new_id, [device], self._dice, self._history)
        self.forks.append(Fork(talk, [words(entry.data) for entry in standing(until)]))
        number = self._dice.randrange(10**6)
        question = await talk._send(device, f"say {number} there", f"echo: say {number} there")
        await talk._wait(device, question, lambda turn: bool(turn.status))
        talk._close(device, question)

    def _refuse(self, what: str, error: Exception) -> None:
        self.refused.append(f"{what} in {self.conversation_id}: {error!r}")
        self._history.note("refused", conversation=self.conversation_id, what_for=what, error=repr(error))

    async def _send(self, device: Watcher, text: str, answer: str) -> Question:
        question = Question(self.conversation_id, text, answer, self._history.at)
        self.questions.append(question)
        self._history.note("asked", conversation=self.conversation_id, device=device.device_id, text=text)
        await device.text(self.conversation_id, text)
        return question

    async def _wait(self, device: Watcher, question: Question, condition: Any) -> None:
        """Wait for a state of the question's turn. One that does not come is found in the verdict."""
        try:
            await device.until(lambda: condition(self.turn_of(device, question)[1]), STUCK_SECONDS)
        except TimeoutError:
            self._history.note("stuck", conversation=self.conversation_id, text=question.text)

    def turn_of(self, device: Watcher, question: Question) -> tuple[str, TurnView]:
        """Return the question's turn as this device sees it: turns come in the order of the questions."""
        turns = list(device.mirrors[self.conversation_id].turns.items())
        number = self.questions.index(question)
        return turns[number] if number < len(turns) else ("", TurnView())

    def _close(self, device: Watcher, question: Question) -> None:
        turn_id, turn = self.turn_of(device, question)
        question.turn_id, question.status, question.error = turn_id, turn.status, turn.error
        question.attempts = turn.started
        question.finals = [final["content"] for final in turn.finals]
        question.ended_as = [final["status"] for final in turn.finals]
        self._history.note(
            "finished",
            conversation=self.conversation_id,
            turn=turn_id,
            text=question.text,
            status=turn.status,
            error=turn.error,
            attempts=turn.started,
            nodes=turn.nodes,
        )
