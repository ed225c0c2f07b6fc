"""The channel layer between nodes: channels-redis' pub/sub layer, made fast and honest about what it loses.

It may drop, repeat or reorder; sessions heal from the log. Against the stock layer: messages that wait at the same
moment go out in one pipeline, those for one group as one message; a message is decoded once a node, not once a
consumer; receiving blocks instead of polling; a reconnect subscribes again and tells every consumer to look at the log.
"""

import asyncio
import os
import random
from typing import Any

import msgpack
import structlog
from channels_redis.pubsub import (
    RedisPubSubChannelLayer,
    RedisPubSubLoopLayer,
    RedisSingleShardConnection,
)
from channels_redis.utils import _wrap_close
from redis.exceptions import RedisError

from conversations import store

RECONNECT_SECONDS = 0.2
# What a consumer has not taken up by then is dropped: its session finds it in the log.
QUEUE_MESSAGES = 1000
DOUBT = {"type": "doubt"}

logger = structlog.get_logger(__name__)


def pack(messages: list[dict[str, Any]]) -> bytes:
    packed: bytes = msgpack.packb(messages)
    return packed


def unpack(data: bytes) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = msgpack.unpackb(data)
    return messages


class TetherChannelLayer(RedisPubSubChannelLayer):
    """CHANNEL_LAYERS' backend. ``group_send_soon`` queues a message without waiting for Redis."""

    def _get_layer(self) -> "TetherLoopLayer":
        loop = asyncio.get_running_loop()
        layer: TetherLoopLayer | None = self._layers.get(loop)
        if layer is None:
            layer = self._layers[loop] = TetherLoopLayer(channel_layer=self, **self._kwargs)
            _wrap_close(self, loop)  # a loop that ends closes its connections
        return layer


class TetherLoopLayer(RedisPubSubLoopLayer):
    """The layer of one event loop. Queues hold decoded messages."""

    def __init__(self, hosts: list[str], prefix: str, channel_layer: TetherChannelLayer) -> None:
        super().__init__(None, prefix, None, None, channel_layer)
        self._shards = [TetherShard(url, self) for url in hosts]

    @property
    def dropped(self) -> int:
        """How many messages the fault switch TETHER_LAYER_DROP has swallowed in this process."""
        return sum(shard.dropped for shard in self._shards)

    def group_send_soon(self, group: str, message: dict[str, Any]) -> None:
        name = self._get_group_channel_name(group)
        self._get_shard(name).publish_soon(name, message)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        name = self._get_group_channel_name(group)
        await self._get_shard(name).publish(name, message)

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        await self._get_shard(channel).publish(channel, message)

    async def _subscribe_to_channel(self, channel: str) -> None:
        self.channels[channel] = asyncio.Queue(QUEUE_MESSAGES)
        await self._get_shard(channel).subscribe(channel)

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Return a name for a consumer of this process. Nobody sends to it but groups, so Redis need not know it."""
        channel = f"{self.prefix}{prefix}{random.getrandbits(96):024x}"
        self.channels[channel] = asyncio.Queue(QUEUE_MESSAGES)
        return channel

    async def receive(self, channel: str) -> dict[str, Any]:
        message: dict[str, Any] = await self.channels[channel].get()
        return message

    def forget_channel(self, channel: str) -> None:
        self.channels.pop(channel, None)

    def deliver(self, name: str, messages: list[dict[str, Any]]) -> None:
        """Put messages into the queues of this process' consumers that are in the group."""
        for channel in (name,) if name in self.channels else self.groups.get(name, ()):
            queue = self.channels.get(channel)
            if queue is None:
                continue
            if queue.qsize() + len(messages) > QUEUE_MESSAGES:
                _empty(queue)
                queue.put_nowait(DOUBT)
                continue
            for message in messages:
                queue.put_nowait(message)

    def doubt(self) -> None:
        """After a reconnect something may be lost: every consumer looks at the log."""
        for queue in self.channels.values():
            if queue.full():
                _empty(queue)
            queue.put_nowait(DOUBT)


def _empty(queue: "asyncio.Queue[Any]") -> None:
    while not queue.empty():
        queue.get_nowait()


class TetherShard(RedisSingleShardConnection):
    """One Redis: a publisher that batches, and a subscriber that blocks."""

    _redis: Any
    _pubsub: Any
    _receive_task: Any

    def __init__(self, url: str, layer: TetherLoopLayer) -> None:
        super().__init__(url, layer)
        self._outbox: dict[str, list[dict[str, Any]]] = {}
        self._publishing: asyncio.Task[None] | None = None
        self._drop = float(os.environ.get("TETHER_LAYER_DROP", "0"))
        self.dropped = 0

    def publish_soon(self, channel: str, message: dict[str, Any]) -> None:
        if self._drop and random.random() < self._drop:
            self.dropped += 1
            return
        self._outbox.setdefault(channel, []).append(message)
        if self._publishing is None:
            self._publishing = asyncio.get_running_loop().create_task(self._publish_all(), name="publish")

    async def publish(self, channel: str, message: dict[str, Any]) -> None:
        self.publish_soon(channel, message)
        if self._publishing is not None:
            await asyncio.shield(self._publishing)

    async def _publish_all(self) -> None:
        try:
            while self._outbox:
                outbox, self._outbox = self._outbox, {}
                try:
                    async with self._client().pipeline(transaction=False) as pipeline:
                        for channel, messages in outbox.items():
                            pipeline.publish(channel, pack(messages))
                        await pipeline.execute()
                except (RedisError, OSError) as error:
                    logger.warning("layer.lost", messages=len(outbox), error=str(error))
        finally:
            self._publishing = None

    def _client(self) -> Any:
        self._ensure_redis()
        return self._redis

    def _ensure_redis(self) -> None:
        if self._redis is None:
            self._redis = store.connect(self.host)
            self._pubsub = self._redis.pubsub(ignore_subscribe_messages=True)

    def _ensure_receiver(self) -> None:
        if self._receive_task is None:
            self._receive_task = asyncio.get_running_loop().create_task(self._do_receiving(), name="layer")

    async def subscribe(self, channel: str) -> None:
        """Subscribe; during an outage the name is kept and subscribed when Redis is back."""
        async with self._lock:
            if channel in self._subscribed_to:
                return
            self._ensure_redis()
            self._subscribed_to.add(channel)
            try:
                await self._pubsub.subscribe(channel)
            except (RedisError, OSError) as error:
                logger.warning("layer.not_subscribed", error=str(error))
            self._ensure_receiver()

    async def unsubscribe(self, channel: str) -> None:
        async with self._lock:
            if channel in self._subscribed_to:
                self._subscribed_to.discard(channel)
                try:
                    await self._pubsub.unsubscribe(channel)
                except (RedisError, OSError) as error:
                    logger.warning("layer.not_unsubscribed", error=str(error))

    async def _do_receiving(self) -> None:
        while True:
            try:
                reply = await self._pubsub.parse_response(block=True)
                if reply[0] == b"message":
                    self.channel_layer.deliver(reply[1].decode(), unpack(reply[2]))
            except (RedisError, OSError) as error:
                logger.warning("layer.disconnected", error=str(error))
                await self._resubscribe()

    async def _resubscribe(self) -> None:
        while True:
            await asyncio.sleep(RECONNECT_SECONDS)
            async with self._lock:
                try:
                    await self._pubsub.aclose()
                    self._pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
                    if self._subscribed_to:
                        await self._pubsub.subscribe(*self._subscribed_to)
                except (RedisError, OSError):
                    continue
            logger.info("layer.reconnected", channels=len(self._subscribed_to))
            self.channel_layer.doubt()
            return
