import assert from "node:assert/strict";
import test from "node:test";

import { Outbox } from "../../static/tether/outbox.js";
import { C, D, Keeper } from "./fake.js";

let made = 0;
const randomId = () => `id-${(made += 1)}`;
const outbox = (keeper = new Keeper()) => {
  const box = new Outbox({ keeper, randomId, now: () => 0 });
  box.takeUp(keeper.records);
  return box;
};
const contents = (frames) => frames.map((frame) => frame.content);

test("texts of a conversation go one after the other, those of two side by side", () => {
  const box = outbox();
  const first = box.add(C, "one");
  box.add(C, "two");
  box.add(D, "three");
  assert.deepEqual(contents(box.take(0)), ["one", "three"]);
  assert.deepEqual(contents(box.take(0)), []);
  box.acked({ client_id: first.client_id, seq: 1 });
  assert.deepEqual(contents(box.take(0)), ["two"]);
});

test("the first sending is plain and a repeat is marked and keeps its client_id", () => {
  const box = outbox();
  box.add(C, "one");
  const [first] = box.take(0);
  box.suspend();
  const [again] = box.take(0);
  assert.equal(first.retry, undefined);
  assert.deepEqual(again, { ...first, retry: true });
});

test("a text survives a reload and is then sent as a repeat if it was under way", () => {
  const keeper = new Keeper();
  const before = outbox(keeper);
  before.add(C, "sent");
  before.add(C, "typed");
  const [first] = before.take(0);
  const after = outbox(keeper);
  assert.deepEqual(after.take(0), [{ ...first, retry: true }]);
  after.acked({ client_id: first.client_id, seq: 1 });
  assert.equal(after.take(0)[0].retry, undefined);
});

test("a passing error delays the text and does not let a later one overtake it", () => {
  const box = outbox();
  const entry = box.add(C, "one");
  box.add(C, "two");
  box.take(0);
  box.failed({ client_id: entry.client_id, code: "RATE_LIMITED", retryable: true, retry_after: 3 }, 1000);
  assert.deepEqual(box.take(3999), []);
  assert.equal(box.nextAt(), 0);
  assert.deepEqual(contents(box.take(4000)), ["one"]);
});

test("a final error leaves the decision to the user and lets the next text go", () => {
  const box = outbox();
  const entry = box.add(C, "one");
  box.add(C, "two");
  box.take(0);
  box.failed({ client_id: entry.client_id, code: "FORBIDDEN", message: "no", retryable: false }, 0);
  assert.deepEqual(contents(box.take(0)), ["two"]);
  box.retry(entry.client_id);
  box.suspend();
  assert.deepEqual(contents(box.take(0)), ["one"]);
});

test("a refused text is still refused after a reload", () => {
  const keeper = new Keeper();
  const box = outbox(keeper);
  const entry = box.add(C, "one");
  box.failed({ client_id: entry.client_id, code: "TOO_LARGE", retryable: false }, 0);
  assert.deepEqual([outbox(keeper).entries[0].state, outbox(keeper).take(0)], ["refused", []]);
});

test("an acked text stays until the log brings it and is not kept in storage", () => {
  const keeper = new Keeper();
  const box = outbox(keeper);
  const entry = box.add(C, "one");
  box.acked({ client_id: entry.client_id, seq: 5 });
  assert.deepEqual([box.of(C).length, box.unacked, keeper.records.length], [1, 0, 0]);
  box.reached(C, 4);
  assert.equal(box.of(C).length, 1);
  box.reached(C, 5);
  assert.equal(box.of(C).length, 0);
});

test("texts that two tabs wrote go in the order in which they were written", () => {
  const box = outbox();
  box.add(C, "first, here");
  box.hear({ put: { client_id: "b", conversation_id: C, content: "third, elsewhere", at: 3, sent: false, state: "queued" } });
  box.hear({ put: { client_id: "a", conversation_id: C, content: "second, elsewhere", at: 2, sent: false, state: "queued" } });
  assert.deepEqual(box.of(C).map((entry) => entry.content), ["first, here", "second, elsewhere", "third, elsewhere"]);
  assert.deepEqual(contents(box.take(0)), ["first, here"]);
});

test("what was acked in another tab is not sent from here", () => {
  const keeper = new Keeper();
  const [here, there] = [outbox(keeper), outbox(keeper)];
  const { client_id } = there.add(C, "one");
  here.takeUp(keeper.records);
  there.take(0);
  there.acked({ client_id, seq: 1 });
  for (const message of keeper.told) here.hear(message);
  here.takeUp(keeper.records);
  assert.deepEqual([here.take(0), here.waiting], [[], 0]);
});

test("a text that is thrown away is gone from every tab and from what is kept", () => {
  const keeper = new Keeper();
  const [here, there] = [outbox(keeper), outbox(keeper)];
  const { client_id } = here.add(C, "one");
  there.takeUp(keeper.records);
  here.discard(client_id);
  for (const message of keeper.told) there.hear(message);
  assert.deepEqual([there.of(C), keeper.records], [[], []]);
});

test("the late word of a tab that has closed in the middle of sending holds nothing up", () => {
  const keeper = new Keeper();
  const [here, closed] = [outbox(keeper), outbox(keeper)];
  closed.add(C, "one");
  closed.add(C, "two");
  closed.take(0);
  const [record] = keeper.records; // that it is being sent, from there
  here.takeUp(keeper.records);
  here.hear({ put: record });
  const [again] = here.take(0);
  assert.deepEqual([again.content, again.retry], ["one", true]);
  here.hear({ put: { ...record, state: "queued", sent: false } });
  assert.deepEqual(here.take(0), []); // on its way from here
  here.acked({ client_id: record.client_id, seq: 1 });
  assert.deepEqual(contents(here.take(0)), ["two"]);
});
