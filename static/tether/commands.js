/** Commands under way: each a promise that survives a cut, because its frame is sent again under the same id. */

// Answered from the present state: asked anew after a cut, since a repeated id gets the old answer.
const READS = new Set(["list_conversations", "get_history", "list_devices", "search", "export"]);

/** An `error` frame of the server, thrown where its answer was awaited. */
export class Refusal extends Error {
  constructor(frame) {
    super(frame.message);
    this.frame = frame;
    this.code = frame.code;
  }
}

export class Commands {
  #pending = new Map(); // id -> {frame, resolve, reject}
  #randomId;

  constructor(randomId) {
    this.#randomId = randomId;
  }

  /** Return the frame to send and the promise of its `data` (of the whole frame for `history`). */
  add(command, { conversation_id, ...args } = {}) {
    const where = conversation_id ? { conversation_id } : {};
    const frame = { type: "command", id: this.#randomId(), command, ...where, args };
    const answer = new Promise((resolve, reject) => this.#pending.set(frame.id, { frame, resolve, reject }));
    return { frame, answer };
  }

  /** Return the frames to send again on a new socket. */
  again() {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { frame } of pending) if (READS.has(frame.command)) frame.id = this.#randomId();
    for (const each of pending) this.#pending.set(each.frame.id, each);
    return pending.map(({ frame }) => frame);
  }

  settle(frame) {
    const pending = this.#pending.get(frame.id);
    this.#pending.delete(frame.id);
    if (!pending) return;
    if (frame.type === "error") pending.reject(new Refusal(frame));
    else pending.resolve(frame.type === "history" ? frame : frame.data);
  }
}
