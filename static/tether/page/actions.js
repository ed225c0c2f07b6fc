/** What the menu of a conversation does. Each asks first where it cannot be undone. */

import { ask, toast } from "./dialogs.js";
import { find } from "./dom.js";
import { say, sayError } from "./words.js";

export class Actions {
  #client;
  #page;

  /** page: {open() -> the open conversation, go(id), goHome(), render(), untouched() -> the id of an unused one or null}. */
  constructor(client, page) {
    this.#client = client;
    this.#page = page;
    for (const button of document.querySelectorAll("[data-action]")) {
      button.addEventListener("click", () => this.#chosen(button.dataset.action));
    }
    for (const button of document.querySelectorAll("[data-new]")) {
      button.addEventListener("click", () => this.#try(() => this.#begin()));
    }
  }

  #chosen(action) {
    find("#menu").hidePopover();
    const conversation = this.#page.open();
    if (conversation) this.#try(() => this.#verbs[action](conversation));
  }

  async #try(verb) {
    try {
      await verb();
    } catch (error) {
      toast(say("failed", { error: sayError(error) }));
    }
  }

  #owns(members) {
    return members.some(({ user_id: user, role }) => role === "owner" && String(user) === this.#client.userId);
  }

  async #begin() {
    const id = this.#page.untouched() ?? (await this.#client.command("new_conversation")).conversation_id;
    this.#page.go(id);
  }

  #verbs = {
    rename: async ({ id, title }) => {
      const asked = { title: say("rename_title"), label: say("rename_label"), value: title, ok: say("rename_ok") };
      const given = await ask(asked);
      if (given) await this.#client.command("rename", { conversation_id: id, title: given });
    },
    topic: async ({ id, topic }) => {
      const asked = { title: say("topic_title"), label: say("topic_label"), value: topic, ok: say("topic_ok") };
      const given = await ask(asked);
      if (given) await this.#client.command("switch_topic", { conversation_id: id, topic: given });
    },
    invite: async ({ id }) => {
      const asked = { title: say("invite_title"), text: say("invite_text"), label: say("user_name"), ok: say("invite_ok") };
      const username = await ask(asked);
      if (username) await this.#about(username, "invite", id);
    },
    // Seldom needed, so the page does not wait for them.
    assistant: async ({ id, members }) => {
      const { askAssistant } = await import("./assistant.js");
      await askAssistant(this.#client, id, this.#owns(members));
    },
    share: async ({ id }) => {
      const { showShares } = await import("./shares.js");
      await showShares(this.#client, id);
    },
    remove: async ({ id, members }) => {
      const others = members.filter(({ user_id: user }) => String(user) !== this.#client.userId);
      const text = others.map(({ username }) => username).join(", ");
      const asked = { title: say("remove_title"), text, label: say("user_name"), ok: say("remove_ok"), danger: true };
      const username = await ask(asked);
      if (username) await this.#about(username, "remove_member", id);
    },
    leave: async ({ id, title }) => {
      const asked = { title: say("leave_group_title"), text: say("leave_group_text"), ok: say("leave_group_ok") };
      if (!(await ask({ ...asked, danger: true }))) return;
      await this.#client.command("leave", { conversation_id: id });
      this.#client.close(id);
      this.#page.goHome();
      toast(say("left_group", { title: title || say("untitled") }));
    },
    export: ({ id }) => this.#export(id, "markdown"),
    json: ({ id }) => this.#export(id, "json"),
    clear: async ({ id }) => {
      const asked = { title: say("clear_title"), text: say("clear_text"), ok: say("clear_ok"), danger: true };
      if (await ask(asked)) await this.#client.command("clear_history", { conversation_id: id });
    },
    replaced: async (conversation) => {
      conversation.showsReplaced = !conversation.showsReplaced;
      this.#page.render();
    },
    delete: async ({ id, title }) => {
      await this.#client.command("delete", { conversation_id: id });
      this.#client.close(id);
      this.#page.goHome();
      const undo = { label: say("undo"), press: () => this.restore(id) };
      toast(say("deleted", { title: title || say("untitled") }), undo);
    },
  };

  async #export(id, format) {
    const { url } = await this.#client.command("export", { conversation_id: id, format });
    Object.assign(document.createElement("a"), { href: url, download: "" }).click();
  }

  /** Name somebody in a command; whoever is refused most likely wrote the name wrong. */
  async #about(username, command, id) {
    try {
      await this.#client.command(command, { conversation_id: id, username });
    } catch (error) {
      if (error.code !== "FORBIDDEN") throw error;
      toast(say("no_such_person", { username }));
    }
  }

  /** Do something with one message of the open conversation. */
  about(verb, message) {
    const conversation = this.#page.open();
    if (conversation) this.#try(() => this.#messageVerbs[verb](conversation, message));
  }

  #messageVerbs = {
    regenerate: async ({ id }, { message_id }) => {
      await this.#client.command("regenerate", { conversation_id: id, message_id });
    },
    edit: async ({ id }, { message_id, content }) => {
      const asked = { title: say("edit_title"), text: say("edit_text"), label: say("edit_label"), ok: say("edit_ok") };
      const given = await ask({ ...asked, value: content, long: true });
      if (given) await this.#client.command("edit", { conversation_id: id, message_id, content: given });
    },
    fork: async ({ id }, { seq }) => {
      const data = await this.#client.command("fork", { conversation_id: id, seq });
      this.#page.go(data.conversation_id);
      toast(say("forked"));
    },
  };

  restore(id) {
    return this.#try(async () => {
      await this.#client.command("restore", { conversation_id: id });
      this.#client.close(id);
      this.#page.go(id);
    });
  }

  /** Sign out, after a question if something would be lost. Returns whether to go on. */
  async mayLeave() {
    if (!this.#client.outbox.unacked) return true;
    const asked = { title: say("leave_title"), text: say("leave_text"), ok: say("leave_ok"), danger: true };
    return Boolean(await ask(asked));
  }
}
