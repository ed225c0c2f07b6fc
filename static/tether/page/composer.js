/** Where one writes. Drafts are kept for each conversation of this tab; nothing here waits for the network. */

import { find } from "./dom.js";
import { storage } from "./browser.js";

const MAX_HEIGHT_PIXELS = 220;
const form = find("#composer");
const field = find("#say");
const send = find(".send", form);

export class Composer {
  #id = null;
  #onSend;
  #onTyping;

  constructor({ onSend, onTyping }) {
    this.#onSend = onSend;
    this.#onTyping = onTyping;
    form.addEventListener("submit", (event) => this.#submit(event));
    field.addEventListener("keydown", (event) => this.#key(event));
    field.addEventListener("input", () => this.#typed());
  }

  /** Write in this conversation from now on. */
  show(id) {
    this.#id = id;
    field.value = this.#draft() ?? "";
    this.#fit();
    if (matchMedia("(pointer: fine)").matches) field.focus();
  }

  #key(event) {
    // While an input method composes, Enter chooses a word. Safari says so only by the code 229.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    form.requestSubmit();
  }

  #submit(event) {
    event.preventDefault();
    const content = field.value.trim();
    if (!content || !this.#id) return;
    field.value = "";
    this.#typed({ silent: true });
    this.#onSend(this.#id, content);
    field.focus();
  }

  #typed({ silent = false } = {}) {
    this.#keep();
    this.#fit();
    if (!silent && field.value) this.#onTyping(this.#id);
  }

  #fit() {
    send.disabled = !field.value.trim();
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight, MAX_HEIGHT_PIXELS)}px`;
  }

  #draft() {
    try {
      return storage.getItem(`tether.draft.${this.#id}`);
    } catch {
      return null;
    }
  }

  #keep() {
    try {
      if (field.value) storage.setItem(`tether.draft.${this.#id}`, field.value);
      else storage.removeItem(`tether.draft.${this.#id}`);
    } catch {
      // without storage the draft lives as long as the field
    }
  }
}
