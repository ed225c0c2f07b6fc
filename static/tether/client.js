/**
 * A whole client of the protocol, without a page: connection, open conversations, outbox, feed, commands.
 *
 * `onChange(what, id)` follows every change: what is "status", "conversation" (with its id), "outbox", "feed",
 * "presence" or "notice". All state is public to read; only the methods write it.
 */

import { Commands, Refusal } from "./commands.js";
import { Connection } from "./connection.js";
import { Conversation } from "./conversation.js";
import { Feed } from "./feed.js";
import { Outbox } from "./outbox.js";

const DEFAULT_RETRY_SECONDS = 2;
const TYPING_SHOWN_MS = 5_000;
// Where nobody else could be sending, the pen is always in hand.
const OWN_PEN = { held: true, want() {}, rest() {} };
// Opening again without any progress means that the cursor itself is at fault.
const FRUITLESS_OPENS = 3;

export class Client {
  ready = null; // the last `ready` frame
  conversations = new Map(); // those open
  presence = []; // this user's devices that are here
  typing = new Map(); // conversation_id -> {device_id, user_id, until}
  #parts;
  #connection;
  #commands;
  #opening = new Map(); // conversation_id -> opens since the last progress
  #wakeup = null;

  /**
   * parts: openSocket, clock, random (see Connection); randomId() -> 1-64 of A-Za-z0-9_-; keeper (see Outbox); pen
   * {held, want(), rest()}: only who holds it sends; deviceId, deviceName, userId; items: the painted list;
   * onChange(what, id), onProblem(error).
   */
  constructor(parts) {
    this.#parts = { pen: OWN_PEN, ...parts };
    const { keeper, randomId, clock } = parts;
    this.outbox = new Outbox({ keeper, randomId, now: clock.now });
    this.feed = new Feed(parts.items);
    this.#commands = new Commands(randomId);
    this.#connection = new Connection({
      ...parts,
      hello: () => this.#hello(),
      beat: () => ({ cursors: this.#cursors(), ...this.#feedCursor() }),
      onFrame: (frame) => this.#take(frame),
      onStatus: (status) => this.#moved(status),
    });
  }

  get status() {
    return this.#connection.status;
  }

  get userId() {
    return String(this.#parts.userId);
  }

  get live() {
    return this.#connection.live;
  }

  start() {
    this.#connection.start();
  }

  stop() {
    this.#connection.stop();
  }

  wentOffline() {
    this.#connection.wentOffline();
  }

  wentOnline() {
    this.#connection.wentOnline();
  }

  hurry() {
    this.#connection.hurry();
  }

  /** Return the conversation, opened if it is not; `start` is what the page was painted with. */
  open(id, start = {}) {
    if (!this.conversations.has(id)) {
      this.conversations.set(id, new Conversation(id, start));
      this.#openAgain(this.conversations.get(id));
    }
    return this.conversations.get(id);
  }

  /** Ask for a conversation once more, after it was refused or deleted. */
  reopen(id) {
    this.close(id);
    return this.open(id);
  }

  close(id) {
    if (!this.conversations.delete(id)) return;
    this.#opening.delete(id);
    this.#connection.answered(`open ${id}`);
    this.#connection.send({ type: "close", conversation_id: id });
  }

  /** Keep a text and send it as soon as its turn has come. */
  say(conversationId, content) {
    const entry = this.outbox.add(conversationId, content);
    this.#flush();
    return entry;
  }

  /** Go on with the texts that the keeper holds. */
  takeUp(records) {
    this.outbox.takeUp(records);
    this.#flush();
  }

  /** Another tab of this browser changed the outbox. */
  hear(message) {
    this.outbox.hear(message);
    for (const { state, conversation_id: id, seq } of this.outbox.entries) {
      if (state === "acked") this.#settleAcked(id, seq);
    }
    this.#flush();
  }

  sayAgain(clientId) {
    this.outbox.retry(clientId);
    this.#flush();
  }

  discard(clientId) {
    this.outbox.discard(clientId);
    this.#flush();
  }

  /** Run a command; resolves to the `data` of its result. Survives a cut: it is sent again under the same id. */
  command(command, args = {}) {
    const { frame, answer } = this.#commands.add(command, args);
    this.#sendCommand(frame);
    return answer;
  }

  /** Bring the messages before those that are here. */
  async loadOlder(id, limit = 50) {
    const conversation = this.conversations.get(id);
    const { generation } = conversation;
    const before = conversation.messages[0]?.seq;
    const older = await this.command("get_history", { conversation_id: id, before_seq: before, limit });
    if (conversation.generation !== generation) return;
    conversation.prepend(older);
    this.#parts.onChange("conversation", id);
  }

  #hello() {
    const { deviceId, deviceName } = this.#parts;
    const open = {};
    for (const [id, { cursor }] of this.conversations) open[id] = cursor;
    return { type: "auth", device_id: deviceId, device_name: deviceName, open, ...this.#feedCursor() };
  }

  #feedCursor() {
    return this.feed.cursor ? { feed: this.feed.cursor } : {};
  }

