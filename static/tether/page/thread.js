/** One conversation on the page: its lines, the answers being written, what waits to be sent. */

import { isReplaced } from "../conversation.js";
import { readQuestion } from "../question.js";
import { toast } from "./dialogs.js";
import { clone, find, reconcile, write } from "./dom.js";
import { goOn, keepingFocus } from "./focus.js";
import { pendingNote, showMessage, showNotice, showQuestion, showTurn } from "./lines.js";
import { Reach } from "./reach.js";
import { say, sayError } from "./words.js";

const NEAR_BOTTOM = 80;
const NEAR_EDGE = 900; // of what is shown: further lines are brought before they are seen

const thread = find("#thread");
const newest = find("#newest");
const older = find("#older");

export class Thread {
  #client;
  #stuck = true; // the reader is at the end and wants to stay there
  #loading = false;
  #couldNotLoad = false;
  #shown = null;
  #reach = new Reach();

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
    if (!this.#reach.atEnd) {
      this.#reach.reset();
      this.render(this.#shown);
    }
    this.#settle();
  }

  render(conversation) {
    keepingFocus(() => this.#render(conversation));
  }

  #render(conversation) {
    if (this.#shown !== conversation) this.#begin(conversation);
    const all = conversation.lines();
    const lines = this.#reach.of(all, this.#stuck);
    const turns = [...conversation.turns.values()];
    const pending = this.#client.outbox.of(conversation.id);
    const place = this.#stuck ? null : this.#place();
    reconcile(find("#lines"), lines, this.#lines);
    this.#renderVerbs(conversation);
    reconcile(find("#writing"), turns, this.#turns);
    reconcile(find("#pending"), pending, this.#pending);
    for (const end of ["#writing", "#pending"]) find(end).hidden = !this.#reach.atEnd;
    this.#renderTyping(conversation);
    const isEmpty = all.length + turns.length + pending.length === 0;
    find("#nothing-said").hidden = !conversation.live || !isEmpty;
    find("#loading").hidden = conversation.live || !isEmpty || !this.#client.live || Boolean(conversation.refused);
    this.#renderOlder(conversation);
    if (place) this.#keep(place);
    this.#settle();
    this.#scrolled();
  }

  #begin(conversation) {
    this.#shown = conversation;
    this.#stuck = true;
    this.#couldNotLoad = false;
    this.#reach.reset();
  }

  #renderOlder(conversation) {
    older.hidden = !conversation.more;
    write(older, say(this.#loading ? "loading" : this.#couldNotLoad ? "older_failed" : "older"));
  }

  /** Return the line that is read at the top, and where it stands; it must not move by what comes around it. */
  #place() {
    const { top } = thread.getBoundingClientRect();
    for (const line of find("#lines").children) {
      const box = line.getBoundingClientRect();
      if (box.bottom > top) return { line, at: box.top };
    }
    return null;
  }

  #keep({ line, at }) {
    if (line.isConnected) thread.scrollTop += line.getBoundingClientRect().top - at;
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
      if (line.kind !== "message") return showNotice(element, line, this.#againAfter(line));
      const { role, author } = line.message;
      const other = role === "user" && String(author) !== this.#client.userId;
      showMessage(element, line.message, other ? this.#name(author) : "");
    },
  };

  /** After a failed answer that is the last thing here, its asker may have it tried once more. */
  #againAfter({ kind, seq }) {
    const conversation = this.#shown;
    const last = conversation.messages.at(-1);
    if (kind !== "turn.failed" || !last || last.seq > seq || conversation.turns.size || !this.#client.live) return null;
    const { message_id: id, role, author, content } = last;
    if (role === "assistant") return (event) => this.#order([event.target], "regenerate", { message_id: id });
    if (String(author) !== this.#client.userId) return null;
    return (event) => this.#order([event.target], "edit", { message_id: id, content });
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
    const held = buttons.includes(document.activeElement);
    ordered(true);
    if (held) goOn();
    try {
      await this.#client.command(command, { conversation_id: this.#shown.id, ...args });
    } catch (error) {
      ordered(false);
      toast(error.code === "CONFLICT" ? say("too_late") : say("failed", { error: sayError(error) }));
    }
  }

  #scrolled() {
    const below = thread.scrollHeight - thread.scrollTop - thread.clientHeight;
    this.#stuck = below < NEAR_BOTTOM && this.#reach.atEnd;
    newest.hidden = this.#stuck;
    if (!this.#shown) return;
    if (thread.scrollTop < NEAR_EDGE) this.#goUp();
    else if (below < NEAR_EDGE && !this.#reach.atEnd && this.#reach.down(this.#shown.lines())) this.render(this.#shown);
  }

  #goUp() {
    if (this.#reach.up(this.#shown.lines())) this.render(this.#shown);
    else if (this.#shown.more && this.#shown.live && !this.#couldNotLoad) this.#loadOlder();
  }

  #settle() {
    if (this.#stuck) thread.scrollTop = thread.scrollHeight;
    newest.hidden = this.#stuck;
  }

  async #loadOlder() {
    if (this.#loading || !this.#client.live) return;
    const conversation = this.#shown;
    this.#loading = true;
    this.#couldNotLoad = false;
    this.#renderOlder(conversation);
    try {
      await this.#client.loadOlder(conversation.id);
    } catch {
      this.#couldNotLoad = this.#shown === conversation; // the button stays, for another try
    } finally {
      this.#loading = false;
      if (this.#shown === conversation) this.#goUp();
      this.#renderOlder(this.#shown);
    }
  }
}
