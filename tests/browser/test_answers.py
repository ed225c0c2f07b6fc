"""Answers as people read them: Markdown while it is written, and nothing else, whatever a model says."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(180)
PAYLOADS = [line.replace("\\n", "\n") for line in Path(__file__).with_name("payloads.txt").read_text().splitlines()]
NOTES = """a few notes

## Tea

Use **fresh** water; see [the manual](https://example.org/tea).

| Tea | Minutes |
|:--|--:|
| Green | 2 |

```python
def brew(minutes):
    return f"after {minutes} min"
```

Done."""

# Runs in the page: what is in an element that should not be. An empty list is good.
INSPECT = """
window.hacks = 0;
window.hacked = () => { window.hacks += 1; };
window.inspect = (root) => {
  const tags = new Set(("a blockquote br button code del div em h3 h4 h5 h6 hr li ol p pre span strong table tbody " +
    "td th thead tr ul").split(" "));
  const names = new Set(["align", "class", "href", "rel", "start", "tabindex", "target", "type"]);
  const found = [];
  for (const element of root.querySelectorAll("*")) {
    if (!tags.has(element.localName)) found.push(`<${element.localName}>`);
    for (const { name, value } of element.attributes) {
      if (!names.has(name)) found.push(`${name}=${value}`);
      if (name === "href" && !/^https?:$/.test(new URL(element.href).protocol)) found.push(value);
      if (name === "href" && !/^https?:/i.test(value)) found.push(value);
    }
  }
  return found;
};
0;
"""
SPLIT = """async (payloads) => {
  const { Growing, show } = await import("/static/tether/page/rich.js");
  const box = document.createElement("div");
  document.body.append(box);
  const found = [];
  let shown = 0;
  for (const payload of payloads) {
    show(box, payload);
    found.push(...inspect(box).map((each) => [payload, -1, each]));
    for (let at = 1; at < payload.length; at += 1) {
      box.replaceChildren();
      const growing = new Growing(box, 0);
      for (const text of [payload.slice(0, at), payload]) {
        growing.show(text);
        shown += 1;
        found.push(...inspect(box).map((each) => [payload, at, each]));
      }
    }
  }
  await new Promise((resolve) => setTimeout(resolve)); // a handler of an image would run by now, or later below
  box.remove();
  return { found: found.slice(0, 20), shown, hacks: window.hacks };
}"""


@pytest.fixture(scope="module")
def reader(request, cluster, chromium, people):
    """One window for this file; each test begins a conversation of its own."""
    from .conftest import Browsers

    opened = Browsers(cluster, chromium, *next(people))
    yield opened()
    opened.close()


def answer_in(window, index=-1):
    return window.page.locator("#lines .message[data-role=assistant] .text").nth(index)


def test_an_answer_is_markdown_while_it_is_written_and_afterwards(reader):
    reader.begin()
    reader.page.evaluate(INSPECT)
    reader.say(NOTES)
    expect(reader.page.locator("#writing .fresh h4")).to_have_text("Tea", timeout=20_000)
    reader.wait_for_lines(2)
    answer = answer_in(reader)
    expect(answer.locator("strong")).to_have_text("fresh")
    expect(answer.locator("td").last).to_have_css("text-align", "right")
    expect(answer.locator("a")).to_have_attribute("href", "https://example.org/tea")
    expect(answer.locator("a")).to_have_attribute("rel", "noopener noreferrer nofollow")
    expect(answer.locator("a")).to_have_attribute("target", "_blank")
    expect(answer.locator(".hljs-keyword").first).to_have_text("def")
    assert answer.evaluate("inspect") == []


def test_code_is_copied_as_it_was_written(reader):
    reader.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    reader.begin()
    reader.say("x\n\n```python\nif a < b:\n    print('&')\n```")
    reader.wait_for_lines(2)
    answer_in(reader).locator(".copy").click()
    expect(answer_in(reader).locator(".copy")).to_have_text("Copied")
    assert reader.page.evaluate("navigator.clipboard.readText()") == "if a < b:\n    print('&')\n"


def test_no_payload_gets_through_wherever_it_is_split(reader):
    reader.page.evaluate(INSPECT)
    outcome = reader.page.evaluate(SPLIT, PAYLOADS)
    assert outcome["found"] == []
    assert outcome["shown"] == 2 * sum(len(payload) - 1 for payload in PAYLOADS)
    assert outcome["hacks"] == 0


def test_the_inspection_itself_finds_a_planted_payload(reader):
    reader.page.evaluate(INSPECT)
    planted = """() => {
      const apart = new DOMParser().parseFromString('<a href="javascript:1">x</a><b id="x">y</b>', "text/html");
      return inspect(apart.body);
    }"""
    assert reader.page.evaluate(planted) == ["javascript:1", "javascript:1", "<b>", "id=x"]


def test_payloads_through_the_server_are_text_live_and_after_a_reload(reader):
    reader.begin()
    reader.page.evaluate(INSPECT)
    reader.say("\n\n".join(PAYLOADS[1::3]))
    reader.wait_for_lines(2, seconds=60)
    assert answer_in(reader).evaluate("inspect") == []
    assert "<img src=x onerror=hacked()>" in answer_in(reader).text_content()
    reader.page.reload()
    reader.wait_for_state("live")
    reader.page.evaluate(INSPECT)
    reader.wait_for_lines(2)
    assert answer_in(reader).evaluate("inspect") == []
    assert reader.page.evaluate("window.hacks") == 0


def test_a_long_answer_stays_cheap_while_it_grows(reader):
    grow = """async () => {
      const { Growing } = await import("/static/tether/page/rich.js");
      const box = document.createElement("div");
      document.body.append(box);
      const growing = new Growing(box, 0);
      const paragraph = "Some **bold** words, `code` and a [link](https://a.example/).\\n\\n";
      const times = [];
      for (let count = 1; count <= 1500; count += 1) {
        const began = performance.now();
        growing.show(paragraph.repeat(count));
        times.push(performance.now() - began);
      }
      const blocks = box.childElementCount;
      box.remove();
      const mean = (part) => part.reduce((sum, each) => sum + each, 0) / part.length;
      return { blocks, early: mean(times.slice(100, 300)), late: mean(times.slice(-200)) };
    }"""
    cost = reader.page.evaluate(grow)
    assert cost["blocks"] == 1500
    assert cost["late"] < 3 * cost["early"] + 2, (
        cost
    )  # milliseconds; rendering the whole anew would take 15 times as long
