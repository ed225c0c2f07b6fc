/**
 * Answers as people read them: Markdown, sanitised, with code that can be copied. The only place where markup of
 * others becomes part of the document, and all of it comes out of the sanitiser as nodes.
 */

import "../../vendor/dompurify/purify.min.js"; // leaves DOMPurify on the window
import { copy } from "./clipboard.js";
import { highlight } from "./highlight.js";
import { blocks, normal, toHtml } from "./markdown.js";
import { say } from "./words.js";

const { DOMPurify } = globalThis;
const COMMON = { RETURN_DOM_FRAGMENT: true, ALLOW_DATA_ATTR: false, ALLOW_ARIA_ATTR: false, SANITIZE_NAMED_PROPS: true };
const ANSWER = {
  ...COMMON,
  ALLOWED_TAGS: [
    "a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul", "#text",
  ],
  ALLOWED_ATTR: ["align", "class", "href", "start"],
  ADD_URI_SAFE_ATTR: ["align", "start"], // their values are no addresses
  ALLOWED_URI_REGEXP: /^https?:\/\//i,
};
const CODE = { ...COMMON, ALLOWED_TAGS: ["span", "#text"], ALLOWED_ATTR: ["class"] };
const COPIED_MS = 2000;
// Showing pieces takes at most a fifth of the time; those that come meanwhile wait and are shown together.
const SHARE_OF_TIME = 4;

/** Show a whole text in an element. */
export function show(element, text) {
  element.replaceChildren(...render(text, blocksOf(normal(text))));
  finish(element);
}

/** Shows a text that grows: what is complete is rendered once, and only its last block anew. */
export class Growing {
  #element;
  #share;
  #settled = ""; // the text of the blocks that do not change any more
  #tail = []; // the nodes of the last one
  #wanted = "";
  #notBefore = 0;
  #timer = null;

  /** share: how many times longer than it took to show a piece the next ones wait. */
  constructor(element, share = SHARE_OF_TIME) {
    this.#element = element;
    this.#share = share;
  }

  show(given) {
    const text = normal(given);
    if (text === this.#wanted) return;
    this.#wanted = text;
    if (this.#timer !== null) return;
    const wait = this.#notBefore - performance.now();
    if (wait <= 0) return this.#render();
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#render();
    }, wait);
  }

  #render() {
    const began = performance.now();
    const text = this.#wanted;
    if (!text.startsWith(this.#settled)) this.#forget();
    const tokens = blocksOf(text.slice(this.#settled.length)) ?? [];
    for (const node of this.#tail.splice(0)) node.remove();
    const last = tokens.findLastIndex(({ type }) => type !== "space");
    const done = tokens.slice(0, Math.max(last, 0));
    if (done.length) {
      const whole = document.createElement("div");
      whole.append(...render(done.map(({ raw }) => raw).join(""), done));
      finish(whole);
      this.#element.append(...whole.childNodes);
      this.#settled += done.map(({ raw }) => raw).join("");
    }
    this.#tail = [...render(text.slice(this.#settled.length), tokens.length ? tokens.slice(done.length) : null)];
    this.#element.append(...this.#tail);
    const ended = performance.now();
    this.#notBefore = ended + this.#share * (ended - began);
  }

  #forget() {
    this.#settled = "";
    this.#tail = [];
    this.#element.replaceChildren();
  }
}

/** Return the blocks that a text is made of, or null where they do not add up to it: it is then shown as it is. */
function blocksOf(text) {
  try {
    const tokens = blocks(text);
    return tokens.map(({ raw }) => raw).join("") === text ? tokens : null;
  } catch {
    return null; // nested deeper than anybody writes
  }
}

function render(text, tokens) {
  try {
    if (tokens) return safe(toHtml(tokens)).childNodes;
  } catch {
    // as it is, then
  }
  const plain = document.createElement("p");
  plain.className = "plain-text";
  plain.textContent = text;
  return text ? [plain] : [];
}

/** Return the HTML as nodes that are safe in the page, without the line ends between its blocks. */
export function safe(html) {
  const fragment = DOMPurify.sanitize(html, ANSWER);
  for (const node of [...fragment.childNodes]) if (node.nodeType === Node.TEXT_NODE && !node.data.trim()) node.remove();
  for (const anchor of fragment.querySelectorAll("a")) {
    anchor.rel = "noopener noreferrer nofollow";
    anchor.target = "_blank";
  }
  for (const element of fragment.querySelectorAll("[class]")) {
    const isCode = element.localName === "code" && /^language-[\w+#.-]{1,20}$/.test(element.className);
    if (!isCode) element.removeAttribute("class");
  }
  for (const table of fragment.querySelectorAll("table")) wrap(table, "table");
  for (const pre of fragment.querySelectorAll("pre")) wrap(pre, "code");
  return fragment;
}

/** Put a box around what may be wider than the column; it scrolls, with the keyboard too. */
function wrap(element, name) {
  const box = document.createElement("div");
  box.className = name;
  element.replaceWith(box);
  box.append(element);
  const scrolls = name === "code" ? element : box;
  scrolls.tabIndex = 0;
}

/** What only a complete text gets: names of languages, buttons, colours. */
function finish(element) {
  for (const box of element.querySelectorAll(".code")) {
    const code = box.querySelector("code") ?? box.querySelector("pre");
    const name = code.className.replace("language-", "");
    box.append(label(name), button(code));
    if (name) highlight(name, code.textContent).then((html) => html && code.replaceChildren(DOMPurify.sanitize(html, CODE)));
  }
}

function label(name) {
  const element = document.createElement("span");
  element.className = "language";
  element.textContent = name;
  return element;
}

function button(code) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "copy";
  element.textContent = say("copy");
  element.addEventListener("click", async () => {
    await copy(code.textContent);
    element.textContent = say("copied");
    setTimeout(() => (element.textContent = say("copy")), COPIED_MS);
  });
  return element;
}
