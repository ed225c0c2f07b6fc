/**
 * The user's list of conversations, kept true by the feed.
 *
 * A list is true at the cursor it came with; feed entries continue from there. Entries that come while a list
 * is being fetched are held back and looked at again when it is here.
 */

import { cursorOf, relation } from "./protocol.js";

const HELD_BACK = 1000;

export class Feed {
  cursor = null;
  items = new Map(); // conversation_id -> {conversation_id, title, preview, unread, read_seq, head, pinned, rank}
  ratings = new Map(); // message_id -> "up", "down" or "", as far as they were asked for
  comments = new Map(); // message_id -> {rating, comment}: what the reader wrote with that rating
  more = false;
  mark = null; // what to ask for the next page by
  fetching = false;
  error = null; // why the last list did not come
  #held = [];
  #hidden = new Map();
  #rank = 0;

  /** items: what the page was painted with, newest first. */
  constructor(items = []) {
    for (const item of [...items].reverse()) this.#put(item.conversation_id, item);
  }

  /** Items as a reader meets them: pinned first, then the latest. */
  sorted() {
    const pinned = (item) => (item.pinned ? 1 : 0);
    return [...this.items.values()].sort((a, b) => pinned(b) - pinned(a) || b.rank - a.rank);
  }

  /** Take a whole new list (`result` of list_conversations). Returns "applied", or "gap": fetch again. */
  take({ items, more, feed }) {
    this.fetching = false;
    this.error = null;
    this.items = new Map();
    this.#page(items, more);
    for (const item of [...items].reverse()) this.#put(item.conversation_id, item);
    this.cursor = feed;
    const held = this.#held.splice(0);
    const gap = held.map((frame) => this.apply(frame)).includes("gap");
    return gap ? "gap" : "applied";
  }

  /** The list did not come; what is here may be out of date. */
  failed(error) {
    this.fetching = false;
    this.error = error;
  }

  /** Put a further page of older items below. */
  extend({ items, more }) {
    const lowest = Math.min(0, ...[...this.items.values()].map((item) => item.rank));
    const fresh = items.filter((item) => !this.items.has(item.conversation_id));
    fresh.forEach((item, index) => this.items.set(item.conversation_id, { ...item, rank: lowest - 1 - index }));
    this.#page(items, more);
  }

  /** The cursor is of no use any more. */
  reset() {
    this.cursor = null;
  }

  apply(frame) {
    if (this.fetching) return this.#hold(frame);
    const how = relation(this.cursor, frame);
    if (how !== "next") return how === "old" ? "ignored" : "gap";
    this.cursor = cursorOf(frame);
    return this.#kinds[frame.event]?.(frame.data ?? {}) ?? "applied";
  }

  #page(items, more) {
    const last = items.at(-1);
    this.more = Boolean(more && last);
    this.mark = last ? `${last.last_active}/${last.conversation_id}` : null;
  }

  #hold(frame) {
    if (this.#held.length < HELD_BACK) this.#held.push(frame);
    return "ignored";
  }

  #kinds = {
    "conversation.created": (data) => this.#put(data.conversation_id, data),
    "conversation.updated": (data) => this.#updated(data),
    "conversation.unarchived": (data) => this.#bringBack(data.conversation_id),
    "conversation.restored": (data) => this.#bringBack(data.conversation_id),
    "conversation.archived": (data) => this.#hide(data.conversation_id),
    "conversation.deleted": (data) => this.#hide(data.conversation_id),
    "conversation.pinned": (data) => this.#change(data.conversation_id, { pinned: true }),
    "conversation.unpinned": (data) => this.#change(data.conversation_id, { pinned: false }),
    "conversation.draft": ({ conversation_id: id, content, device_id: device }) =>
      this.#change(id, { draft: content, draft_device: device }),
    "conversation.rated": ({ message_id: id, rating }) => {
      this.ratings.set(id, rating);
      return "applied";
    },
    "conversation.read": ({ conversation_id: id, seq }) => this.wasRead(id, seq),
  };

  /** The reader has read up to here, on this device or another. */
  wasRead(id, seq) {
    const { head, read_seq: before } = this.items.get(id) ?? {};
    const all = seq >= (head?.seq ?? 0);
    return this.#change(id, { read_seq: Math.max(seq, before ?? 0), ...(all && { unread: 0 }) });
  }

  /** What was counted before the reader had read this far tells nothing, unless nothing came since. */
  #updated(data) {
    const { conversation_id: id, head, read_seq: read } = data;
    const known = this.items.get(id)?.read_seq ?? 0;
    const isLate = read !== undefined && read !== null && read < known;
    if (!isLate) return this.#put(id, data);
    this.#put(id, { ...data, read_seq: known, ...(head.seq <= known && { unread: 0 }) });
    return head.seq <= known ? "applied" : "gap";
  }

  #put(id, fields) {
    this.#rank += 1;
    const known = this.items.get(id) ?? { title: "", preview: "", unread: 0 };
    const told = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
    this.items.set(id, { ...known, ...told, rank: this.#rank });
    return "applied";
  }

  #hide(id) {
    if (this.items.has(id)) this.#hidden.set(id, this.items.get(id));
    this.items.delete(id);
    return "applied";
  }

  /** The feed names only the id: what we no longer know must be listed again. */
  #bringBack(id) {
    if (this.items.has(id)) return "applied";
    if (!this.#hidden.has(id)) return "gap";
    this.items.set(id, this.#hidden.get(id));
    this.#hidden.delete(id);
    return "applied";
  }

  #change(id, fields) {
    if (this.items.has(id)) Object.assign(this.items.get(id), fields);
    return "applied";
  }
}
