/**
 * This device's copy of one conversation: what was said, and the answers being written.
 *
 * `apply` takes the server's frames in the order they come and says what became of each:
 * "applied", "ignored" (seen before, or not ours to judge), or "gap": ask the server with `open`.
 */

import { cursorOf, relation } from "./protocol.js";

// Entries that a reader sees as one quiet line between the messages.
const NOTICES = new Set(["history.cleared", "topic.switched", "member.joined", "member.left", "turn.answered"]);

/** Return the line that a reader sees for an entry between the messages, or null. */
function noticeOf({ event, seq, at, data: given }) {
  const data = given ?? {};
  if (NOTICES.has(event)) return { kind: event, seq, at, data };
  if (event !== "turn.finished") return null;
  if (data.status === "failed") return { kind: "turn.failed", seq, at, data };
  // What was written of it stands there as a message that says so itself.
  return data.status === "cancelled" && !data.message_id ? { kind: "turn.cancelled", seq, at, data } : null;
}

/** Return both, by seq, each once. */
function joined(older, known) {
  const seqs = new Set(known.map(({ seq }) => seq));
  return [...older.filter(({ seq }) => !seqs.has(seq)), ...known].sort((a, b) => a.seq - b.seq);
}

export const isReplaced = ({ superseded_by: by }) => by !== undefined && by !== null;

export class Conversation {
  title = "";
  topic = "";
  members = []; // {user_id, username, role}
  names = new Map(); // user_id -> username
  messages = []; // by seq
  notices = []; // by seq: {seq, at, kind, data}
  turns = new Map(); // unfinished: turn_id -> {turn_id, attempt, expected, node, status, n, text, previous, interrupts}
  cursor = null;
  more = false; // the server has older messages than messages[0]
  live = false; // `opened` has come and nothing is known to be missing
  showsReplaced = false; // the reader wants to see what gave way to another answer or an edit
  deleted = false;
  refused = null; // the error that `open` got
  reason = null; // why the last snapshot came
  generation = 0; // counts what makes older answers of the server worthless
  #finished = new Set();

  /** start: what the page was painted with: {title, topic, members, cursor, messages, entries, more}. */
  constructor(id, { entries, ...start } = {}) {
    this.id = id;
    Object.assign(this, start);
    this.notices = this.#noticesOf(entries);
    this.#meet(this.members);
  }

  apply(frame) {
    switch (frame.type) {
      case "event":
        return this.#entry(frame);
      case "delta":
        return this.#delta(frame);
      case "snapshot":
        return this.#snapshot(frame);
      case "opened":
        return this.#opened(frame);
      case "step":
        return this.#step(frame);
      default:
        return "ignored";
    }
  }

  /** The connection is gone: nothing is live until the next `opened`. */
  suspend() {
    this.live = false;
  }

