/** One conversation on the page: its lines, the answers being written, what waits to be sent. */

import { isReplaced } from "../conversation.js";
import { clone, find, reconcile, write } from "./dom.js";
import { readQuestion } from "../question.js";
import { toast } from "./dialogs.js";
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
    reconcile(find("#lines"), lines, this.#lines);
    this.#renderVerbs(conversation);
    reconcile(find("#writing"), turns, this.#turns);
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
    const other = shown && typing.user_id !== this.#client.userId;
    const words = other ? say("typing_other", { username: this.#name(typing.user_id) }) : say("typing");
    write(find("#typing"), shown ? words : "");
  }

  #name(userId) {
    return this.#shown.names.get(String(userId)) ?? say("former_member");
  }

  #lines = {
    key: (line) => (line.kind === "message" ? `m${line.seq}` : `n${line.seq}`),
    make: (line) => clone(line.kind === "message" ? "message" : "notice"),
    update: (element, line) => {
      if (line.kind !== "message") return showNotice(element, line);
      const { role, author } = line.message;
      const other = role === "user" && String(author) !== this.#client.userId;
      showMessage(element, line.message, other ? this.#name(author) : "");
    },
  };

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

  #turns = {
    key: (turn) => `t${turn.turn_id}`,
    make: ({ turn_id: id }) => {
      const element = clone("turn");
      const stop = find(".stop", element);
      stop.addEventListener("click", () => this.#order([stop], "cancel", { turn_id: id }));
      return element;
    },
    update: (element, turn) => {
      const may = this.#shown.mayControl(turn.turn_id, this.#client.ready?.user.id);
      const questions = turn.status === "waiting" ? turn.interrupts : [];
      showTurn(element, turn);
      reconcile(find(".questions", element), questions, this.#questionsOf(turn.turn_id, may));
      const stop = find(".stop", element);
      stop.hidden = !may;
      stop.disabled = stop.ordered || !this.#client.live;
    },
  };

  #questionsOf(turnId, may) {
    return {
      key: (interrupt) => interrupt.id,
      make: (interrupt) => {
        const element = clone("question");
        const buttons = [...element.querySelectorAll("button")];
        const about = { turn_id: turnId, interrupt_id: interrupt.id };
        for (const button of buttons) {
          const value = button.classList.contains("approve");
          button.addEventListener("click", () => this.#order(buttons, "answer", { ...about, value }));
        }
        return element;
      },
      update: (element, { value }) => {
        showQuestion(element, readQuestion(value));
        find(".buttons", element).hidden = !may;
        for (const button of element.querySelectorAll("button")) {
          button.disabled = button.ordered || !this.#client.live;
        }
      },
    };
  }

  /** Send a command about a turn once; its effect comes by the log, to every device alike. */
  async #order(buttons, command, args) {
    const ordered = (is) => buttons.forEach((button) => Object.assign(button, { ordered: is, disabled: is }));
    ordered(true);
    try {
      await this.#client.command(command, { conversation_id: this.#shown.id, ...args });
    } catch (error) {
      ordered(false);
      toast(error.code === "CONFLICT" ? say("too_late") : say("failed", { error: sayError(error) }));
    }
  }

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

/** other: the name of whoever said it, where that is not the reader. */
function showMessage(element, message, other) {
  if (element.shows === message && element.author === other) return; // messages do not change
  Object.assign(element, { shows: message, author: other });
  element.dataset.role = message.role;
  element.dataset.status = message.status;
  const who = find(".who", element);
  element.toggleAttribute("data-other", Boolean(other));
  who.classList.toggle("visually-hidden", !other);
  write(who, other || say(message.role === "user" ? "you" : message.role));
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
  write(element, say(noticeKey(kind, data), { username: data.user_id, ...data }));
}

function noticeKey(kind, data) {
  if (kind === "turn.answered") return data.value === true ? "turn.approved" : "turn.declined";
  return kind === "turn.failed" && !data.error ? "turn.failed_plain" : kind;
}

/** What was read before a takeover stays, dimmed, until the new text is longer or says something else. */
function showTurn(element, { text, previous, attempt, expected, status }) {
  const behind = previous.length > text.length;
  const goesOn = behind && previous.startsWith(text);
  write(find(".fresh", element), behind && !goesOn ? "" : text);
  write(find(".former", element), !behind ? "" : goesOn ? previous.slice(text.length) : previous);
  find(".dots", element).hidden = status === "waiting" || text !== "" || behind;
  write(find(".note", element), status === "waiting" ? say("waiting") : attempt > expected ? say("takeover") : "");
}

function showQuestion(element, { tool, args, text }) {
  write(find(".asks", element), tool ? say("asks_tool", { tool }) : text);
  const list = find(".args", element);
  if (list.childElementCount) return; // a question does not change
  for (const [name, value] of args) {
    for (const [kind, words] of [["dt", name], ["dd", value]]) {
      const line = document.createElement(kind);
      line.dir = "auto";
      line.textContent = words;
      list.append(line);
    }
  }
}

function pendingNote({ state, error }, live) {
  if (state === "refused") return say("refused", { error: sayError(error) });
  if (state === "acked") return "";
  if (!live) return say("queued");
  return error ? say("retrying") : say("sending");
}
