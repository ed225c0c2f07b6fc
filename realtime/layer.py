"""The channel layer between nodes: channels-redis' pub/sub layer, made fast and honest about what it loses.

It may drop, repeat or reorder; sessions heal from the log. Against the stock layer: messages that wait at the same
moment go out in one write, those for one group as one message; a message is decoded once a node, not once a
consumer, and handed over where it arrives; a reconnect subscribes again and tells every consumer to look at the log.
"""

import asyncio
import random

from channels_redis.pubsub import RedisPubSubChannelLayer, RedisPubSubLoopLayer
from channels_redis.utils import _wrap_close

from .shard import QUEUE_MESSAGES, Audience, Message, Shard, Sink


class TetherChannelLayer(RedisPubSubChannelLayer):
    """CHANNEL_LAYERS' backend. ``group_send_soon`` queues a message without waiting for Redis."""

    def _get_layer(self) -> "TetherLoopLayer":
        loop = asyncio.get_running_loop()
        layer: TetherLoopLayer | None = self._layers.get(loop)
        if layer is None:
            layer = self._layers[loop] = TetherLoopLayer(channel_layer=self, **self._kwargs)
            _wrap_close(self, loop)  # a loop that ends closes its connections
        return layer

    def group_send_soon(self, group: str, message: Message) -> None:
        self._get_layer().group_send_soon(group, message)


class TetherLoopLayer(RedisPubSubLoopLayer):
    """The layer of one event loop. Queues hold decoded messages; a consumer may take them by a sink instead."""

    def __init__(self, hosts: list[str], prefix: str, channel_layer: TetherChannelLayer) -> None:
        super().__init__(None, prefix, None, None, channel_layer)
        self._audience = Audience(self.channels, self.groups)
        self._shards = [Shard(url, self._audience) for url in hosts]

    @property
    def dropped(self) -> int:
        """How many messages the fault switch TETHER_LAYER_DROP has swallowed in this process."""
        return sum(shard.dropped for shard in self._shards)

    def group_send_soon(self, group: str, message: Message) -> None:
        name = self._get_group_channel_name(group)
        self._get_shard(name).publish_soon(name, message)

    async def group_send(self, group: str, message: Message) -> None:
        name = self._get_group_channel_name(group)
        await self._get_shard(name).publish(name, message)

    async def send(self, channel: str, message: Message) -> None:
        await self._get_shard(channel).publish(channel, message)

    async def _subscribe_to_channel(self, channel: str) -> None:
        self.channels[channel] = asyncio.Queue(QUEUE_MESSAGES)
        await self._get_shard(channel).subscribe(channel)

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Return a name for a consumer of this process. Nobody sends to it but groups, so Redis need not know it."""
        channel = f"{self.prefix}{prefix}{random.getrandbits(96):024x}"
        self.channels[channel] = asyncio.Queue(QUEUE_MESSAGES)
        return channel

    async def receive(self, channel: str) -> Message:
        message: Message = await self.channels[channel].get()
        return message

    def listen(self, channel: str, sink: Sink) -> None:
        """Hand this channel's messages to ``sink`` where they arrive, instead of queueing them."""
        self._audience.listen(channel, sink)

    async def flush(self) -> None:
        """Make the layer like new. The channels are emptied, not replaced: the audience looks at the same ones."""
        self._audience.forget_all()
        for shard in self._shards:
            await shard.flush()

    def forget_channel(self, channel: str) -> None:
        self._audience.forget(channel)
