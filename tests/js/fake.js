// What the client is given in place of a browser: a clock that a test moves, and sockets that a test answers.

import { Client } from "../../static/tether/client.js";

export const C = "11111111-1111-4111-8111-111111111111";
export const D = "22222222-2222-4222-8222-222222222222";
export const T = "33333333-3333-4333-8333-333333333333";
export const USER = "7";

export class Clock {
  #now = 0;
  #due = [];

  now = () => this.#now;
  after = (ms, call) => {
    const handle = { at: this.#now + ms, call };
    this.#due.push(handle);
    return handle;
  };
  cancel = (handle) => {
    this.#due = this.#due.filter((each) => each !== handle);
  };

  advance(ms) {
    const end = this.#now + ms;
    for (;;) {
      const next = this.#due.filter((each) => each.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#now = next.at;
      this.cancel(next);
      next.call();
    }
    this.#now = end;
  }
}

/** Keeps records as a browser does, for the next page. */
export class Keeper {
  #kept = new Map();
  told = [];
  put = (record) => this.#kept.set(record.client_id, structuredClone(record));
  drop = (id, seq) => {
    this.#kept.delete(id);
    this.told.push({ drop: id, seq });
  };
  clear = () => this.#kept.clear();
  get records() {
    return [...this.#kept.values()];
  }
}

/** Somebody else may hold it; `hand` gives it over. */
export class Pen {
  held = false;
  wanted = false;
  want = () => (this.wanted = true);
  rest = () => (this.held = this.wanted = false);
}

/** One tab's own storage. */
export class Storage {
  #kept = new Map();
  getItem = (key) => this.#kept.get(key) ?? null;
  setItem = (key, value) => this.#kept.set(key, value);
  removeItem = (key) => this.#kept.delete(key);
  get size() {
    return this.#kept.size;
  }
}

export class Socket {
  sent = [];
  closed = false;
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.closed = true;
  }
  take(type) {
    const found = this.sent.filter((frame) => frame.type === type);
    this.sent = this.sent.filter((frame) => frame.type !== type);
    return found;
  }
  open() {
    this.onopen?.();
  }
  says(...frames) {
    this.onmessage?.({ data: JSON.stringify(frames.length === 1 ? frames[0] : frames) });
  }
  closes(code, reason = "") {
    this.onclose?.({ code, reason });
  }
}

export class Rig {
  clock = new Clock();
  sockets = [];
  changes = [];
  problems = [];
  #ids = 0;

  constructor({ keeper = new Keeper(), items = [], random = () => 0, ...parts } = {}) {
    this.client = new Client({
      openSocket: () => this.sockets[this.sockets.push(new Socket()) - 1],
      clock: this.clock,
      random,
      randomId: () => `id-${(this.#ids += 1)}`,
      keeper,
      deviceId: "device-1",
      deviceName: "A browser",
      userId: USER,
      items,
      onChange: (what, id) => this.changes.push([what, id]),
      onProblem: (error) => this.problems.push(error),
      ...parts,
    });
  }

  get socket() {
    return this.sockets.at(-1);
  }

  /** Start, or go on with the newest socket, up to and including `ready`. */
  greet(fields = {}) {
    if (!this.sockets.length) this.client.start();
    this.socket.open();
    this.socket.says(ready(fields));
    return this.socket;
  }

  /** Greet, list nothing, and open C with these messages, so that it is live. */
  live(messages = []) {
    this.client.open(C);
    const socket = this.greet();
    const [{ id, command }] = socket.take("command");
    socket.says({ type: "result", id, command, data: { items: [], more: false, feed: cursor(3) } });
    socket.says(snapshot({ messages, head: cursor(messages.at(-1)?.seq ?? 0) }), opened(messages.at(-1)?.seq ?? 0));
    socket.sent = [];
    return this.client.conversations.get(C);
  }
}

export const cursor = (seq, epoch = 1) => ({ epoch, seq, chain: chain(seq) });
export const chain = (seq) => seq.toString(16).padStart(16, "0");

export const ready = (fields = {}) => ({
  type: "system",
  event: "ready",
  session_id: C,
  conversation_id: C,
  recovered: true,
  user: { id: USER, username: "ada" },
  device_id: "device-1",
  node: "n1",
  protocol: 1,
  heartbeat_seconds: 25,
  feed: cursor(0),
  ...fields,
});

export const message = (seq, content, fields = {}) => ({
  seq,
  at: "2026-11-21T10:00:00.000Z",
  status: "complete",
  message_id: `00000000-0000-4000-8000-${seq.toString().padStart(12, "0")}`,
  role: "user",
  author: USER,
  content,
  ...fields,
});

export const snapshot = (fields = {}) => ({
  type: "snapshot",
  conversation_id: C,
  head: cursor(0),
  title: "Tea",
  topic: "",
  members: [],
  messages: [],
  more: false,
  reason: "new",
  ...fields,
});

export const opened = (seq, turns = [], fields = {}) => ({
  type: "opened",
  conversation_id: C,
  head: cursor(seq),
  turns,
  ...fields,
});

export const event = (seq, kind, data, fields = {}) => ({
  type: "event",
  conversation_id: C,
  ...cursor(seq),
  event: kind,
  at: "2026-11-21T10:00:00.000Z",
  data,
  ...fields,
});

export const said = (seq, content, fields = {}) => {
  const { seq: _, at: __, ...data } = message(seq, content, fields);
  return event(seq, "message", data);
};

export const delta = (n, text, attempt = 1) => ({
  type: "delta",
  conversation_id: C,
  turn_id: T,
  attempt,
  n,
  text,
});

export const started = (seq, attempt = 1, node = "n1") => event(seq, "turn.started", { turn_id: T, attempt, node });
export const answer = (seq, content) => said(seq, content, { role: "assistant", author: "assistant", turn_id: T });
export const finished = (seq, fields = {}) => event(seq, "turn.finished", { turn_id: T, status: "done", ...fields });
export const texts = (conversation) => conversation.messages.map((each) => each.content);
