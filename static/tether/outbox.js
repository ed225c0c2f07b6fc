/**
 * What the user said and the server has not acked: in order, under a client_id that never changes.
 *
 * One text a conversation is under way at a time, so that a passing error cannot let a later one overtake it.
 * Kept in storage from before its first sending: a page that reloads sends again, marked `retry`.
 *
 * An entry is {client_id, conversation_id, content, sent, state, notBefore, seq, error}, state one of
 *   queued    waits its turn, or for `notBefore` (ms)
 *   sending   on its way
 *   acked     durable, at `seq`; here only until the log brings it
 *   refused   will not be sent again by itself; `error` says why
 */

const DEFAULT_RETRY_SECONDS = 2;

export class Outbox {
  entries = [];
  #storage;
  #key;
  #randomId;

  constructor({ storage, key, randomId }) {
    this.#storage = storage;
    this.#key = key;
    this.#randomId = randomId;
    this.entries = this.#load();
  }

  add(conversationId, content) {
    const entry = { client_id: this.#randomId(), conversation_id: conversationId, content, sent: false };
    this.entries.push({ ...entry, state: "queued", notBefore: 0 });
    this.#save();
    return this.entries.at(-1);
  }

  of(conversationId) {
    return this.entries.filter((entry) => entry.conversation_id === conversationId);
  }

  /** How many texts would be lost if this page were forgotten. */
  get unacked() {
    return this.entries.filter((entry) => entry.state !== "acked").length;
  }

  /** Take what may be sent now: the first open entry of each conversation. Returns `text` frames. */
  take(now) {
    const busy = new Set();
    const frames = [];
    for (const entry of this.entries) {
      if (entry.state === "acked" || entry.state === "refused" || busy.has(entry.conversation_id)) continue;
      busy.add(entry.conversation_id);
      if (entry.state === "queued" && entry.notBefore <= now) frames.push(this.#frame(entry));
    }
    if (frames.length) this.#save();
    return frames;
  }

  /** Return the ms at which `take` may find more, or null. */
  nextAt() {
    const times = this.entries.filter((entry) => entry.state === "queued").map((entry) => entry.notBefore);
    return times.length ? Math.min(...times) : null;
  }

  #frame(entry) {
    const { client_id, conversation_id, content } = entry;
    const again = entry.sent ? { retry: true } : {};
    entry.sent = true;
    entry.state = "sending";
    return { type: "text", client_id, conversation_id, content, ...again };
  }

  /** The connection is gone: whatever was on its way goes again. */
  suspend() {
    for (const entry of this.entries) {
      if (entry.state === "sending") Object.assign(entry, { state: "queued", notBefore: 0 });
    }
  }

  acked({ client_id: clientId, seq }) {
    const entry = this.#find(clientId);
    if (!entry) return;
    Object.assign(entry, { state: "acked", seq, error: null });
    this.#save();
  }

  /** The server did not take it: later if it says so, else the user decides. */
  failed(error, now) {
    const entry = this.#find(error.client_id);
    if (!entry) return;
    const wait = 1000 * (error.retry_after ?? DEFAULT_RETRY_SECONDS);
    if (error.retryable) Object.assign(entry, { state: "queued", notBefore: now + wait, error });
    else Object.assign(entry, { state: "refused", error });
    this.#save();
  }

  /** The log brought a message: it needs no place here any more. */
  arrived(clientId) {
    this.discard(clientId);
  }

  /** The conversation's log is known up to `seq`: acked texts up to there are in it. */
  reached(conversationId, seq) {
    const passed = (entry) => entry.conversation_id === conversationId && entry.state === "acked" && entry.seq <= seq;
    this.entries = this.entries.filter((entry) => !passed(entry));
  }

  retry(clientId) {
    const entry = this.#find(clientId);
    if (entry) Object.assign(entry, { state: "queued", notBefore: 0, error: null });
    this.#save();
  }

  discard(clientId) {
    const left = this.entries.filter((entry) => entry.client_id !== clientId);
    if (left.length === this.entries.length) return;
    this.entries = left;
    this.#save();
  }

  clear() {
    this.entries = [];
    this.#save();
  }

  #find(clientId) {
    return this.entries.find((entry) => entry.client_id === clientId);
  }

  #load() {
    try {
      const kept = JSON.parse(this.#storage.getItem(this.#key) ?? "[]");
      return kept.map((entry) => ({ notBefore: 0, ...entry, state: entry.error ? "refused" : "queued" }));
    } catch {
      return []; // unreadable is as good as empty
    }
  }

  #save() {
    const open = this.entries.filter((entry) => entry.state !== "acked");
    const kept = open.map(({ client_id, conversation_id, content, sent, state, error }) => {
      const why = state === "refused" ? { error } : {};
      return { client_id, conversation_id, content, sent, ...why };
    });
    try {
      if (kept.length) this.#storage.setItem(this.#key, JSON.stringify(kept));
      else this.#storage.removeItem(this.#key);
    } catch {
      // storage full or forbidden: memory still holds them
    }
  }
}
