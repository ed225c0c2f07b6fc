"""One Redis of the channel layer, and the consumers of this process that listen to it."""

import asyncio
import os
import random
import secrets
from collections.abc import Callable
from typing import Any

import msgpack
import structlog
from redis.exceptions import ResponseError

from conversations.errors import Unavailable
from conversations.wire import Wire

RECONNECT_SECONDS = 0.2
SUBSCRIBE_SECONDS = 2.0
PING_SECONDS = 10.0
# What a consumer has not taken up by then is dropped: its session finds it in the log.
QUEUE_MESSAGES = 1000
OWN_BYTES = 8

Message = dict[str, Any]
Sink = Callable[[Message], None]

logger = structlog.get_logger(__name__)
_pack = msgpack.Packer().pack


class Audience:
    """This process' consumers by channel, and the channels by group. A consumer has a queue, or a sink instead."""

    def __init__(self, channels: dict[str, "asyncio.Queue[Message]"], groups: dict[str, set[str]]) -> None:
        self._channels = channels
        self._groups = groups
        self._sinks: dict[str, Sink] = {}

    def listen(self, channel: str, sink: Sink) -> None:
        """Hand this channel's messages to ``sink`` where they arrive; now those that were queued until now."""
        queue = self._channels[channel]
        self._sinks[channel] = sink
        while not queue.empty():
            _pour([queue.get_nowait()], sink)

    def forget(self, channel: str) -> None:
        self._channels.pop(channel, None)
        self._sinks.pop(channel, None)

    def forget_all(self) -> None:
        self._channels.clear()
        self._groups.clear()
        self._sinks.clear()

    def deliver(self, name: str, messages: list[Message]) -> None:
        """Hand messages to the channel of this name, or to those in the group."""
        for channel in (name,) if name in self._channels else tuple(self._groups.get(name, ())):
            self._hand_over(channel, messages)

    def doubt(self) -> None:
        """After a reconnect something may be lost: every consumer looks at the log."""
        for channel in tuple(self._channels):
            self._hand_over(channel, [{"type": "doubt"}])

    def _hand_over(self, channel: str, messages: list[Message]) -> None:
        sink = self._sinks.get(channel)
        if sink is not None:
            _pour(messages, sink)
            return
        queue = self._channels.get(channel)
        if queue is None:
            return
        if queue.qsize() + len(messages) > QUEUE_MESSAGES:
            while not queue.empty():
                queue.get_nowait()
            messages = [{"type": "doubt"}]
        for message in messages:
            queue.put_nowait(message)


def _pour(messages: list[Message], sink: Sink) -> None:
    """Call the sink with each message. A fault at one socket is that one's: its session finds the rest in the log.

    Raised further, it would break the wire that brought the message, or refuse the one who has just said it.
    """
    try:
        for message in messages:
            sink(message)
    except Exception:
        logger.exception("layer.fault", fault=secrets.token_hex(8))


