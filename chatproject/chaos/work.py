"""What goes on while things break: people who ask, one question a conversation at a time, each on three devices."""

import asyncio
import random
import time

from chatproject.demo.client import START
from chatproject.demo.wire import Frame

from .history import History
from .talk import Talk, Watcher

CONVERSATIONS_A_USER = 4
DEVICES_A_USER = 3
BACKOFF_SECONDS = (0.05, 1.0)
# Below what a resume brings as entries.
MOST_REPLAYED = 9_000


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
                number = len(self.talks)
                dice = random.Random(f"{self.seed} {number}")
                self.talks.append(Talk(conversation_id, devices, dice, self.history, number))
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

        What all devices saw and the server lost, or tells otherwise by now, shows there only. So does a history.
        """
        late = []
        for user in range(self.users):
            talks = self.talks[user * CONVERSATIONS_A_USER : (user + 1) * CONVERSATIONS_A_USER]
            device = self._device(user, DEVICES_A_USER, talks[0].devices[0].token)
            from_where: dict[str, Frame | None] = {talk.conversation_id: _far_back(talk) for talk in talks}
            from_where |= {fork.talk.conversation_id: START for talk in talks for fork in talk.forks}
            late.append(self._read_all(device, talks, from_where, seconds))
            self.devices.append(device)
        await asyncio.gather(*late)

    async def _read_all(
        self, device: Watcher, talks: list[Talk], from_where: dict[str, Frame | None], seconds: float
    ) -> None:
        await device.start(from_where, seconds=seconds)
        for talk in talks:
            more = True
            before: dict[str, int] = {}
            while more:
                page = await device.command("get_history", talk.conversation_id, limit=100, **before)
                talk.told[:0] = page["messages"]
                more, before = page["more"], {"before_seq": talk.told[0]["seq"]} if talk.told else {}

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(device.stop() for device in self.devices))

    # -- what the faults ask

    def running_on(self, node: str, since: float) -> dict[str, int]:
        """Return the turns that write on this node just now, with the attempt whose pieces somebody has seen.

        Not those that a former process of its name has left: ``since`` is when the present one began.
        """
        found = {}
        for talk in self.talks:  # a fork has one device only, which may be the one that was on the node
            for device in talk.devices:
                for turn_id, turn in list(device.mirrors[talk.conversation_id].turns.items())[-2:]:
                    is_there = turn.nodes[-1:] == [node] and not turn.status and turn.n
                    if is_there and turn.attempt == turn.started and self._first_piece(turn_id, turn.attempt) > since:
                        found[turn_id] = turn.attempt
        return found

    def _first_piece(self, turn_id: str, attempt: int) -> float:
        """Return when the first device saw a piece of this attempt."""
        seen = (device.first_pieces.get(turn_id, {}) for device in self.devices)
        return min((pieces[attempt] for pieces in seen if attempt in pieces), default=0.0)

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
