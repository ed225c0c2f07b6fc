"""Answers as people read them, where no script does it: Markdown as HTML, sanitised.

The same rules as the page's own (static/tether/page/markdown.js): no raw HTML, no images, links to http and https only.
"""

import re
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

ADDRESS = re.compile(r"https?://", re.IGNORECASE)
# Headings of an answer stand below those of the page.
DEEPER = 2
TEXT_TAGS = {"a", "blockquote", "br", "code", "em", "h3", "h4", "h5", "h6", "hr", "p", "pre", "s", "strong"}
TAGS = TEXT_TAGS | {"li", "ol", "ul", "table", "thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {"a": {"href"}, "code": {"class"}, "ol": {"start"}, "td": {"align"}, "th": {"align"}}
LANGUAGE = re.compile(r"language-[\w+#.-]{1,20}", re.ASCII)


def render_markdown(text: str) -> str:
    """Return the text as HTML that is safe in a page."""
    tokens = _markdown.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + DEEPER, 6)}"
        elif token.type in ("th_open", "td_open"):
            _align(token)
    html = _markdown.renderer.render(tokens, _markdown.options, {})
    return nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=_keep,
        url_schemes={"http", "https"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}, "pre": {"tabindex": "0"}},
    )


def _align(token: Token) -> None:
    """The library aligns cells by inline style, which the page's policy forbids."""
    style = str(token.attrs.pop("style", ""))
    if style:
        token.attrs["align"] = style.removeprefix("text-align:")


def _keep(tag: str, name: str, value: str) -> str | None:
    return value if tag != "code" or LANGUAGE.fullmatch(value) else None


def _image(renderer: RendererHTML, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    """A picture is a link to it: showing it would tell its host who reads."""
    token = tokens[index]
    link = Token("link_open", "a", 1, attrs={"href": str(token.attrs.get("src", ""))})
    words = renderer.renderInlineAsText(token.children, options, env) or str(token.attrs.get("src", ""))
    return renderer.renderToken([link], 0, options, env) + _escape(words) + "</a>"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _make() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "breaks": True, "linkify": True})
    made.enable(["table", "strikethrough", "linkify"])
    made.validateLink = lambda url: ADDRESS.match(url) is not None  # type: ignore[method-assign]
    assert made.linkify is not None
    made.linkify.set({"fuzzy_link": False, "fuzzy_email": False})
    made.add_render_rule("image", _image)
    return made


_markdown = _make()
