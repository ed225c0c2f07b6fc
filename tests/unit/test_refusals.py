"""What the page says in words of its own is said word for word somewhere in the server."""

from pathlib import Path

import pytest

from conversations.refusals import SENTENCES

ROOT = Path(__file__).parents[2]
SOURCES = "".join(
    path.read_text()
    for app in ("conversations", "realtime")
    for path in (ROOT / app).glob("*.py")
    if path.name != "refusals.py"
)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_each_refusal_is_raised_in_these_words(sentence):
    assert f'"{sentence}"' in SOURCES
