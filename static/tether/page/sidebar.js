/** The list of conversations: the current ones as the feed keeps them, or the archived ones, and what to do to each. */

import { toast } from "./dialogs.js";
import { clone, find, reconcile, write } from "./dom.js";
import { say, sayError } from "./words.js";

const list = find("#items");
const menu = find("#item-menu");
const archivedButton = find("#archived");
const PAGE = 100;

export class Sidebar {
  #client;
  #page;
  #archived = null; // the archived items, while they are what is shown
  #more = false; // there are more archived ones
  #chosen = null; // the item that the menu is open for

  /** page: {openId(), pathOf(id), go(id), restore(id)}. */
  constructor(client, page) {
    this.#client = client;
    this.#page = page;
    list.addEventListener("click", (event) => this.#clicked(event));
    list.addEventListener("keydown", (event) => this.#key(event));
    menu.addEventListener("click", (event) => this.#did(event.target.closest("[data-verb]")?.dataset.verb));
    menu.addEventListener("toggle", ({ newState }) => newState === "closed" && this.#closed());
    archivedButton.addEventListener("click", () => this.showArchived(!this.#archived));
    find("#more-items").addEventListener("click", () => this.#try(() => this.#showMore()));
    find("#list-again").addEventListener("click", () => client.fetchList());
  }

  get #items() {
    return this.#archived ?? this.#client.feed.sorted();
  }

  render() {
    const { feed } = this.#client;
    reconcile(list, this.#items, {
      key: (item) => item.conversation_id,
      make: () => clone("item"),
      update: (element, item) => this.#show(element, item),
    });
    const empty = !this.#items.length;
    find("#no-items").hidden = !empty || Boolean(this.#archived) || Boolean(feed.error);
    find("#no-archived").hidden = !empty || !this.#archived;
    find("#more-items").hidden = !(this.#archived ? this.#more : feed.more);
    find("#list-failed").hidden = !feed.error || !this.#client.live;
    if (feed.error) write(find("#list-failed .words"), say("list_failed", { error: sayError(feed.error) }));
    archivedButton.setAttribute("aria-pressed", String(Boolean(this.#archived)));
    archivedButton.disabled = !this.#client.live;
    for (const button of menu.querySelectorAll("button")) button.disabled = !this.#client.live;
  }

  #show(element, item) {
    const link = find("a", element);
    const id = item.conversation_id;
    const path = this.#page.pathOf(id);
    if (link.getAttribute("href") !== path) link.setAttribute("href", path);
    if (id === this.#page.openId()) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    const title = item.title || say("untitled");
    write(find(".title", link), title);
    write(find(".preview", link), item.preview ?? "");
    find(".pinned", element).hidden = !item.pinned;
    find(".more", element).setAttribute("aria-label", say("item_actions", { title }));
    const unread = id === this.#page.openId() ? 0 : item.unread;
    find(".unread", link).hidden = !unread;
    write(find(".count", link), unread ? String(Math.min(unread, 99)) : "");
    write(find(".counted", link), unread ? say(unread === 1 ? "unread_one" : "unread", { count: unread }) : "");
  }

  /** Show the archived conversations, or the current ones again. */
  async showArchived(wanted) {
    if (!wanted) this.#archived = null;
    else await this.#try(() => this.#fetchArchived());
    this.render();
  }

  /** The feed moved: what is archived may have changed. */
  async refresh() {
    if (!this.#archived) return;
    await this.#try(() => this.#fetchArchived());
    this.render();
  }

  async #fetchArchived() {
    const { items, more } = await this.#client.command("list_conversations", { archived: true, limit: PAGE });
    this.#archived = items;
    this.#more = more;
  }

  async #showMore() {
    const last = this.#archived?.at(-1);
    const before = last ? `${last.last_active}/${last.conversation_id}` : this.#client.feed.mark;
    const asked = { archived: Boolean(this.#archived), before, limit: PAGE };
    const page = await this.#client.command("list_conversations", asked);
    if (!this.#archived) this.#client.feed.extend(page);
    else this.#archived = [...this.#archived, ...page.items];
    this.#more = page.more;
    this.render();
  }

  #clicked(event) {
    const more = event.target.closest(".more");
    if (!more) return;
    this.#openMenu(more.closest(".item").dataset.key, more);
  }

  #openMenu(id, button) {
    this.#chosen = this.#items.find((item) => item.conversation_id === id);
    if (!this.#chosen) return;
    const { pinned } = this.#chosen;
    const shown = { pin: !pinned, unpin: pinned, archive: !this.#archived, unarchive: this.#archived };
    for (const [verb, isShown] of Object.entries(shown)) find(`[data-verb=${verb}]`, menu).hidden = !isShown;
    const owned = (this.#chosen.role ?? "owner") === "owner";
    for (const verb of ["rename", "delete"]) find(`[data-verb=${verb}]`, menu).hidden = !owned;
    menu.showPopover();
    const { left, bottom } = button.getBoundingClientRect();
    menu.style.left = `${Math.min(left, innerWidth - menu.offsetWidth - 8)}px`;
    menu.style.top = `${Math.min(bottom + 4, innerHeight - menu.offsetHeight - 8)}px`;
    button.setAttribute("aria-expanded", "true");
    find("button:not([hidden])", menu).focus();
  }

  #closed() {
    const button = find("[aria-expanded=true]", list);
    button?.setAttribute("aria-expanded", "false");
    if (document.activeElement === document.body) button?.focus();
  }

  #key(event) {
    const item = event.target.closest(".item");
    const id = item?.dataset.key;
    if (!id || event.target.matches("input") || event.altKey || event.ctrlKey || event.metaKey) return;
    const next = { ArrowDown: item.nextElementSibling, ArrowUp: item.previousElementSibling }[event.key];
    if (next) find("a", next).focus();
    else if (event.key === "F2") this.rename(id);
    else if (event.key === "Delete") this.#with(id, (chosen) => this.#delete(chosen));
    else return;
    event.preventDefault();
  }

  #with(id, verb) {
    const chosen = this.#items.find((item) => item.conversation_id === id);
    if (chosen && this.#client.live) this.#try(() => verb(chosen));
  }

  #did(verb) {
    if (!verb) return;
    const { conversation_id: id } = this.#chosen;
    menu.hidePopover();
    if (verb === "rename") return this.rename(id);
    if (verb === "delete") return this.#with(id, (chosen) => this.#delete(chosen));
    this.#with(id, (chosen) => this.#flag(verb, chosen));
  }

  async #flag(verb, { conversation_id: id, title }) {
    await this.#client.command(verb, { conversation_id: id });
    if (verb === "unarchive") await this.#fetchArchived();
    this.render();
    if (verb !== "archive") return;
    const undo = () => this.#try(() => this.#client.command("unarchive", { conversation_id: id }));
    toast(say("archived", { title: title || say("untitled") }), { label: say("undo"), press: undo });
  }

  async #delete({ conversation_id: id, title }) {
    await this.#client.command("delete", { conversation_id: id });
    if (this.#archived) await this.#fetchArchived();
    const wasOpen = this.#page.openId() === id;
    this.#client.close(id);
    if (wasOpen) this.#page.go(null);
    this.render();
    const restore = () => this.#client.command("restore", { conversation_id: id }).then(() => this.refresh());
    const undo = () => (wasOpen ? this.#page.restore(id) : this.#try(restore));
    toast(say("deleted", { title: title || say("untitled") }), { label: say("undo"), press: undo });
  }

  /** Let the title be written in its place: Enter or leaving the field keeps it, Escape does not. */
  rename(id) {
    const element = find(`[data-key="${id}"]`, list);
    const item = this.#items.find((each) => each.conversation_id === id);
    if (!element || !item || find("input", element)) return;
    const field = find("input", clone("rename"));
    field.value = item.title;
    field.setAttribute("aria-label", say("rename_title"));
    element.classList.add("renaming");
    element.append(field);
    field.select();
    let open = true;
    const end = (keep) => {
      if (!open) return;
      open = false; // removing it blurs it, which would end it once more
      const title = field.value.trim();
      const focused = document.activeElement === field;
      field.remove();
      element.classList.remove("renaming");
      if (focused) find("a", element).focus();
      if (keep && title && title !== item.title) this.#with(id, () => this.#rename(id, title));
    };
    field.addEventListener("blur", () => end(true));
    field.addEventListener("keydown", (event) => {
      if (event.isComposing || event.keyCode === 229) return;
      if (event.key === "Enter") end(true);
      if (event.key === "Escape") end(false);
      event.stopPropagation();
    });
  }

  async #rename(id, title) {
    await this.#client.command("rename", { conversation_id: id, title });
    if (this.#archived) await this.#fetchArchived();
    this.render();
  }

  async #try(verb) {
    try {
      await verb();
    } catch (error) {
      toast(say("failed", { error: sayError(error) }));
    }
  }
}
