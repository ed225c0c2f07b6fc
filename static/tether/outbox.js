/**
 * What the user said and the server has not acked: in order, under a client_id that never changes.
 *
 * One text a conversation is under way at a time, so that a passing error cannot let a later one overtake it.
 * A keeper holds them for all tabs of this browser, from before the first sending until the ack: whichever tab has the
 * pen sends (page/keeper.js), and what was sent before goes again marked `retry`.
 *
 * An entry is {client_id, conversation_id, content, at, sent, state, notBefore, seq, error}; `at` (ms) orders them,
 * state is one of
 *   queued    waits its turn, or for `notBefore` (ms); also what another tab is sending
 *   sending   on its way from here
 *   acked     durable, at `seq`; here only until the log brings it
 *   refused   will not be sent again by itself; `error` says why
 */

const DEFAULT_RETRY_SECONDS = 2;
const FORGETFUL = { put() {}, drop() {}, clear() {} };

export class Outbox {
  entries = [];
  #keeper;
  #randomId;
  #now;

  /** keeper: {put(record), drop(client_id, seq), clear()}; it tells other tabs, and nothing here waits for it. */
  constructor({ keeper = FORGETFUL, randomId, now }) {
    this.#keeper = keeper;
    this.#randomId = randomId;
    this.#now = now;
  }

  add(conversationId, content) {
    const at = Math.max(this.#now(), (this.entries.at(-1)?.at ?? 0) + 1);
    const entry = { client_id: this.#randomId(), conversation_id: conversationId, content, at };
    this.entries.push({ ...entry, sent: false, state: "queued", notBefore: 0, error: null });
    this.#keep(this.entries.at(-1));
    return this.entries.at(-1);
  }

  of(conversationId) {
    return this.entries.filter((entry) => entry.conversation_id === conversationId);
  }

  /** How many texts would be lost if this browser forgot them. */
  get unacked() {
    return this.entries.filter((entry) => entry.state !== "acked").length;
  }

  /** How many will go as soon as they can. */
  get waiting() {
    return this.entries.filter((entry) => entry.state === "queued" || entry.state === "sending").length;
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
    this.#keep(entry);
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
    this.#keeper.drop(clientId, seq);
  }

  /** The server did not take it: later if it says so, else the user decides. */
  failed(error, now) {
    const entry = this.#find(error.client_id);
    if (!entry) return;
    const wait = 1000 * (error.retry_after ?? DEFAULT_RETRY_SECONDS);
    if (error.retryable) Object.assign(entry, { state: "queued", notBefore: now + wait, error });
    else Object.assign(entry, { state: "refused", error });
    this.#keep(entry);
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
    if (!entry) return;
    Object.assign(entry, { state: "queued", notBefore: 0, error: null });
    this.#keep(entry);
  }

  discard(clientId) {
    const left = this.entries.filter((entry) => entry.client_id !== clientId);
    if (left.length === this.entries.length) return;
    this.entries = left;
    this.#keeper.drop(clientId);
  }

  /** Forget all of it, here and in the keeper. */
  clear() {
    this.entries = [];
    return this.#keeper.clear();
  }

  /** Take what the keeper holds. */
  takeUp(records) {
    for (const record of records) this.#learn(record);
  }

  /** Another tab changed something: {put: record}, {drop: client_id, seq}, or {cleared: true}. */
  hear({ put, drop, seq, cleared }) {
    if (put) this.#learn(put);
    if (cleared) this.entries = [];
    if (drop && !seq) this.entries = this.entries.filter((entry) => entry.client_id !== drop);
    if (drop && seq) Object.assign(this.#find(drop) ?? {}, { state: "acked", seq, error: null });
  }

  /**
   * That another tab was sending a text says nothing of now: it may have closed since, and its word may come late, after
   * the pen did. Such a text is still to be sent. What goes out from here knows better than any word of before.
   */
  #learn(record) {
    const known = this.#find(record.client_id);
    if (known?.state === "acked" || known?.state === "sending") return;
    const state = record.state === "refused" ? "refused" : "queued";
    const learned = { ...record, state, sent: Boolean(known?.sent || record.sent) };
    if (known) Object.assign(known, learned);
    else this.entries.push({ notBefore: 0, error: null, ...learned });
    this.entries.sort((a, b) => a.at - b.at || (a.client_id < b.client_id ? -1 : 1));
  }

  #find(clientId) {
    return this.entries.find((entry) => entry.client_id === clientId);
  }

  #keep({ client_id, conversation_id, content, at, sent, state, error }) {
    this.#keeper.put({ client_id, conversation_id, content, at, sent, state, error });
  }
}