class Shard:
    """One Redis: a wire that publishes in batches, and a wire that is subscribed."""

    def __init__(self, url: str, audience: Audience) -> None:
        self._url = url
        self._audience = audience
        self._loop = asyncio.get_running_loop()
        # What we publish begins with it, so that we know our own when it comes back.
        self._own = os.urandom(OWN_BYTES)
        self._outbox: dict[str, list[Message]] = {}
        self._publisher: Wire | None = None
        self._subscriber: Wire | None = None
        self._subscribed_to: set[str] = set()
        self._confirmed: dict[str, asyncio.Event] = {}
        self._heard_at = 0.0
        self._timers: list[asyncio.TimerHandle] = []
        self._drop = float(os.environ.get("TETHER_LAYER_DROP", "0"))
        self.dropped = 0

    # -- publishing

    def publish_soon(self, channel: str, message: Message) -> None:
        if self._drop and random.random() < self._drop:
            self.dropped += 1
            return
        if not self._outbox:
            self._loop.call_soon(self._publish_all)
        self._outbox.setdefault(channel, []).append(message)
        # Our own sockets need not wait for Redis to tell us what we say.
        self._audience.deliver(channel, [message])

    async def publish(self, channel: str, message: Message) -> None:
        """Publish and wait until Redis has taken it; a failure is logged, not raised: the log heals it."""
        self.publish_soon(channel, message)
        self._publish_all()
        try:
            await self._publisher_wire().call("PING")  # replies come in order: what was before is published
        except Unavailable as error:
            logger.warning("layer.lost", error=error.message)

    def _publish_all(self) -> None:
        outbox, self._outbox = self._outbox, {}
        wire = self._publisher_wire()
        for channel, messages in outbox.items():
            wire.call("PUBLISH", channel, self._own + _pack(messages))

    def _publisher_wire(self) -> Wire:
        if self._publisher is None:
            self._publisher = Wire(self._url)
        return self._publisher

    # -- subscribing

    async def subscribe(self, channel: str) -> None:
        """Return when Redis has confirmed; during an outage, after 2 s: the name is subscribed when it is back."""
        if channel in self._subscribed_to and channel not in self._confirmed:
            return
        confirmed = self._confirmed.setdefault(channel, asyncio.Event())
        if channel not in self._subscribed_to:
            self._subscribed_to.add(channel)
            self._subscriber_wire().send("SUBSCRIBE", channel)
        try:
            # Not wait_for: in Python 3.11 it may swallow a cancellation.
            async with asyncio.timeout(SUBSCRIBE_SECONDS):
                await confirmed.wait()
        except TimeoutError:
            logger.warning("layer.not_subscribed_yet")

    async def unsubscribe(self, channel: str) -> None:
        if channel in self._subscribed_to:
            self._subscribed_to.discard(channel)
            self._confirmed.pop(channel, None)
            self._subscriber_wire().send("UNSUBSCRIBE", channel)

    def _subscriber_wire(self) -> Wire:
        if self._subscriber is None:
            self._subscriber = Wire(
                self._url, on_message=self._take, on_connected=self._resubscribe, on_lost=self._lost
            )
            self._later(PING_SECONDS, self._ping)
        return self._subscriber

    def _take(self, reply: Any) -> None:
        self._heard_at = self._loop.time()
        if isinstance(reply, ResponseError):
            # Starting, or held by a long script: it has not subscribed us. The next connection asks again.
            self._subscriber_wire().abort()
        elif reply[0] == b"message":
            if not reply[2].startswith(self._own):
                self._deliver(reply[1].decode(), reply[2])
        elif reply[0] == b"subscribe":
            confirmed = self._confirmed.pop(reply[1].decode(), None)
            if confirmed is not None:
                confirmed.set()

    def _deliver(self, channel: str, packed: bytes) -> None:
        try:
            messages = msgpack.unpackb(memoryview(packed)[OWN_BYTES:])
        except ValueError:
            messages = None
        if isinstance(messages, list):
            self._audience.deliver(channel, messages)
        else:  # from another program
            logger.warning("layer.not_ours")

    def _lost(self) -> None:
        logger.warning("layer.disconnected")
        self._later(RECONNECT_SECONDS, self._subscriber_wire().connect_soon)

    def _resubscribe(self) -> None:
        self._heard_at = self._loop.time()
        if self._subscribed_to:
            self._subscriber_wire().send("SUBSCRIBE", *self._subscribed_to)
            self._audience.doubt()

    def _ping(self) -> None:
        """A subscriber only listens: without a ping it would not notice that nobody is there any more."""
        wire = self._subscriber_wire()
        if self._loop.time() - self._heard_at > 2 * PING_SECONDS:
            wire.abort()
        elif self._subscribed_to:
            wire.send("PING")
        self._later(PING_SECONDS, self._ping)

    def _later(self, seconds: float, work: Callable[[], None]) -> None:
        now = self._loop.time()
        self._timers = [timer for timer in self._timers if timer.when() > now and not timer.cancelled()]
        self._timers.append(self._loop.call_later(seconds, work))

    async def flush(self) -> None:
        """Close the wires and forget everything."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        for wire in (self._publisher, self._subscriber):
            if wire is not None:
                await wire.close()
        self._publisher = self._subscriber = None
        self._subscribed_to.clear()
        self._confirmed.clear()
