"""The names of the checkpoints' keys. They carry the conversation's tag, so one script may touch them all.

A thread is a conversation. ``ns`` is LangGraph's namespace: empty for our graph, a path for its subgraphs.
"""

from conversations.keys import TAGS, tag

# Every checkpoint document begins with one of these; the search index covers exactly them.
PREFIXES = [f"{each}:checkpoint:" for each in TAGS]


def prefix(thread_id: str) -> str:
    """Prefix of the thread's documents: JSON, one a checkpoint, at ``<prefix><ns>:<checkpoint id>``."""
    return f"{tag(thread_id)}:checkpoint:{thread_id}:"


def writes_prefix(thread_id: str) -> str:
    """Prefix of hashes ``<prefix><ns>:<checkpoint id>``: ``<task id>,<index>`` -> JSON of one pending write."""
    return f"{tag(thread_id)}:checkpoint_writes:{thread_id}:"


def heads(thread_id: str) -> str:
    """Hash: ns -> id of the newest checkpoint."""
    return f"{tag(thread_id)}:checkpoint_heads:{thread_id}"


def order(thread_id: str) -> str:
    """ZSET: ``<turn id>|<ns>:<checkpoint id>`` -> microseconds of Redis' clock, strictly rising."""
    return f"{tag(thread_id)}:checkpoint_order:{thread_id}"


# Of what the assistant is asked to remember: JSON documents `memory:<ulid>` and the search index over them.
MEMORY = "memory"


def memory_namespace(user_id: str) -> str:
    """The `prefix` of a person's documents; of a fixed width, since the store searches by its beginning."""
    return f"user{user_id:0>20}"


def recap(thread_id: str) -> str:
    """String: JSON [text, id of the last message in it], what a model wrote; expires as checkpoints do."""
    return f"{tag(thread_id)}:recap:{thread_id}"
