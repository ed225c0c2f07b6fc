"""Plain text frames of a WebSocket: final, unfragmented and short, as nearly all are (RFC 6455, section 5.2)."""

from collections.abc import Callable

Listener = Callable[[str | None], None]


def take_texts(data: bytes, listener: Listener, is_open: Callable[[], bool]) -> bytes:
    """Hand over the whole plain text frames that the data begins with; return the rest."""
    start = 0
    while is_open() and (found := plain_text(data, start)) is not None:
        text, start = found
        listener(text)
    return data[start:] if start else data


def plain_text(data: bytes, start: int) -> tuple[str, int] | None:
    """Return the text of the frame that starts there, and where the next one does.

    None unless the frame is whole, final, masked, shorter than 64 KiB and UTF-8 (RFC 6455, section 5.2).
    """
    begin = start + 6
    if len(data) < begin or data[start] != 0x81:
        return None
    length = data[start + 1] - 0x80
    if length < 0 or length == 127:
        return None
    if length == 126:
        begin += 2
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        if length < 126:
            return None
    end = begin + length
    if len(data) < end:
        return None
    mask = data[begin - 4 : begin] * (length // 4 + 1)
    masked = int.from_bytes(data[begin:end], "little") ^ int.from_bytes(mask[:length], "little")
    try:
        return masked.to_bytes(length, "little").decode(), end
    except UnicodeDecodeError:
        return None


def frame_head(length: int) -> bytes:
    """Return the head of a final, unmasked text frame (RFC 6455, section 5.2)."""
    if length < 126:
        return bytes((0x81, length))
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")
