/** Where one writes. Nothing here waits for the network. */

import { find } from "./dom.js";

const MAX_HEIGHT_PIXELS = 220;
const form = find("#composer");
const field = find("#say");
const send = find(".send", form);

export class Composer {
  #id = null;
  #composing = false; // an input method is at work; the field is its own until it has ended
  #drafts;
  #onSend;
  #onTyping;

  constructor({ drafts, onSend, onTyping }) {
    this.#drafts = drafts;
    this.#onSend = onSend;
    this.#onTyping = onTyping;
    form.addEventListener("submit", (event) => this.#submit(event));
    field.addEventListener("keydown", (event) => this.#key(event));
    field.addEventListener("input", () => this.#typed());
    field.addEventListener("compositionstart", () => (this.#composing = true));
    field.addEventListener("compositionend", () => (this.#composing = false));
  }

  /** Write in this conversation from now on; `draft` is what the server has of it, or null. */
  show(id, draft) {
    this.#id = id;
    this.#put(this.#drafts.begin(id, draft));
    if (matchMedia("(pointer: fine)").matches) field.focus();
  }

  /** Another device wrote or sent what is written here. */
  follow(id, content) {
    if (id !== this.#id || this.#composing) return;
    const wanted = this.#drafts.came(id, content, field.value);
    if (wanted !== null) this.#put(wanted);
  }

  #put(text) {
    if (field.value !== text) field.value = text;
    this.#fit();
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
    this.#fit();
    this.#drafts.keep(this.#id, "", { soon: true });
    this.#onSend(this.#id, content);
    field.focus();
  }

  #typed() {
    this.#drafts.keep(this.#id, field.value);
    this.#fit();
    if (field.value) this.#onTyping(this.#id);
  }

  #fit() {
    send.disabled = !field.value.trim();
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight, MAX_HEIGHT_PIXELS)}px`;
  }
}
