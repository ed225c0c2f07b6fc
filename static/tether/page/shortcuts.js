/** Keys for everything that has no field of its own. Single letters can be turned off, for who speaks to the machine. */

import { find } from "./dom.js";

const OFF = "tether.keys.off";
const dialog = find("#shortcuts");
const choice = find("#single-keys");

export class Shortcuts {
  #page;

  /** page: {begin(), go(id), ids() -> those in the list, in order, openId()}. */
  constructor(page) {
    this.#page = page;
    choice.checked = !remembered();
    choice.addEventListener("change", () => remember(!choice.checked));
    find("#shortcuts-button").addEventListener("click", () => dialog.showModal());
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    if (event.defaultPrevented || event.isComposing || !dialog.isConnected || find("dialog[open]")) return;
    const verb = this.#chord(event) ?? (choice.checked && !isWriting(event) ? this.#single(event) : null);
    if (!verb) return;
    event.preventDefault();
    verb();
  }

  #chord({ key, code, altKey, ctrlKey, metaKey, shiftKey }) {
    if ((ctrlKey || metaKey) && !altKey && key.toLowerCase() === "k") return () => find("#query").focus();
    if ((ctrlKey || metaKey) && key === "/") return () => dialog.showModal();
    if (!altKey || ctrlKey || metaKey || shiftKey) return null;
    if (code === "KeyN") return () => this.#page.begin();
    if (code === "KeyI") return () => find("#state").click();
    if (code === "ArrowDown") return () => this.#step(1);
    if (code === "ArrowUp") return () => this.#step(-1);
    return null;
  }

  #single({ key, altKey, ctrlKey, metaKey }) {
    if (altKey || ctrlKey || metaKey) return null;
    if (key === "?") return () => dialog.showModal();
    if (key === "/") return () => find("#query").focus();
    if (key === "Escape" && !find(":popover-open")) return () => find("#say").focus(); // else it closes that
    return null;
  }

  #step(by) {
    const ids = this.#page.ids();
    const at = ids.indexOf(this.#page.openId());
    const next = at < 0 ? 0 : at + by;
    if (ids[next]) this.#page.go(ids[next]);
  }
}

function isWriting({ target }) {
  return target.closest("input:not([type=checkbox]), textarea, select, [contenteditable], [popover]");
}

function remembered() {
  try {
    return localStorage.getItem(OFF) === "1";
  } catch {
    return false;
  }
}

function remember(off) {
  try {
    if (off) localStorage.setItem(OFF, "1");
    else localStorage.removeItem(OFF);
  } catch {
    // without storage it holds for this page
  }
}