  #cursors() {
    const opened = [...this.conversations].filter(([, conversation]) => conversation.live);
    return Object.fromEntries(opened.map(([id, { cursor }]) => [id, cursor]));
  }

  #moved(status) {
    if (status.state !== "live" && status.state !== "connecting") this.#suspend();
    this.#parts.onChange("status");
  }

  #suspend() {
    this.outbox.suspend();
    this.#parts.pen.rest();
    this.#opening.clear();
    this.#parts.clock.cancel(this.#wakeup);
    for (const conversation of this.conversations.values()) conversation.suspend();
  }

  #take(frame) {
    const take = this.#types[frame.type];
    if (take) return take(frame);
    if (this.conversations.has(frame.conversation_id)) this.#apply(frame);
  }

  #types = {
    system: (frame) => (frame.event === "ready" ? this.#greeted(frame) : this.#parts.onChange("notice", frame)),
    ack: (frame) => this.#acked(frame),
    error: (frame) => this.#error(frame),
    result: (frame) => this.#settle(frame),
    history: (frame) => this.#settle(frame),
    feed: (frame) => {
      this.#fed(this.feed.apply(frame));
      this.#retitle(frame.data ?? {});
    },
    feed_reset: () => {
      this.feed.reset();
      this.fetchList();
    },
    presence: (frame) => this.#present(frame),
  };

  #greeted(frame) {
    this.ready = frame;
    for (const id of this.conversations.keys()) this.#opening.set(id, 1); // asked for in `auth`
    for (const again of this.#commands.again()) this.#sendCommand(again);
    this.#flush();
    if (!this.feed.cursor) this.fetchList();
    this.#parts.onChange("status");
  }

  #sendCommand(frame) {
    this.#connection.send(frame, `command ${frame.id}`);
  }

  #apply(frame) {
    const conversation = this.conversations.get(frame.conversation_id);
    const became = conversation.apply(frame);
    if (frame.type === "opened") this.#connection.answered(`open ${conversation.id}`);
    if (became === "gap") return this.#gap(conversation, frame);
    if (became !== "applied") return;
    if (frame.type === "opened") this.#opening.delete(conversation.id);
    if (frame.data?.client_id && this.#isMine(frame.data)) this.outbox.arrived(frame.data.client_id);
    if (frame.event === "message") this.#fellSilent(frame);
    if (conversation.cursor) this.outbox.reached(conversation.id, conversation.cursor.seq);
    this.#flush();
    this.#parts.onChange("conversation", conversation.id);
  }

  /** Whoever was typing has now said it. */
  #fellSilent({ conversation_id: id, data }) {
    if (String(this.typing.get(id)?.user_id) === String(data.author)) this.typing.delete(id);
  }

  #isMine({ author }) {
    return String(author) === String(this.#parts.userId);
  }

  #gap(conversation, frame) {
    const opens = this.#opening.get(conversation.id) ?? 0;
    // While an answer to `open` is on its way, frames may run ahead of it; only `opened` itself ends that.
    if (opens > 0 && frame.type !== "opened") return;
    if (opens >= 2 * FRUITLESS_OPENS) return this.#connection.renew();
    if (opens >= FRUITLESS_OPENS) conversation.cursor = null;
    this.#openAgain(conversation);
  }

  #openAgain(conversation) {
    conversation.suspend();
    const { id, cursor } = conversation;
    this.#opening.set(id, (this.#opening.get(id) ?? 0) + 1);
    this.#connection.send({ type: "open", conversation_id: id, cursor }, `open ${id}`);
  }

  #acked(frame) {
    this.#connection.answered(`text ${frame.client_id}`);
    this.outbox.acked(frame);
    this.#settleAcked(frame.conversation_id, frame.seq);
    this.#flush();
  }

  /** An acked text stays until the log brings it; where the log has or is not followed, it may go at once. */
  #settleAcked(id, seq) {
    const open = this.conversations.get(id);
    if (!open || open.cursor?.seq >= seq) this.outbox.reached(id, seq);
  }

  #error(frame) {
    if (frame.client_id) {
      this.#connection.answered(`text ${frame.client_id}`);
      this.outbox.failed(frame, this.#parts.clock.now());
      return this.#flush();
    }
    if (frame.id) return this.#settle(frame);
    if (this.conversations.has(frame.conversation_id)) return this.#notOpened(frame);
    this.#parts.onProblem(new Refusal(frame));
  }

  #notOpened(frame) {
    const conversation = this.conversations.get(frame.conversation_id);
    this.#connection.answered(`open ${conversation.id}`);
    this.#opening.delete(conversation.id);
    if (!frame.retryable) conversation.refused = frame;
    else this.#later(frame.retry_after, () => this.#askAgain(conversation));
    this.#parts.onChange("conversation", conversation.id);
  }

  #askAgain(conversation) {
    const wanted = this.conversations.get(conversation.id) === conversation;
    if (wanted && this.live && !conversation.live && !this.#opening.has(conversation.id)) this.#openAgain(conversation);
  }

  #later(seconds, call) {
    this.#parts.clock.after(1000 * (seconds ?? DEFAULT_RETRY_SECONDS), call);
  }

  #settle(frame) {
    this.#connection.answered(`command ${frame.id}`);
    this.#commands.settle(frame);
  }

  #flush() {
    const { clock, onChange, pen } = this.#parts;
    if (this.live && this.outbox.waiting) pen.want();
    else pen.rest();
    if (this.live && pen.held) {
      for (const frame of this.outbox.take(clock.now())) this.#connection.send(frame, `text ${frame.client_id}`);
      clock.cancel(this.#wakeup);
      const wait = (this.outbox.nextAt() ?? 0) - clock.now();
      if (wait > 0) this.#wakeup = clock.after(wait, () => this.#flush());
    }
    onChange("outbox");
  }

  #fed(became) {
    if (became === "gap") this.fetchList();
    this.#parts.onChange("feed");
  }

  /** A title that the assistant found is no entry of the log; the feed brings it. What is behind us is not news. */
  #retitle({ conversation_id: id, title, head }) {
    const conversation = this.conversations.get(id);
    if (!title || !conversation?.cursor || head?.epoch !== conversation.cursor.epoch) return;
    if (head.seq >= conversation.cursor.seq) conversation.title = title;
  }

  /** Get the list of conversations anew; what becomes of it is seen in `feed`. */
  fetchList() {
    if (this.feed.fetching) return;
    this.feed.fetching = true;
    const taken = this.command("list_conversations", { limit: 100 }).then((data) => this.#fed(this.feed.take(data)));
    taken.catch((error) => {
      this.feed.failed(error);
      this.#parts.onProblem(error);
      this.#parts.onChange("feed");
      if (error.frame?.retryable) this.#later(error.frame.retry_after, () => this.live && this.fetchList());
    });
  }

  #present({ user_id: userId, devices, typing }) {
    if (devices && String(userId) === String(this.#parts.userId)) this.presence = devices;
    if (typing) {
      this.typing.set(typing.conversation_id, { ...typing, until: this.#parts.clock.now() + TYPING_SHOWN_MS });
      this.#parts.clock.after(TYPING_SHOWN_MS, () => this.#parts.onChange("presence"));
    }
    this.#parts.onChange("presence");
  }
}
