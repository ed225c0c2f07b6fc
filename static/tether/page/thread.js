/** One conversation on the page: its lines, the answers being written, what waits to be sent. */

import { isReplaced } from "../conversation.js";
import { clone, find, reconcile, write } from "./dom.js";
import { say, sayError } from "./words.js";

const NEAR_BOTTOM = 80;
const NEAR_TOP = 300;

const thread = find("#thread");
const newest = find("#newest");
const older = find("#older");
const clockTime = new Intl.DateTimeFormat(document.documentElement.lang, { hour: "2-digit", minute: "2-digit" });
const dayAndTime = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });

export class Thread {
  #client;
  #stuck = true; // the reader is at the end and wants to stay there
  #loading = false;
  #shown = null;

  /** onVerb(verb, message): a button at a message was pressed. */
  constructor(client, onVerb) {
    this.#client = client;
    find("#lines").addEventListener("click", ({ target }) => {
      const { verb } = target.dataset;
      if (verb) onVerb(verb, target.closest("li").shows);
    });
    thread.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#settle()).observe(thread);
    newest.addEventListener("click", () => this.toEnd());
    older.addEventListener("click", () => this.#loadOlder());
  }

  /** Whether the reader sees the newest line. */
  get atEnd() {
    return this.#stuck;
  }

  toEnd() {
    this.#stuck = true;
    this.#settle();
  }

  render(conversation) {
    if (this.#shown !== conversation) this.#stuck = true;
    this.#shown = conversation;
    const lines = conversation.lines();
    const turns = [...conversation.turns.values()];
    const pending = this.#client.outbox.of(conversation.id);
    reconcile(find("#lines"), lines, LINES);
    this.#renderVerbs(conversation);
    reconcile(find("#writing"), turns, TURNS);
    reconcile(find("#pending"), pending, this.#pending);
    this.#renderTyping(conversation);
    find("#nothing-said").hidden = !conversation.live || lines.length + turns.length + pending.length > 0;
    older.hidden = !conversation.more;
    this.#settle();
    if (conversation.more) this.#scrolled();
  }

  /** Apart from the messages themselves, since it changes with every turn. */
  #renderVerbs(conversation) {
    const userId = this.#client.userId;
    for (const element of find("#lines").children) {
      if (!element.shows) continue;
      const verbs = conversation.verbs(element.shows, userId);
      element.dataset.replaced = isReplaced(element.shows);
      for (const button of element.querySelectorAll("[data-verb]")) button.hidden = !verbs.includes(button.dataset.verb);
    }
  }

  #renderTyping(conversation) {
    const typing = this.#client.typing.get(conversation.id);
    const shown = typing && typing.until > Date.now() && typing.device_id !== this.#client.ready?.device_id;
    find("#typing").hidden = !shown;
    write(find("#typing"), shown ? say("typing") : "");
  }

  #pending = {
    key: (entry) => `p${entry.client_id}`,
    make: (entry) => {
      const element = clone("pending");
      const id = entry.client_id;
      find(".again", element).addEventListener("click", () => this.#client.sayAgain(id));
      find(".discard", element).addEventListener("click", () => this.#client.discard(id));
      return element;
    },
    update: (element, entry) => {
      const refused = entry.state === "refused";
      element.dataset.status = entry.state;
      write(find(".text", element), entry.content);
      write(find(".note", element), pendingNote(entry, this.#client.live));
      find(".again", element).hidden = find(".discard", element).hidden = !refused;
    },
  };

  #scrolled() {
    const below = thread.scrollHeight - thread.scrollTop - thread.clientHeight;
    this.#stuck = below < NEAR_BOTTOM;
    newest.hidden = this.#stuck;
    if (thread.scrollTop < NEAR_TOP && this.#shown?.more && this.#shown.live) this.#loadOlder();
  }

  #settle() {
    if (this.#stuck) thread.scrollTop = thread.scrollHeight;
    newest.hidden = this.#stuck;
  }

  /** Older lines go above what is being read, which must not move. */
  async #loadOlder() {
    if (this.#loading || !this.#client.live) return;
    this.#loading = true;
    const conversation = this.#shown;
    try {
      await this.#client.loadOlder(conversation.id);
      if (this.#shown !== conversation) return;
      const fromEnd = thread.scrollHeight - thread.scrollTop;
      this.render(conversation);
      if (!this.#stuck) thread.scrollTop = thread.scrollHeight - fromEnd;
    } catch {
      older.hidden = false; // the button stays, for another try
    } finally {
      this.#loading = false;
    }
  }
}

const LINES = {
  key: (line) => (line.kind === "message" ? `m${line.seq}` : `n${line.seq}`),
  make: (line) => clone(line.kind === "message" ? "message" : "notice"),
  update: (element, line) => (line.kind === "message" ? showMessage(element, line.message) : showNotice(element, line)),
};

const TURNS = {
  key: (turn) => `t${turn.turn_id}`,
  make: () => clone("turn"),
  update: showTurn,
};

function showMessage(element, message) {
  if (element.shows === message) return; // messages do not change
  element.shows = message;
  element.dataset.role = message.role;
  element.dataset.status = message.status;
  write(find(".who", element), say(message.role === "user" ? "you" : message.role));
  write(find(".text", element), message.content);
  write(find(".note", element), message.status === "complete" ? "" : say(`message_${message.status}`));
  showTime(find("time", element), message.at);
}

function showTime(element, at) {
  const time = new Date(at);
  const today = time.toDateString() === new Date().toDateString();
  element.dateTime = at;
  element.title = dayAndTime.format(time);
  write(element, (today ? clockTime : dayAndTime).format(time));
}

function showNotice(element, { kind, data }) {
  element.dataset.kind = kind;
  const plain = kind === "turn.failed" && !data.error ? "turn.failed_plain" : kind;
  write(element, say(plain, { username: data.user_id, ...data }));
}

/** What was read before a takeover stays, dimmed, until the new text is longer or says something else. */
function showTurn(element, { text, previous, attempt, status, interrupts }) {
  const behind = previous.length > text.length;
  const goesOn = behind && previous.startsWith(text);
  write(find(".fresh", element), behind && !goesOn ? "" : text);
  write(find(".former", element), !behind ? "" : goesOn ? previous.slice(text.length) : previous);
  find(".dots", element).hidden = status === "waiting" || text !== "" || behind;
  write(find(".note", element), turnNote(attempt, status, interrupts));
}

function turnNote(attempt, status, interrupts) {
  if (status === "waiting") return say("waiting", { value: interrupts.map(interruptText).join("; ") });
  return attempt > 1 ? say("takeover") : "";
}

function interruptText({ value }) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function pendingNote({ state, error }, live) {
  if (state === "refused") return say("refused", { error: sayError(error) });
  if (state === "acked") return "";
  if (!live) return say("queued");
  return error ? say("retrying") : say("sending");
}
