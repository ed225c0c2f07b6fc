"""The text of an answer: what a frame can carry, and no more than an answer may hold."""

import orjson

# As JSON, quotes and escapes included (docs/protocol.md).
ANSWER_BYTES = 128 * 1024


def clean(text: str) -> str:
    """Return the text with lone surrogates replaced: some servers cut characters apart, UTF-8 has no way to say so."""
    return text.encode("utf-8", "replace").decode()


class Limit:
    """Passes pieces on until their JSON reaches ANSWER_BYTES; pieces and whole text are cut at the same place."""

    def __init__(self) -> None:
        self.room_bytes = ANSWER_BYTES - 2

    def take(self, piece: str) -> str:
        piece = clean(piece)
        size = _size_bytes(piece)
        if size > self.room_bytes:
            piece = self._cut(piece)
            self.room_bytes = 0
        else:
            self.room_bytes -= size
        return piece

    def _cut(self, piece: str) -> str:
        low, high = 0, len(piece)
        while low < high:
            middle = (low + high + 1) // 2
            if _size_bytes(piece[:middle]) <= self.room_bytes:
                low = middle
            else:
                high = middle - 1
        return piece[:low]


def _size_bytes(text: str) -> int:
    return len(orjson.dumps(text)) - 2
