"""What a text is shown as where there is room for a line only: in the list, among what was found, as a title.

Markdown is for those who have room: here it is plain text. Pure functions.
"""

import re
from functools import lru_cache
from typing import Any

from django.conf import settings

PREVIEW_CHARACTERS = 120
TITLE_CHARACTERS = 60
# Kana, ideographs, Hangul: scripts without spaces, which may be cut anywhere.
SPACELESS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"

# Most messages have none of these, and every message comes by here.
_SIGNS = re.compile(r"[*_`~\[\\]|^[ \t]*[#>|+-]", re.MULTILINE)
# In this order. Each looks at a text of some hundred characters only.
_BLOCKS = [
    (re.compile(r"^[ \t]*(```|~~~).*$", re.MULTILINE), ""),  # a fence, with the language's name
    (re.compile(r"^[ \t]*(?:[-*_][ \t]*){3,}$", re.MULTILINE), ""),  # a line across
    (re.compile(r"^[ \t|]*:?-{2,}[-:| \t]*$", re.MULTILINE), ""),  # under a table's head
    (re.compile(r"^[ \t]*\|(.*)\|[ \t]*$", re.MULTILINE), lambda row: row[1].replace("|", " ")),
    (re.compile(r"^[ \t]*(?:>[ \t]?)+", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*#{1,6}[ \t]+", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*[-*+][ \t]+(?:\[[ xX]\][ \t]+)?", re.MULTILINE), ""),
    (re.compile(r"!?\[([^\]\n]*)\]\([^)\s]*(?:\)|$)"), r"\1"),  # a link; its end may be cut off
]
_CODE = re.compile(r"`+([^`\n]*)`+")
# Not within a word, as in 2*3*4 or a_name_like_this; but letters of a script without spaces may stand beside it.
_EMPHASES = [
    (re.compile(r"(?<![0-9A-Za-z])(\*\*|~~)(?=\S)(.+?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<![\w*\\])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<!\w)(__?)(?=[^\s_])([^_\n]+?)(?<=\S)\1(?!\w)"), r"\2"),
    (re.compile(r"(?<!\w)(?:\*\*|`+)(?=\S)"), ""),  # begun, and cut off before its end
    (re.compile(r"\\([!-/:-@\[-`{-~])"), r"\1"),
]
_BREAK = re.compile(rf" |(?<=[{SPACELESS}])|(?=[{SPACELESS}])")


@lru_cache(maxsize=1)  # preview and title are made of the same beginning
def plain_of(text: str) -> str:
    """Return a part of a text on one line, without the signs of Markdown."""
    if _SIGNS.search(text):
        text = _without(_BLOCKS, text)
        parts = _CODE.split(text)
        text = "".join(part if index % 2 else _without(_EMPHASES, part) for index, part in enumerate(parts))
    return " ".join(text.split())


def _without(signs: list[tuple[re.Pattern[str], Any]], text: str) -> str:
    for pattern, words in signs:
        text = pattern.sub(words, text)
    return text


def preview_of(content: str) -> str:
    return plain_of(content[: PREVIEW_CHARACTERS * 2])[:PREVIEW_CHARACTERS]


def title_of(content: str) -> str:
    """Return the title that a text gives: its first words, at most 60 characters, whole ones where that can be.

    The scripted model's titles are the first 60 characters as they are: its contract with tests and benchmarks.
    """
    beginning = content[: PREVIEW_CHARACTERS * 2]
    if settings.CHAT_MODEL == "scripted":
        return " ".join(beginning.split())[:TITLE_CHARACTERS]
    words = plain_of(beginning)
    if len(words) <= TITLE_CHARACTERS:
        return words
    room = TITLE_CHARACTERS - 1
    end = words.rfind(" ", 0, room + 1)
    if not words.isascii():
        end = max((found.start() for found in _BREAK.finditer(words, 0, room + 1) if found.start() <= room), default=0)
    return words[: end if end > TITLE_CHARACTERS // 3 else room].rstrip(" ,;:.-–—") + "…"
