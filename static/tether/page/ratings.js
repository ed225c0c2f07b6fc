/** Thumbs: what the reader thinks of single answers. Shown at once, kept by the server, the same on every device. */

import { ask, toast } from "./dialogs.js";
import { clone, find } from "./dom.js";
import { say, sayError } from "./words.js";

export class Ratings {
  #client;
  #open;
  #fetched = new Map(); // conversation_id -> the `ready` after which its ratings were fetched

  /** open() -> the open conversation. */
  constructor(client, open) {
    this.#client = client;
    this.#open = open;
    find("#lines").addEventListener("click", ({ target }) => {
      const button = target.closest("[data-rate]");
      if (button) this.#press(button);
      const remark = target.closest("[data-remark]")?.closest("li").shows;
      if (remark && this.#open()) this.#comment(this.#open(), remark, this.#client.feed.ratings.get(remark.message_id));
    });
  }

  /** Show them at the answers that are on the page; fetch them where that was not done since connecting. */
  render(conversation) {
    const { ratings } = this.#client.feed;
    for (const button of document.querySelectorAll("#lines [data-rate]")) {
      const message = button.closest("li").shows;
      const pressed = Boolean(message) && ratings.get(message.message_id) === button.dataset.rate;
      if (button.getAttribute("aria-pressed") !== String(pressed)) button.setAttribute("aria-pressed", pressed);
      button.disabled = !this.#client.live;
    }
    for (const box of document.querySelectorAll("#lines .rate")) this.#showRemark(box);
    const { id } = conversation;
    if (!conversation.live || this.#fetched.get(id) === this.#client.ready) return;
    this.#fetched.set(id, this.#client.ready);
    this.#fetch(id).catch(console.error);
  }

  /** What the reader wrote about an answer stands there to be read again, and to be put in other words. */
  #showRemark(box) {
    let button = find("[data-remark]", box);
    const comment = this.#commentOn(box.closest("li").shows);
    if (!comment) return button?.remove();
    if (!button) box.append((button = clone("remark")));
    button.title = comment;
    button.disabled = !this.#client.live;
  }

  #commentOn(message) {
    const { ratings, comments } = this.#client.feed;
    const { rating, comment } = comments.get(message?.message_id) ?? {};
    return rating && rating === ratings.get(message.message_id) ? comment : "";
  }

  async #fetch(id) {
    const { items } = await this.#client.command("list_ratings", { conversation_id: id });
    const { ratings, comments } = this.#client.feed;
    for (const { message_id: message, rating, comment } of items) {
      ratings.set(message, rating);
      comments.set(message, { rating, comment });
    }
    if (items.length && this.#open()?.id === id) this.render(this.#open());
  }

  async #press(button) {
    const message = button.closest("li").shows;
    const conversation = this.#open();
    if (!message || !conversation) return;
    const rating = button.getAttribute("aria-pressed") === "true" ? "" : button.dataset.rate;
    if (!(await this.#rate(conversation, message, rating)) || !rating) return;
    toast(say("rated"), { label: say("comment"), press: () => this.#comment(conversation, message, rating) });
  }

  async #comment(conversation, message, rating) {
    const asked = { title: say("comment_title"), text: say("comment_text"), label: say("comment_label") };
    const comment = await ask({ ...asked, value: this.#commentOn(message), ok: say("comment_ok"), long: true });
    if (comment && (await this.#rate(conversation, message, rating, comment))) toast(say("commented"));
  }

  async #rate(conversation, message, rating, comment = "") {
    const { ratings, comments } = this.#client.feed;
    const before = ratings.get(message.message_id) ?? "";
    ratings.set(message.message_id, rating);
    this.render(conversation);
    try {
      await this.#client.command("rate", { conversation_id: conversation.id, seq: message.seq, rating, comment });
      comments.set(message.message_id, { rating, comment });
      this.render(conversation);
      return true;
    } catch (error) {
      ratings.set(message.message_id, before);
      this.render(conversation);
      toast(say("failed", { error: sayError(error) }));
      return false;
    }
  }
}
