/**
 * What is written and not sent yet, for each conversation: kept in this tab at once, and on the server soon after, so
 * that it follows its writer to other devices. The latest words win, but never over what is being written here.
 */

const PAUSE_MS = 800;

export class Drafts {
  #parts;
  #timers = new Map(); // conversation_id -> timer of what is still to be told
  #told = new Map(); // conversation_id -> what the server has, as far as we know

  /** parts: storage; clock; tell(id, content) -> promise; may() -> whether the server can be told now. */
  constructor(parts) {
    this.#parts = parts;
  }

  /** Return what is written there; `known` is what the server has of it. */
  of(id, known) {
    return this.#read(id) ?? known ?? "";
  }

  /** Return what to begin with; `known` is what the server has, or null where that is not known yet. */
  begin(id, known) {
    const here = this.#read(id);
    if (here !== null) this.#later(id, PAUSE_MS); // written before the page was loaded anew
    if (known !== null) this.#told.set(id, known);
    return here ?? known ?? "";
  }

  /** Keep what is written now. `soon`: another device should not wait for it (the text was sent). */
  keep(id, content, { soon = false } = {}) {
    this.#write(id, content);
    this.#later(id, soon ? 0 : PAUSE_MS);
  }

  /** Another device wrote: return what to show here instead of `shown`, or null to leave that alone. */
  came(id, content, shown) {
    if (this.#timers.has(id)) return null; // we are writing, too, and will be the later ones
    if (content === this.#told.get(id)) return null;
    this.#told.set(id, content);
    return content === shown ? null : content;
  }

  /** Tell what could not be told so far. */
  catchUp() {
    for (const id of this.#timers.keys()) this.#later(id, 0);
  }

  #later(id, ms) {
    const { clock } = this.#parts;
    clock.cancel(this.#timers.get(id));
    this.#timers.set(id, clock.after(ms, () => this.#tell(id)));
  }

  async #tell(id) {
    const content = this.#read(id) ?? "";
    if (!this.#parts.may()) return; // still in #timers: catchUp() comes back to it
    this.#timers.delete(id);
    if (content === (this.#told.get(id) ?? "")) return this.#forget(id, content);
    this.#told.set(id, content);
    try {
      await this.#parts.tell(id, content);
      this.#forget(id, content);
    } catch {
      this.#told.delete(id); // the next change, or the next page, tells it again
    }
  }

  /** The server has it; what is kept here is only what it has not. */
  #forget(id, content) {
    try {
      if (this.#read(id) === content) this.#parts.storage.removeItem(`tether.draft.${id}`);
    } catch {
      // nothing was kept
    }
  }

  #read(id) {
    try {
      return this.#parts.storage.getItem(`tether.draft.${id}`);
    } catch {
      return null;
    }
  }

  /** An empty draft is kept as one: what the server still has must not come back before it is told otherwise. */
  #write(id, content) {
    try {
      this.#parts.storage.setItem(`tether.draft.${id}`, content);
    } catch {
      // without storage the draft lives as long as the field
    }
  }
}
