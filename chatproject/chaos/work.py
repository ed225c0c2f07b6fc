"""What goes on while things break: people who ask, one question a conversation at a time, each on three devices."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any

from chatproject.demo.client import START, Client
from chatproject.demo.mirror import TurnView
from chatproject.demo.wire import Frame

from .history import History

CONVERSATIONS_A_USER = 4
DEVICES_A_USER = 3
BACKOFF_SECONDS = (0.05, 1.0)
# A turn that is not finished by then is stuck, whatever has struck meanwhile.
STUCK_SECONDS = 120
PAUSE_SECONDS = (0.0, 0.5)
# Below what a resume brings as entries.
MOST_REPLAYED = 9_000


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

    def __init__(self, conversation_id: str, devices: list[Watcher], dice: random.Random, history: History) -> None:
        self.conversation_id, self.devices = conversation_id, devices
        self.questions: list[Question] = []
        self._dice, self._history = dice, history

    async def go_on(self, until: asyncio.Event) -> None:
        """Ask one question after the other until then; the last is answered, too."""
        while not until.is_set():
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


def _far_back(talk: Talk) -> Frame:
    """Return a cursor from which everything that follows is replayed: the start, or the farthest that is allowed."""
    entries = talk.devices[0].mirrors[talk.conversation_id].entries
    return entries[-MOST_REPLAYED].cursor.as_json() if len(entries) > MOST_REPLAYED else START


class Work:
    """All conversations. Its own dice: what is asked does not depend on what breaks."""

    def __init__(self, *, urls: list[str], seed: int, conversations: int, history: History) -> None:
        self.urls, self.seed, self.conversations, self.history = urls, seed, conversations, history
        self.talks: list[Talk] = []
        self.devices: list[Watcher] = []
        self._ending = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def users(self) -> int:
        return -(-self.conversations // CONVERSATIONS_A_USER)

    async def start(self, tokens: list[str]) -> None:
        """Connect the devices, make the conversations, open them everywhere, and begin to ask."""
        left = self.conversations
        for user, token in enumerate(tokens):
            devices = [self._device(user, number, token) for number in range(DEVICES_A_USER)]
            self.devices += devices
            await asyncio.gather(*(device.start() for device in devices))
            for _ in range(min(left, CONVERSATIONS_A_USER)):
                conversation_id = await devices[0].new_conversation()
                await asyncio.gather(*(device.open(conversation_id) for device in devices[1:]))
                dice = random.Random(f"{self.seed} {len(self.talks)}")
                self.talks.append(Talk(conversation_id, devices, dice, self.history))
            left -= CONVERSATIONS_A_USER
        self._tasks = [
            asyncio.create_task(talk.go_on(self._ending), name=f"talk {number}")
            for number, talk in enumerate(self.talks)
        ]

    def _device(self, user: int, number: int, token: str) -> Watcher:
        at = (user + number) % len(self.urls)
        urls = self.urls[at:] + self.urls[:at]
        name = f"user{user}-device{number}"
        return Watcher(urls, token, name, seed=self.seed + 100 * user + number, backoff_seconds=BACKOFF_SECONDS)

    async def end(self) -> None:
        """Ask no more, and return when what was asked is answered, or stuck."""
        self._ending.set()
        await asyncio.gather(*self._tasks)

    async def settle(self, seconds: float) -> None:
        """Wait until every device of a conversation stands at the same entry, or so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if all(len({device.mirrors[t.conversation_id].cursor for device in t.devices}) == 1 for t in self.talks):
                return
            await asyncio.sleep(0.05)

    async def read_again(self, seconds: float) -> None:
        """Let a new device of each person read what Redis and the archive hold in the end; it is judged as the others.

        What all devices saw and the server lost, or tells otherwise by now, shows there only.
        """
        late = []
        for user in range(self.users):
            talks = self.talks[user * CONVERSATIONS_A_USER : (user + 1) * CONVERSATIONS_A_USER]
            device = self._device(user, DEVICES_A_USER, talks[0].devices[0].token)
            late.append(device.start({talk.conversation_id: _far_back(talk) for talk in talks}, seconds=seconds))
            self.devices.append(device)
        await asyncio.gather(*late)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(device.stop() for device in self.devices))

    # -- what the faults ask

    def running_on(self, node: str) -> dict[str, int]:
        """Return the turns that write on this node just now, with the attempt whose pieces somebody has seen."""
        found = {}
        for device in self.devices:
            for mirror in device.mirrors.values():
                for turn_id, turn in list(mirror.turns.items())[-2:]:
                    if turn.nodes[-1:] == [node] and not turn.status and turn.n and turn.attempt == turn.started:
                        found[turn_id] = turn.attempt
        return found

    def went_on(self, turn_id: str, attempt: int) -> float | None:
        """Return when the first piece of a later attempt came to any device."""
        times = [
            at
            for device in self.devices
            for later, at in device.first_pieces.get(turn_id, {}).items()
            if later > attempt
        ]
        return min(times, default=None)

    def is_over(self, turn_id: str) -> bool:
        return any(
            mirror.turns[turn_id].status
            for device in self.devices
            for mirror in device.mirrors.values()
            if turn_id in mirror.turns
        )
