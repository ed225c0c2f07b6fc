"""The names of all keys in Redis, one function a kind.

Keys of a conversation carry the hash tag of its partition, so that one script may touch the conversation,
its turns, its checkpoints and the partition's work queues at once, on Redis Cluster too.
Keys of a user carry the user's tag.
"""

from functools import lru_cache
from zlib import crc32

PARTITIONS = 32
TAGS = [f"{{p{number:02d}}}" for number in range(PARTITIONS)]


@lru_cache(maxsize=10_000)
def tag(conversation_id: str) -> str:
    """Return the hash tag of the conversation's partition, for example ``{p07}``."""
    return TAGS[crc32(conversation_id.encode()) % PARTITIONS]


def log(conversation_id: str) -> str:
    """Stream: entry ``<seq>-0``; fields k = kind, c = chain, b = body, and x = private facts."""
    return f"{tag(conversation_id)}:log:{conversation_id}"


def meta(conversation_id: str) -> str:
    """Hash: epoch, seq, chain, state, cleared, archived, and the session's title and topic."""
    return f"{tag(conversation_id)}:meta:{conversation_id}"


def members(conversation_id: str) -> str:
    """Hash: user id -> role."""
    return f"{tag(conversation_id)}:members:{conversation_id}"


def reads(conversation_id: str) -> str:
    """Hash: ``r<user id>`` -> seq read, ``u<user id>`` -> count of unread messages, ``j<user id>`` -> seq joined at."""
    return f"{tag(conversation_id)}:reads:{conversation_id}"


def sent(conversation_id: str, author: str, client_id: str) -> str:
    """String ``<seq> <message id>``, kept 7 days: what this client_id (or turn, or command) became."""
    return f"{tag(conversation_id)}:sent:{conversation_id}:{author}:{client_id}"


def turns(conversation_id: str) -> str:
    """List: ids of unfinished turns, in order; the head is the one that runs or is next."""
    return f"{tag(conversation_id)}:turns:{conversation_id}"


def turn(conversation_id: str, turn_id: str) -> str:
    """Hash: seq, message_id, user, status, attempt, node, times in ms of Redis' clock."""
    return f"{tag(conversation_id)}:turn:{turn_id}"


def pieces(conversation_id: str, turn_id: str) -> str:
    """List: the pieces 1..n of the answer being written by the current attempt."""
    return f"{tag(conversation_id)}:pieces:{turn_id}"


def superseded(conversation_id: str) -> str:
    """ZSET ``<from> <to> <at> <by> <turn> <asked>`` -> to: messages in whose place others came; supersede.lua."""
    return f"{tag(conversation_id)}:superseded:{conversation_id}"


def due(partition_tag: str) -> str:
    """ZSET: conversation -> ms of Redis' clock at which its head turn may be claimed."""
    return f"{partition_tag}:due"


def dirty(partition_tag: str) -> str:
    """ZSET: conversation -> ms since when it has entries that are not archived yet."""
    return f"{partition_tag}:dirty"


def parked(partition_tag: str) -> str:
    """Hash: conversation -> ``<epoch> <seq> <chain>`` of a log that lies whole in the archive."""
    return f"{partition_tag}:parked"


def feed(user_id: str) -> str:
    """Stream: the user's own log, entry ``<seq>-0``; its newest 1,000."""
    return f"{{u:{user_id}}}:feed"


def feed_meta(user_id: str) -> str:
    """Hash: epoch, seq, chain of the feed."""
    return f"{{u:{user_id}}}:feedmeta"


def bucket(user_id: str, kind: str) -> str:
    """Hash: ``tokens`` left and ``at``, µs of Redis' clock; gone once the bucket is full again."""
    return f"{{u:{user_id}}}:bucket:{kind}"


def user_connections(user_id: str) -> str:
    """ZSET: JSON [connection id, device id, node, device name] -> ms of Redis' clock at which it lapses."""
    return f"{{u:{user_id}}}:conns"


def address_connections(address: str) -> str:
    """ZSET: connection id -> ms of Redis' clock at which it lapses."""
    return f"{{a:{address}}}:conns"


# Stream: fields kind, user, value; the newest 10,000 log-outs and revocations.
REVOCATIONS = "{revocations}"


def erase(partition_tag: str) -> str:
    """ZSET: deleted conversation -> ms at which everything of it is erased."""
    return f"{partition_tag}:erase"


def told(user_id: str, conversation_id: str) -> str:
    """Hash head, ms: what the user's feed last said of a conversation. Expires a day after."""
    return f"{{u:{user_id}}}:told:{conversation_id}"


def told_joined(user_id: str, conversation_id: str) -> str:
    """Hash head, ms: since which seq the user's feed knows that they are in it. Expires a day after."""
    return f"{{u:{user_id}}}:joined:{conversation_id}"


def command(user_id: str, command_id: str) -> str:
    """String, 24 h: the first result of a command, so that a repeat gets the same."""
    return f"{{u:{user_id}}}:command:{command_id}"


def erasing(partition_tag: str) -> str:
    """ZSET: conversation whose erasing has begun and cannot be undone any more -> ms at which it was due."""
    return f"{partition_tag}:erasing"


def bringing(conversation_id: str) -> str:
    """String, some seconds: one caller is bringing this log back from the archive."""
    return f"{tag(conversation_id)}:bringing:{conversation_id}"


# String with an expiry: the node that archives now.
ARCHIVER = "tether:archiver"
# String: the run id of the Redis whose logs were compared with the archive.
VERIFIED = "tether:verified"
# String: the id of the database that this Redis belongs to.
DATABASE = "tether:database"

# ZSET: node -> ms of its own clock at its latest record; forgotten a day later.
NODES = "tether:nodes"
# ZSET: a notice of the operators, as JSON -> the Unix time until which it stands; 20 at most.
NOTICES = "tether:notices"
# ZSET: hash of an entry of the audit journal -> its seq; the newest 100 that were the journal's end.
AUDIT = "tether:audit"
# ZSET: the same of about each 100th entry, kept for ever.
AUDIT_STONES = "tether:audit:stones"


def node(name: str) -> str:
    """String, a few seconds: a node's record of itself as JSON."""
    return f"node:{name}"


def first_conversation(user_id: str) -> str:
    """String, 10 s: the id of the conversation that is being made for a user who has none."""
    return f"{{u:{user_id}}}:first"


def wishes(user_id: str) -> str:
    """String, a day: the person's own instructions, as the database has them."""
    return f"{{u:{user_id}}}:wishes"
