import asyncio
import contextlib
from uuid import uuid4

import pytest
import pytest_asyncio

from chatproject.demo.client import START, Client
from chatproject.demo.ledger import judge
from chatproject.demo.wire import Wire, dial

from .stack import Stack

# Those whose devices and wires the tests are; a token made with the others costs no process of its own.
PEOPLE = ("alice", "bob", "carol", "dora", "erin", "frank", "gina", "mallory")
PROMPT = (0.05, 0.5)  # backoff of the tests' clients, in seconds


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """Three nodes for all tests; a test that kills one waits until it is back."""
    running = Stack(tmp_path_factory.mktemp("stack"))
    try:
        running.start(*PEOPLE)
        yield running
    finally:
        running.stop()


class People:
    """Makes devices and bare wires, ends them all, and then holds the devices' reports against each other."""

    def __init__(self, stack):
        self.stack, self.devices, self.sockets = stack, [], []
        self.expected = ()  # kinds of breaches that the test provokes itself

    async def device(self, user="alice", node=0, open=(), **options):
        """Return a started client on that node; ``open``: conversations, or {conversation: cursor}."""
        token = options.pop("token", None) or self.stack.tokens(user)[0]
        urls = options.pop("urls", None) or self.stack.urls(node)
        options = {"backoff_seconds": PROMPT, **options}
        client = Client(urls, token, f"{user}-{uuid4().hex[:8]}", **options)
        self.devices.append(client)
        await client.start(open if isinstance(open, dict) else dict.fromkeys(open, START))
        return client

    async def bare(self, node=0, *, url=None, **options):
        """Return a socket that has not authenticated."""
        socket = await dial(url or self.stack.urls(node)[0], **options)
        self.sockets.append(socket)
        return Wire(socket)

    async def wire(self, user="alice", node=0, *, url=None, **auth):
        """Return an authenticated socket, its `ready` taken, nothing open unless ``auth`` says so."""
        wire = await self.bare(node, url=url)
        (token,) = self.stack.tokens(user)
        device_id = f"{user}-{uuid4().hex[:8]}"
        await wire.send({"type": "auth", "device_id": device_id, "token": token, "open": {}, **auth})
        wire.ready = await wire.until(type="system", event="ready")
        return wire

    async def wire_in_a_new_conversation(self, **options):
        """Return a wire, and the id of a conversation that is not open on it."""
        wire = await self.wire(**options)
        key = uuid4().hex
        await wire.send({"type": "command", "id": key, "command": "new_conversation", "args": {}})
        return wire, (await wire.until(type="result", id=key))["data"]["conversation_id"]

    def judge(self):
        verdict = judge([client.report() for client in self.devices])
        verdict.breaches = [text for text in verdict.breaches if not any(k in text for k in self.expected)]
        return verdict

    async def settled(self, seconds=5):
        """Return the verdict once nothing is missing any more, or when it should not be."""
        with contextlib.suppress(TimeoutError):
            await eventually(lambda: not self.judge().missing, seconds)
        return self.judge()

    async def stop(self):
        await asyncio.gather(*(client.stop() for client in self.devices))
        for socket in self.sockets:
            socket.transport.abort()
        await asyncio.gather(*(socket.wait_closed() for socket in self.sockets))


@pytest_asyncio.fixture
async def people(stack):
    """Whatever else a test looks at, its devices must not have seen a breach or lost an entry."""
    everybody = People(stack)
    try:
        yield everybody
        verdict = await everybody.settled()
    finally:
        await everybody.stop()
        await whole_again(stack)
    assert verdict.clean, verdict


async def whole_again(stack):
    """Start what is down, and return when all of it is ready."""
    stack.start_what_is_down()
    await asyncio.to_thread(stack.wait_until_ready)


async def eventually(condition, seconds=10):
    """Wait for something that no frame announces."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def caught_up(*clients, conversation_id, seq, seconds=10):
    """Wait until all these devices have the entry."""
    for client in clients:
        mirror = client.mirrors[conversation_id]
        await client.until(lambda m=mirror: m.cursor and m.cursor.seq >= seq, seconds)


async def say(client, conversation_id, count, *, content="message", **fields):
    """Send so many texts at once, without asking the assistant; return the highest seq."""
    fields = {"respond": False, **fields}
    sending = [client.text(conversation_id, f"{content} {number}", **fields) for number in range(count)]
    async with asyncio.timeout(60):
        return max(ack["seq"] for ack in await asyncio.gather(*sending))


async def answer_of(client, conversation_id, seconds=20):
    """Wait for the end of the newest turn; return its view."""
    turns = client.mirrors[conversation_id].turns
    await client.until(lambda: turns and next(reversed(turns.values())).status, seconds)
    return next(reversed(turns.values()))


async def written(client, conversation_id, n, *, attempt=1, seconds=20):
    """Wait until piece ``n`` of the newest turn is there; return its view."""
    turns = client.mirrors[conversation_id].turns

    def there():
        turn = next(reversed(turns.values()), None)
        return turn and (turn.attempt, turn.n) >= (attempt, n)

    await client.until(there, seconds)
    return next(reversed(turns.values()))