  /** Put older messages, and what stands between them, before those that are here, as `get_history` brought them. */
  prepend({ messages, entries, more }) {
    this.messages = joined(messages, this.messages);
    this.notices = joined(this.#noticesOf(entries), this.notices);
    this.more = more;
  }

  /** Messages and notices as a reader meets them; superseded ones only where they are asked for. */
  lines() {
    const said = this.messages
      .filter((message) => this.showsReplaced || !isReplaced(message))
      .map((message) => ({ kind: "message", seq: message.seq, message }));
    return [...said, ...this.notices, ...this.#unanswered()].sort((a, b) => a.seq - b.seq);
  }

  /** A server of before may not say how a turn ended; a question at the end that nothing answers was given up. */
  #unanswered() {
    const last = this.messages.at(-1);
    if (!this.live || this.turns.size || last?.role !== "user" || !last.turn_id || isReplaced(last)) return [];
    const told = this.notices.some(({ seq }) => seq > last.seq);
    return told ? [] : [{ kind: "turn.failed", seq: last.seq + 0.5, data: {} }];
  }

  /** Does something stand here that this user, who has read up to a seq, has not read? */
  isUnread(userId, readSeq) {
    return this.messages.findLast(({ author }) => String(author) !== String(userId))?.seq > readSeq;
  }

  /** May this user stop the turn and answer its questions? Where we do not know, the server will say. */
  mayControl(turnId, userId) {
    const asked = this.messages.find((message) => message.turn_id === turnId && message.role === "user");
    const seat = this.members.find((member) => String(member.user_id) === String(userId));
    return !asked || !seat || seat.role === "owner" || String(asked.author) === String(userId);
  }

  /** What may be done with a message now: "regenerate", "edit", "fork". */
  verbs(message, userId) {
    if (!this.live || this.deleted || this.turns.size > 0) return [];
    const verbs = ["fork"];
    const isLast = message === this.messages.at(-1);
    if (message.role === "assistant" && isLast && this.mayControl(message.turn_id, userId)) verbs.push("regenerate");
    if (message.role === "user" && String(message.author) === String(userId) && !isReplaced(message)) verbs.push("edit");
    return verbs;
  }

  #entry(frame) {
    const how = relation(this.cursor, frame);
    if (how !== "next") return how === "old" ? "ignored" : "gap";
    this.cursor = cursorOf(frame);
    const data = frame.data ?? {};
    this.notices.push(...this.#noticesOf([frame]));
    this.#kinds[frame.event]?.(data, frame); // kinds of later versions only move the cursor
    return "applied";
  }

  #kinds = {
    "message": (data, { seq, at }) => {
      this.messages.push({ ...data, seq, at });
      if (data.role === "assistant" && data.turn_id) this.#finish(data.turn_id);
      else if (data.turn_id && !this.#finished.has(data.turn_id)) this.#turn(data.turn_id);
    },
    "turn.started": (data) => this.#begin(data),
    "turn.waiting": ({ turn_id: id, interrupts }) => {
      const turn = this.#turn(id);
      // After the answer it goes on under a new attempt, which is no takeover.
      Object.assign(turn, { status: "waiting", interrupts: interrupts ?? [], expected: turn.attempt + 1 });
    },
    "turn.answered": ({ turn_id: id, interrupt_id: answered }) => {
      const turn = this.#turn(id);
      turn.interrupts = turn.interrupts.filter((interrupt) => interrupt.id !== answered);
      if (!turn.interrupts.length) turn.status = "running"; // or soon will be
    },
    "turn.finished": ({ turn_id: id }) => this.#finish(id),
    "message.superseded": ({ from_seq: from, to_seq: to, by }) => {
      for (const message of this.messages) {
        if (message.seq >= from && message.seq <= to) message.superseded_by ??= by; // the first one stays
      }
      this.notices = this.notices.filter(({ seq }) => seq < from || seq > to);
    },
    "history.cleared": (_, { seq }) => {
      this.generation += 1;
      this.messages = this.messages.filter((message) => message.seq > seq);
      this.notices = this.notices.filter((notice) => notice.seq >= seq);
      this.more = false;
    },
    "conversation.renamed": ({ title }) => (this.title = title),
    "conversation.deleted": () => (this.deleted = true),
    "topic.switched": ({ topic }) => (this.topic = topic),
    "member.joined": ({ user_id, username, role }) => {
      const others = this.members.filter((member) => member.user_id !== user_id);
      this.#meet([...others, { user_id, username, role }]);
    },
    "member.left": ({ user_id: gone, owner }) => {
      const staying = this.members.filter((member) => member.user_id !== gone);
      this.#meet(staying.map((member) => (member.user_id === owner ? { ...member, role: "owner" } : member)));
    },
  };

  /** Return the lines for these entries. Who came or left is named there, and is by that name still known. */
  #noticesOf(entries) {
    const notices = (entries ?? []).map(noticeOf).filter(Boolean);
    for (const { data: { user_id: id, username } } of notices) {
      if (username && !this.names.has(String(id))) this.names.set(String(id), username);
    }
    return notices;
  }

