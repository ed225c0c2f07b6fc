/** The search field above the list: titles at once, messages from the server, both in place of the list. */

import { clone, find, reconcile, write } from "./dom.js";
import { say, sayError } from "./words.js";

const PAUSE_MS = 250;
const HITS = 30;
const TITLES = 5;

const field = find("#query");
const list = find("#hits");
const note = find("#no-hits");

export class Search {
  #client;
  #pathOf;
  #timer = null;
  #asked = 0; // counts questions: an answer to an older one is of no use

  constructor(client, pathOf) {
    this.#client = client;
    this.#pathOf = pathOf;
    field.addEventListener("input", () => this.#typed());
    field.addEventListener("keydown", (event) => this.#key(event));
    list.addEventListener("keydown", (event) => this.#move(event));
    find("#search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
  }

  get #query() {
    return field.value.trim();
  }

  #typed() {
    clearTimeout(this.#timer);
    this.#asked += 1;
    this.#show([], this.#query ? say("searching") : "");
    if (this.#query) this.#timer = setTimeout(() => this.#ask(), PAUSE_MS);
  }

  #key(event) {
    if (event.key === "Escape" && field.value) {
      field.value = "";
      this.#typed();
    } else if (event.key === "ArrowDown") {
      find(".sidebar.searching #hits a, .sidebar:not(.searching) #items a")?.focus();
    } else return;
    event.preventDefault();
  }

  #move(event) {
    const item = event.target.closest(".item");
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    const next = event.key === "ArrowDown" ? item.nextElementSibling : item.previousElementSibling;
    if (next) find("a", next).focus();
    else if (event.key === "ArrowUp") field.focus();
  }

  async #ask() {
    clearTimeout(this.#timer);
    const asked = ++this.#asked;
    const query = this.#query;
    if (!query) return this.#show([], "");
    if (!this.#client.live) return this.#show([], say("search_offline"));
    try {
      const { items } = await this.#client.command("search", { query, limit: HITS });
      if (asked === this.#asked) this.#show(items);
    } catch (error) {
      if (asked === this.#asked) this.#show([], sayError(error));
    }
  }

  /** Conversations whose title has all the words; the server looks through what was said. */
  #titled(words) {
    if (!words.length) return [];
    const has = ({ title }) => words.every((word) => (title ?? "").toLowerCase().includes(word));
    return this.#client.feed.sorted().filter(has).slice(0, TITLES);
  }

  #show(items, words = null) {
    const asked = this.#query.toLowerCase().split(/\s+/).filter(Boolean);
    const titled = this.#titled(asked);
    const found = [...titled.map(({ conversation_id }) => ({ conversation_id, seq: "title", snippet: "" })), ...items];
    find(".sidebar").classList.toggle("searching", Boolean(asked.length));
    write(note, words ?? this.#count(found.length));
    note.hidden = !asked.length;
    reconcile(list, found, {
      key: (item) => `${item.conversation_id}/${item.seq}`,
      make: () => clone("hit"),
      update: (element, item) => {
        const title = this.#client.feed.items.get(item.conversation_id)?.title || say("untitled");
        find("a", element).href = this.#pathOf(item.conversation_id);
        mark(find(".title", element), title, item.snippet ? [] : asked);
        mark(find(".preview", element), item.snippet, asked);
      },
    });
  }

  #count(count) {
    if (!count) return say("nothing_found");
    return count === 1 ? say("found_one") : say("found_many", { count });
  }
}

/** Write text with the words that were asked for marked, wherever they stand. */
function mark(element, text, words) {
  const key = JSON.stringify([text, words]);
  if (element.dataset.shown === key) return;
  element.dataset.shown = key;
  const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const parts = escaped.length ? text.split(new RegExp(`(${escaped.join("|")})`, "giu")) : [text];
  const made = parts.map((part, index) => {
    if (index % 2 === 0) return part;
    const marked = document.createElement("mark");
    marked.textContent = part;
    return marked;
  });
  element.replaceChildren(...made);
}
