import assert from "node:assert/strict";
import { test } from "node:test";

import { blocks, normal, toHtml } from "../../static/tether/page/markdown.js";

const html = (text) => toHtml(blocks(text));

test("markup of others is text", () => {
  assert.equal(html("<b>x</b><script>alert(1)</script>"), "<p>&lt;b&gt;x&lt;/b&gt;&lt;script&gt;alert(1)&lt;/script&gt;</p>\n");
  assert.equal(html("<div onclick=x>\n**a**\n</div>"), "<p>&lt;div onclick=x&gt;<br><strong>a</strong><br>&lt;/div&gt;</p>\n");
});

test("only http and https are addresses", () => {
  assert.equal(html("[a](https://x.y/?a=1&b)"), '<p><a href="https://x.y/?a=1&amp;b">a</a></p>\n');
  for (const address of ["javascript:alert(1)", "JaVaScRiPt:x", "data:text/html,x", "//x.y", "/admin", "mailto:a@b.c", "file:///x"]) {
    assert.equal(html(`[a](${address})`), "<p>a</p>\n");
  }
});

test("a picture is a link to it", () => {
  assert.equal(html("![cat](https://x.y/c.png)"), '<p><a href="https://x.y/c.png">cat</a></p>\n');
  assert.equal(html("![cat](data:image/svg+xml,x)"), "<p>cat</p>\n");
});

test("headings stand below those of the page", () => {
  assert.equal(html("# a\n\n###### b"), "<h3>a</h3><h6>b</h6>");
});

test("the name of a language is a plain word", () => {
  assert.equal(html('```py"><i>\nx\n```'), '<pre><code class="language-py">x\n</code></pre>');
});

test("blocks add up to the text, whatever its line ends", () => {
  const text = normal("# a\r\n\r\n- b\r\n- c\r\rd\n\n| e |\n|-|\n| f |\n\n    g\n\n> h");
  assert.equal(blocks(text).map(({ raw }) => raw).join(""), text);
});
