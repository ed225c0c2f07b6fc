"""What the assistant is asked to remember about a person: LangGraph's store on Redis, each person's own.

Facts are kept CHAT_MEMORY_DAYS after they were last read. The package's store searches namespaces by prefix and
revives objects by name; so a namespace here has a fixed width and is compared again, and a value is plain text.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from django.conf import settings
from langgraph.store.base import BaseStore, SearchItem
from langgraph.store.base.batch import AsyncBatchedBaseStore
from langgraph.store.redis.aio import AsyncRedisStore
from redisvl.index import AsyncSearchIndex

from conversations import store

from . import keys

MOST_FACTS = 100
FACT_CHARACTERS = 500
SCHEMA = {
    "index": {"name": keys.MEMORY, "prefix": f"{keys.MEMORY}:", "storage_type": "json"},
    "fields": [{"name": "prefix", "type": "text"}, {"name": "key", "type": "tag"}],
}
RECALLED = 20


class _Index(AsyncSearchIndex):
    """Gives each document its time to live in the write that stores it; the package does it in one of its own."""

    async def load(self, data: Iterable[Any], *args: Any, **more: Any) -> list[str]:
        ttl_seconds = int(settings.CHAT_MEMORY_DAYS * 86_400)
        stored: list[str] = await super().load(data, *args, **{**more, "ttl": ttl_seconds})
        return stored


class MemoryStore(AsyncRedisStore):
    """One an event loop. Keys ``memory:<ulid>``: JSON, each with a time to live."""

    def __init__(self) -> None:
        # Not the package's own beginning: it makes a synchronous index first, which newer redisvl refuses.
        AsyncBatchedBaseStore.__init__(self)
        self._redis, self._owns_its_client, self.cluster_mode = store.client(), False, False
        self.index_config = None
        self.ttl_config = {"default_ttl": settings.CHAT_MEMORY_DAYS * 24 * 60, "refresh_on_read": True}
        self.store_prefix, self.vector_prefix = keys.MEMORY, f"{keys.MEMORY}_vectors"
        self.store_index = _Index.from_dict(SCHEMA, redis_client=self._redis)

    async def setup(self) -> None:
        """Create the search index, if no other node has. Raises Unavailable."""
        with store.mapped_errors():
            try:
                await self.store_index.create(overwrite=False)
            except Exception as error:
                # Between its look and its creation another node was faster.
                if "already exists" not in f"{error} {error.__cause__}".lower():
                    raise

    # Plain values in, plain values out: the package would import and make whatever a stored value names.
    def _serialize_value(self, value: Any) -> Any:
        return value

    def _deserialize_value(self, value: Any) -> Any:
        return value


def _namespace(user_id: str) -> tuple[str]:
    return (keys.memory_namespace(user_id),)


def _key(user_id: str, fact: str) -> str:
    # Carries the user, since the package deletes by key before it writes; the same fact is one key, said twice or not.
    return f"{user_id}x{sha256(fact.casefold().encode()).hexdigest()[:24]}"


async def _facts(memory: BaseStore, user_id: str, *, is_used: bool = False) -> list[SearchItem]:
    """Return what is remembered of the user, the newest first; ``is_used`` begins its time to live anew."""
    namespace = _namespace(user_id)
    with store.mapped_errors():
        found = await memory.asearch(namespace, limit=MOST_FACTS * 2, refresh_ttl=is_used)
    mine = [item for item in found if item.namespace == namespace]
    return sorted(mine, key=lambda item: item.created_at, reverse=True)


async def remember(memory: BaseStore, user_id: str, fact: str) -> str:
    """Keep one fact and say so. The same again is the same one."""
    fact = " ".join(fact.split())[:FACT_CHARACTERS]
    if not fact:
        return "There was nothing to remember."
    if len(await _facts(memory, user_id)) >= MOST_FACTS:
        return f"Not remembered: there are {MOST_FACTS} facts already. Forget some first."
    with store.mapped_errors():
        await memory.aput(_namespace(user_id), _key(user_id, fact), {"fact": fact})
    return f"Remembered: {fact}"


async def recall(memory: BaseStore, user_id: str, about: str = "") -> str:
    """Return what is remembered, a line each; where words are given, what shares most of them first."""
    facts = [str(item.value.get("fact", "")) for item in await _facts(memory, user_id, is_used=True)]
    words = about.casefold().split()
    facts.sort(key=lambda fact: -sum(word in fact.casefold() for word in words))
    return "\n".join(facts[:RECALLED]) or "Nothing is remembered yet."


async def forget(memory: BaseStore, user_id: str, about: str) -> str:
    """Drop every fact that contains these words, and say which."""
    wanted = " ".join(about.split()).casefold()
    gone = [
        item for item in await _facts(memory, user_id) if wanted and wanted in str(item.value.get("fact")).casefold()
    ]
    with store.mapped_errors():
        for item in gone:
            await memory.adelete(_namespace(user_id), item.key)
    return "\n".join(f"Forgotten: {item.value['fact']}" for item in gone) or "Nothing like that was remembered."
