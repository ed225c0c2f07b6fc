/** The search field above the list, and what it finds in place of the list. */

import { clone, find, reconcile, write } from "./dom.js";
import { say, sayError } from "./words.js";

const PAUSE_MS = 250;
const HITS = 30;

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
    find("#search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
  }

  #typed() {
    clearTimeout(this.#timer);
    if (field.value.trim()) this.#timer = setTimeout(() => this.#ask(), PAUSE_MS);
    else this.#show([], "");
  }

  async #ask() {
    clearTimeout(this.#timer);
    const asked = ++this.#asked;
    const query = field.value.trim();
    if (!query) return this.#show([], "");
    try {
      const { items } = await this.#client.command("search", { query, limit: HITS });
      if (asked === this.#asked) this.#show(items, items.length ? "" : say("nothing_found"));
    } catch (error) {
      if (asked === this.#asked) this.#show([], sayError(error));
    }
  }

  #show(items, words) {
    if (!field.value.trim()) this.#asked += 1;
    find(".sidebar").classList.toggle("searching", Boolean(field.value.trim()));
    write(note, words);
    note.hidden = !words;
    reconcile(list, items, {
      key: (item) => `${item.conversation_id}/${item.seq}`,
      make: () => clone("item"),
      update: (element, item) => {
        const title = this.#client.feed.items.get(item.conversation_id)?.title;
        find("a", element).href = this.#pathOf(item.conversation_id);
        write(find(".title", element), title || say("untitled"));
        write(find(".preview", element), item.snippet);
      },
    });
  }
}
