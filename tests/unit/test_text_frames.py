"""Plain text frames are read as RFC 6455 has them, wherever the network cuts; any other is left to Autobahn."""

import os

import pytest

from chatproject.text_frames import take_texts


def frame(text, first=0x81):
    payload, mask = text.encode(), os.urandom(4)
    length = len(payload)
    size = bytes((0x80 | length,)) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    return bytes((first,)) + size + mask + bytes(each ^ mask[i % 4] for i, each in enumerate(payload))


def taken(data):
    texts = []
    return take_texts(data, texts.append, lambda: True), texts


@pytest.mark.parametrize("length", [0, 1, 3, 124, 125, 126, 127, 128, 255, 256, 65535])
def test_a_frame_of_any_length_is_taken_whole_wherever_it_is_cut(length):
    texts = ["before", "é" * (length // 2) + "x" * (length % 2), "after"]
    data = b"".join(map(frame, texts))
    for cut in {*range(min(len(data), 300)), len(data) - 1, len(data)}:
        rest, first = taken(data[:cut])
        left, second = taken(rest + data[cut:])
        assert (first + second, left) == (texts, b"")


@pytest.mark.parametrize("first", [0x01, 0x80, 0x82, 0x88, 0x89, 0xC1])
def test_other_frames_and_all_after_them_are_left_alone(first):
    data = frame("a") + frame("b", first) + frame("c")
    assert taken(data) == (data[len(frame("a")) :], ["a"])


def test_what_a_client_may_not_send_is_left_alone():
    for data in (b"\x81\x01a" + bytes(9), b"\x81\xfe\x00\x05" + bytes(20), b"\x81\x81" + bytes(4) + b"\xff"):
        assert taken(data) == (data, [])
