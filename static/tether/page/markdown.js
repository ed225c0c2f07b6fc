/**
 * Markdown to HTML, without a document. What comes out is still to be sanitised (rich.js); this part already knows no
 * raw HTML, no images and no addresses but http and https.
 */

import { Marked } from "../../vendor/marked/marked.esm.js";

const ADDRESS = /^https?:\/\//i;
// Headings of an answer stand below those of the page.
const DEEPER = 2;

const escape = (text) =>
  text.replace(/[&<>"']/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[sign]);

function link(href, words) {
  return ADDRESS.test(href) ? `<a href="${escape(href)}">${words}</a>` : words;
}

const marked = new Marked({
  gfm: true,
  breaks: true,
  tokenizer: { html: () => undefined, tag: () => undefined }, // markup is text like any other
  renderer: {
    html: ({ text }) => escape(text),
    image: ({ href, text }) => link(href, escape(text || href)),
    link({ href, tokens }) {
      return link(href, this.parser.parseInline(tokens));
    },
    heading({ depth, tokens }) {
      const level = Math.min(depth + DEEPER, 6);
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`;
    },
    code: ({ text, lang }) => `<pre><code${languageClass(lang)}>${escape(text)}\n</code></pre>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

function languageClass(lang) {
  const [name] = (lang ?? "").match(/^[\w+#.-]{1,20}/) ?? [""];
  return name && ` class="language-${escape(name)}"`;
}

/** Return the blocks of a text, each with the `raw` text that it was made of. */
export function blocks(text) {
  return marked.lexer(text);
}

/** Return blocks as HTML. */
export function toHtml(tokens) {
  return marked.parser(tokens);
}

/** Line ends as the blocks count them. */
export function normal(text) {
  return text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text;
}
