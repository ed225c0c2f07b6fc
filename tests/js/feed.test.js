import assert from "node:assert/strict";
import test from "node:test";

import { Feed } from "../../static/tether/feed.js";
import { C, D, cursor } from "./fake.js";

const item = (id, fields = {}) => ({ conversation_id: id, title: "Tea", preview: "", unread: 0, ...fields });
const entry = (seq, kind, data) => ({ type: "feed", ...cursor(seq), event: `conversation.${kind}`, data });
const order = (feed) => feed.sorted().map((each) => each.conversation_id);

function listed(items = [item(C), item(D)]) {
  const feed = new Feed();
  feed.take({ items, more: false, feed: cursor(4) });
  return feed;
}

test("a list keeps the order it came in", () => {
  assert.deepEqual(order(listed()), [C, D]);
});

test("an update changes the item and brings it to the top", () => {
  const feed = listed();
  feed.apply(entry(5, "updated", { conversation_id: D, title: "Coffee", preview: "hi", unread: 2, head: cursor(9) }));
  const [first] = feed.sorted();
  assert.deepEqual([first.title, first.preview, first.unread], ["Coffee", "hi", 2]);
  assert.deepEqual(order(feed), [D, C]);
});

test("pinned conversations stay on top", () => {
  const feed = listed([item(C), item(D, { pinned: true })]);
  assert.deepEqual(order(feed), [D, C]);
});

test("entries that the list already holds are ignored, missing ones are a gap", () => {
  const feed = listed();
  assert.equal(feed.apply(entry(4, "deleted", { conversation_id: C })), "ignored");
  assert.equal(feed.apply(entry(6, "deleted", { conversation_id: C })), "gap");
  assert.deepEqual(order(feed), [C, D]);
});

test("entries that come while a list is fetched are applied to it if it does not hold them", () => {
  const feed = new Feed();
  feed.fetching = true;
  feed.apply(entry(4, "deleted", { conversation_id: C }));
  feed.apply(entry(5, "deleted", { conversation_id: D }));
  assert.equal(feed.take({ items: [item(C), item(D)], more: false, feed: cursor(4) }), "applied");
  assert.deepEqual(order(feed), [C]);
});

test("a deleted conversation comes back with its title", () => {
  const feed = listed();
  feed.apply(entry(5, "deleted", { conversation_id: C }));
  assert.deepEqual(order(feed), [D]);
  feed.apply(entry(6, "restored", { conversation_id: C }));
  assert.equal(feed.items.get(C).title, "Tea");
});

test("one that comes back unknown asks for a new list", () => {
  assert.equal(new Feed().apply(entry(1, "restored", { conversation_id: C })), "gap");
  const feed = new Feed();
  feed.take({ items: [], more: false, feed: cursor(4) });
  assert.equal(feed.apply(entry(5, "restored", { conversation_id: C })), "gap");
});

test("reading up to the head clears the count of unread, reading less does not", () => {
  const feed = listed([item(C, { unread: 3, head: cursor(9) })]);
  feed.apply(entry(5, "read", { conversation_id: C, seq: 8 }));
  assert.equal(feed.items.get(C).unread, 3);
  feed.apply(entry(6, "read", { conversation_id: C, seq: 9 }));
  assert.equal(feed.items.get(C).unread, 0);
});

test("what was counted before the reader read further is no news, and asks for a list if something came since", () => {
  const feed = listed([item(C, { unread: 1, head: cursor(8), read_seq: 7 })]);
  feed.wasRead(C, 9);
  const late = { conversation_id: C, title: "Tea", preview: "so", unread: 1, read_seq: 7, head: cursor(9) };
  assert.equal(feed.apply(entry(5, "updated", late)), "applied");
  assert.deepEqual([feed.items.get(C).unread, feed.items.get(C).preview], [0, "so"]);
  assert.equal(feed.apply(entry(6, "updated", { ...late, head: cursor(12) })), "gap");
  assert.equal(feed.apply(entry(7, "updated", { ...late, unread: 2, read_seq: 9, head: cursor(14) })), "applied");
  assert.equal(feed.items.get(C).unread, 2);
});

test("a further page goes below", () => {
  const feed = listed([item(C)]);
  feed.extend({ items: [item(C), item(D, { last_active: "2026-01-01T00:00:00.000Z" })], more: true });
  assert.deepEqual(order(feed), [C, D]);
  assert.equal(feed.mark, `2026-01-01T00:00:00.000Z/${D}`);
});
