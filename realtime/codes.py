"""The numbers and names of the wire: limits, error codes, close codes. The docs are made from them."""

from dataclasses import dataclass
from enum import IntEnum

from conversations import errors

PROTOCOL_VERSION = 1

MAX_FRAME_BYTES = 256 * 1024
MAX_FRAME_DEPTH = 32
MAX_BATCH_FRAMES = 1_000
MAX_CONTENT_CHARACTERS = 32_000
MAX_ANSWER_BYTES = 128 * 1024
MAX_NAME_CHARACTERS = 200
MAX_COMMENT_CHARACTERS = 2_000
MAX_PAGE_ITEMS = 100
MAX_INSTRUCTIONS = 4_000
MAX_SHARE_DAYS = 3_650
DEFAULT_PAGE_ITEMS = 50
MAX_REPLAY_ENTRIES = 10_000
MAX_BAD_FRAMES = 20
MAX_UNANSWERED_FRAMES = 64
# Through JavaScript, an integer is exact only below this.
MAX_INTEGER = 2**53 - 1

# What `ready` tells a client under `limits`.
LIMITS: dict[str, int] = {
    "frame_bytes": MAX_FRAME_BYTES,
    "frame_depth": MAX_FRAME_DEPTH,
    "batch_frames": MAX_BATCH_FRAMES,
    "content_characters": MAX_CONTENT_CHARACTERS,
    "answer_bytes": MAX_ANSWER_BYTES,
    "page_items": MAX_PAGE_ITEMS,
    "replay_entries": MAX_REPLAY_ENTRIES,
    "unanswered_frames": MAX_UNANSWERED_FRAMES,
}


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One code of the `error` frame; ``retryable`` is what its frames say."""

    code: str
    when: str
    retryable: bool


def _coded(error: type[errors.TetherError], when: str) -> ErrorCode:
    return ErrorCode(error.code, when, error.retryable)


ERROR_CODES: dict[str, ErrorCode] = {
    row.code: row
    for row in (
        _coded(errors.InvalidMessage, "the frame is no JSON, or a field is missing or not what it should be"),
        _coded(errors.UnknownMessageType, "no frame has this `type`"),
        _coded(errors.UnknownCommand, "no command has this name, or this server does not have it yet"),
        _coded(errors.TooLarge, "the frame, the batch or a text in it is over its limit"),
        _coded(errors.Unauthenticated, "the socket has not shown who it is"),
        _coded(errors.Forbidden, "not yours, or not there: the answer is the same for both"),
        _coded(errors.Conflict, "someone else was first, or `if_seq` is stale; `data` holds the head"),
        _coded(errors.RateLimited, "too much at once; once more after `retry_after`"),
        _coded(errors.Unavailable, "something the server needs does not answer; once more after `retry_after`"),
        _coded(errors.TetherError, "a fault of the server, in its log under the id in `data`"),
    )
}


class CloseCode(IntEnum):
    """Codes with which a socket ends. After a number the client cannot know, it reconnects."""

    NORMAL = 1000
    GOING_AWAY = 1001
    ABNORMAL = 1006
    NOT_UTF8 = 1007
    TOO_BIG = 1009
    INTERNAL = 1011
    RESTART = 1012
    BAD_PROTOCOL = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    SLOW = 4408
    TOO_MANY_CONNECTIONS = 4409
    VERSION = 4426
    RATE = 4429


RECONNECT = "passing: reconnects after a full-jitter backoff of 0.5-30 s, not before `retry_after`"
LOG_IN = "logs in again"
STOP = "final: stops and says so"

# What each close means, and what the client does about it.
CLOSES: dict[CloseCode, tuple[str, str]] = {
    CloseCode.NORMAL: ("done", RECONNECT),
    CloseCode.GOING_AWAY: ("the page or the server leaves", RECONNECT),
    CloseCode.ABNORMAL: ("the network broke; never sent", RECONNECT),
    CloseCode.TOO_BIG: ("a WebSocket message over the transport's own limit", RECONNECT),
    CloseCode.INTERNAL: ("a fault of the server; no input causes it", RECONNECT),
    CloseCode.RESTART: ("the node is being restarted", RECONNECT),
    CloseCode.SLOW: ("the client confirmed nothing for too long, or missed two heartbeats", RECONNECT),
    CloseCode.TOO_MANY_CONNECTIONS: ("the user or the address has too many sockets", RECONNECT),
    CloseCode.RATE: ("too many frames that the server has not answered yet", RECONNECT),
    CloseCode.UNAUTHENTICATED: ("not authenticated, or no longer", LOG_IN),
    CloseCode.BAD_PROTOCOL: ("too many bad frames in a row, or not a text frame", STOP),
    CloseCode.NOT_UTF8: ("a text frame that is not UTF-8", STOP),
    CloseCode.FORBIDDEN: ("this origin or user may not connect", STOP),
    CloseCode.VERSION: ("client and server share no protocol version", STOP),
}
