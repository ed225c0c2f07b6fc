import pytest

from conversations.gist import TITLE_CHARACTERS, plain_of, preview_of, title_of
from conversations.search import parse, snippet_of


@pytest.fixture
def any_model(settings):
    settings.CHAT_MODEL = "local"


@pytest.mark.parametrize(
    ("markdown", "plain"),
    [
        ("# Tea\n\nFor **two** people, *gently*.", "Tea For two people, gently."),
        ("- [x] milk\n* tea\n> said _she_", "milk tea said she"),
        ("```python\nprint(1)\n```\nrun `a_b_c` and `x*y*z`", "print(1) run a_b_c and x*y*z"),
        ("| a | b |\n|---|:-:|\n| 1 | 2 |", "a b 1 2"),
        ("see [the **docs**](https://a.b/c?d=1) and ![a cat](x.png)", "see the docs and a cat"),
        ("cut off [a link](https://exam", "cut off a link"),
        ("cut off **bold te", "cut off bold te"),
        ("这是**粗体**文字", "这是粗体文字"),
        ("one\n\n---\n\ntwo ~~three~~", "one two three"),
        ("\\*not\\* so", "*not* so"),
        ("2*3*4 2**8 a_b_c -5 + 6, x | y & #1 __init", "2*3*4 2**8 a_b_c -5 + 6, x | y & #1 __init"),
    ],
)
def test_markdown_is_shown_as_plain_text_and_everything_else_as_it_is(markdown: str, plain: str) -> None:
    assert plain_of(markdown) == plain


def test_a_preview_is_one_line_of_bounded_length() -> None:
    assert preview_of(f"**a**\n{'b ' * 400}") == "a " + "b " * 59


def test_a_title_ends_at_the_end_of_a_word(any_model) -> None:
    text = "How do I brew *green tea* for a dozen people, none of whom agree on anything?"
    assert title_of(text) == "How do I brew green tea for a dozen people, none of whom…"
    assert title_of("short **words**") == "short words"
    exact = "a" * 29 + " " + "b" * 30
    assert title_of(exact) == exact


def test_a_title_without_spaces_ends_at_a_letter(any_model) -> None:
    assert title_of("绿茶" * 50) == "绿茶" * 29 + "绿…"
    assert title_of("x" * 80) == "x" * 59 + "…"
    mixed = title_of("请告诉我" * 13 + "greenteaforeverybody")
    assert mixed == "请告诉我" * 13 + "…"


@pytest.mark.parametrize("text", ["word " * 40, "绿茶" * 60, "a" * 300, "a-b " * 60])
def test_no_title_is_too_long(any_model, text: str) -> None:
    assert TITLE_CHARACTERS - 10 <= len(title_of(text)) <= TITLE_CHARACTERS


def test_the_scripted_models_titles_are_what_its_contract_says(settings) -> None:
    settings.CHAT_MODEL = "scripted"
    text = "These are words of which sixty characters end somewhere inside one"
    assert title_of(text) == text[:60]


def test_what_was_found_is_shown_without_markdown_as_long_as_the_word_is_in_it() -> None:
    text = "# Tea\n\nBrew **green** tea, see [here](https://example.org/kettle)."
    assert snippet_of(text, parse("green")) == "Tea Brew green tea, see here."
    assert "kettle" in snippet_of(text, parse("kettle"))