  /** Take who is in it now; the names of those who were stay known. */
  #meet(members) {
    this.members = members;
    for (const { user_id: id, username } of members) if (username) this.names.set(id, username);
  }

  #turn(id) {
    const fresh = { turn_id: id, attempt: 0, expected: 1, node: "", status: "queued", n: 0, text: "", previous: "", steps: [] };
    if (!this.turns.has(id)) this.turns.set(id, { ...fresh, interrupts: [] });
    return this.turns.get(id);
  }

  #begin({ turn_id: id, attempt, node }) {
    if (this.#finished.has(id)) return;
    const turn = this.#turn(id);
    if (attempt < turn.attempt) return;
    if (attempt > turn.attempt) this.#startAfresh(turn, attempt);
    turn.node = node ?? turn.node;
    turn.status = "running";
  }

  /** Another node writes the answer anew; what was read so far stays at hand until it is overtaken. */
  #startAfresh(turn, attempt) {
    if (turn.text.length > turn.previous.length) turn.previous = turn.text;
    Object.assign(turn, { attempt, n: 0, text: "", steps: [] });
  }

  #finish(id) {
    this.turns.delete(id);
    this.#finished.add(id);
  }

  #delta({ turn_id: id, attempt, n, text }) {
    if (!this.live || this.#finished.has(id)) return "ignored";
    const known = this.turns.get(id);
    if (known && attempt < known.attempt) return "ignored";
    if (n !== 1 && (!known || attempt > known.attempt)) return "gap";
    const turn = this.#turn(id);
    if (attempt > turn.attempt) this.#startAfresh(turn, attempt);
    if (n <= turn.n) return "ignored";
    if (n > turn.n + 1) return "gap";
    turn.status = "running";
    turn.n = n;
    turn.text += text;
    return "applied";
  }

  /** A hint of what happens before the answer: seen by who looks on, and gone with the turn. */
  #step({ turn_id: id, attempt, name: node, status, tool }) {
    const turn = this.turns.get(id);
    if (!this.live || !turn || attempt !== turn.attempt) return "ignored";
    const name = tool ? `${node}_${tool}` : node;
    const last = turn.steps.findLast((step) => step.name === name);
    if (status !== "began") Object.assign(last ?? {}, { open: Math.max(0, (last?.open ?? 1) - 1) });
    else if (last && last === turn.steps.at(-1)) Object.assign(last, { count: last.count + 1, open: last.open + 1 });
    else turn.steps.push({ name, tool, count: 1, open: 1 });
    return "applied";
  }

  #snapshot(frame) {
    const { head, title, topic, members, messages, entries, more, reason } = frame;
    this.generation += 1;
    this.notices = this.#noticesOf(entries);
    this.deleted = false;
    this.refused = null;
    Object.assign(this, { title, topic, more, reason });
    this.#meet(members ?? []);
    this.messages = [...messages].sort((a, b) => a.seq - b.seq);
    this.cursor = head;
    this.live = false; // an `opened` follows
    return "applied";
  }

  #opened({ head, turns }) {
    if (!this.cursor || this.cursor.seq < head.seq) return "gap";
    const before = this.turns;
    this.turns = new Map();
    for (const told of turns) this.#adopt(told, before.get(told.turn_id));
    this.live = true;
    this.refused = null;
    return "applied";
  }

  #adopt({ turn_id: id, attempt, status, n, text, interrupts }, old) {
    if (this.#finished.has(id)) return;
    const turn = this.#turn(id);
    if (old) Object.assign(turn, { node: old.node, previous: old.previous, expected: old.expected, steps: old.steps });
    if (status === "waiting") turn.expected = attempt + 1;
    const overtaken = old && attempt > old.attempt && old.text.length > turn.previous.length;
    if (overtaken) turn.previous = old.text;
    Object.assign(turn, { attempt, status, n: n ?? 0, text: text ?? "", interrupts: interrupts ?? [] });
  }
}
