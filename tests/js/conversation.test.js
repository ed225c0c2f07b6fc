import assert from "node:assert/strict";
import test from "node:test";

import { Conversation } from "../../static/tether/conversation.js";
import {
  C,
  T,
  answer,
  cursor,
  delta,
  event,
  finished,
  message,
  opened,
  said,
  snapshot,
  started,
  texts,
} from "./fake.js";

function live(messages = []) {
  const conversation = new Conversation(C);
  const seq = messages.at(-1)?.seq ?? 0;
  conversation.apply(snapshot({ messages, head: cursor(seq) }));
  conversation.apply(opened(seq));
  return conversation;
}

const turn = (conversation) => conversation.turns.get(T);

test("entries are applied in order and the cursor follows them", () => {
  const conversation = live();
  assert.equal(conversation.apply(said(1, "one")), "applied");
  assert.equal(conversation.apply(said(2, "two")), "applied");
  assert.deepEqual(texts(conversation), ["one", "two"]);
  assert.deepEqual(conversation.cursor, cursor(2));
});

test("a repeated entry changes nothing", () => {
  const conversation = live();
  conversation.apply(said(1, "one"));
  assert.equal(conversation.apply(said(1, "one")), "ignored");
  assert.deepEqual(texts(conversation), ["one"]);
});

test("a missing entry is a gap and nothing behind it is applied", () => {
  const conversation = live();
  assert.equal(conversation.apply(said(2, "two")), "gap");
  assert.deepEqual(texts(conversation), []);
  assert.deepEqual(conversation.cursor, cursor(0));
});

test("another epoch or another chain at the same place is a gap", () => {
  const conversation = live([message(3, "three")]);
  assert.equal(conversation.apply({ ...said(4, "four"), epoch: 2 }), "gap");
  assert.equal(conversation.apply({ ...said(3, "three"), chain: "f".repeat(16) }), "gap");
});

test("an unknown kind of entry moves the cursor and nothing else", () => {
  const conversation = live();
  assert.equal(conversation.apply(event(1, "reaction.added", {})), "applied");
  assert.deepEqual([conversation.cursor.seq, conversation.lines()], [1, []]);
});

test("pieces make the text in their order, once each", () => {
  const conversation = live();
  conversation.apply(started(1));
  for (const piece of [delta(1, "w1"), delta(1, "w1"), delta(2, " w2"), delta(1, "w1")]) conversation.apply(piece);
  assert.equal(turn(conversation).text, "w1 w2");
  assert.equal(turn(conversation).n, 2);
});

test("a missing piece is a gap", () => {
  const conversation = live();
  conversation.apply(started(1));
  conversation.apply(delta(1, "w1"));
  assert.equal(conversation.apply(delta(3, " w3")), "gap");
  assert.equal(turn(conversation).text, "w1");
});

test("pieces before opened and after turn.finished are ignored", () => {
  const conversation = live();
  conversation.suspend();
  assert.equal(conversation.apply(delta(1, "early")), "ignored");
  conversation.apply(opened(0));
  for (const frame of [started(1), delta(1, "w1"), answer(2, "w1"), finished(3)]) conversation.apply(frame);
  assert.equal(conversation.apply(delta(2, "late")), "ignored");
  assert.equal(conversation.turns.size, 0);
});

test("a takeover starts the text afresh and keeps the old one at hand", () => {
  const conversation = live();
  conversation.apply(started(1));
  conversation.apply(delta(1, "w1 w2"));
  conversation.apply(started(2, 2, "n2"));
  assert.deepEqual(
    [turn(conversation).text, turn(conversation).previous, turn(conversation).node],
    ["", "w1 w2", "n2"],
  );
  conversation.apply(delta(1, "w1", 2));
  assert.equal(turn(conversation).text, "w1");
});

test("the first piece of a higher attempt starts afresh even before its turn.started", () => {
  const conversation = live();
  conversation.apply(started(1));
  conversation.apply(delta(1, "old"));
  assert.equal(conversation.apply(delta(1, "new", 2)), "applied");
  conversation.apply(started(2, 2));
  assert.deepEqual([turn(conversation).text, turn(conversation).attempt], ["new", 2]);
});

test("a later piece of an attempt that is not known is a gap", () => {
  const conversation = live();
  conversation.apply(started(1));
  assert.equal(conversation.apply(delta(4, "w4", 2)), "gap");
});

test("pieces of an attempt that was overtaken are ignored", () => {
  const conversation = live();
  conversation.apply(started(1, 2));
  assert.equal(conversation.apply(delta(1, "old", 1)), "ignored");
  assert.equal(turn(conversation).text, "");
});

test("two takeovers keep the longest text that was read", () => {
  const conversation = live();
  conversation.apply(started(1));
  conversation.apply(delta(1, "w1 w2 w3"));
  conversation.apply(started(2, 2));
  conversation.apply(delta(1, "w1", 2));
  conversation.apply(started(3, 3));
  assert.equal(turn(conversation).previous, "w1 w2 w3");
});

test("opened brings the half-written answer and pieces go on behind it", () => {
  const conversation = new Conversation(C);
  conversation.apply(snapshot());
  conversation.apply(
    opened(0, [{ turn_id: T, attempt: 2, status: "running", n: 3, text: "w1 w2 w3", interrupts: [] }]),
  );
  assert.equal(conversation.apply(delta(3, " w3", 2)), "ignored");
  assert.equal(conversation.apply(delta(4, " w4", 2)), "applied");
  assert.equal(turn(conversation).text, "w1 w2 w3 w4");
});

test("opened after a takeover keeps what was read before it", () => {
  const conversation = live();
  conversation.apply(started(1));
  conversation.apply(delta(1, "w1 w2 w3"));
  conversation.suspend();
  conversation.apply(opened(1, [{ turn_id: T, attempt: 2, status: "running", n: 1, text: "w1", interrupts: [] }]));
  assert.deepEqual([turn(conversation).text, turn(conversation).previous], ["w1", "w1 w2 w3"]);
});

test("a turn that opened does not name is over", () => {
  const conversation = live();
  conversation.apply(started(1));
  conversation.apply(opened(1, []));
  assert.equal(conversation.turns.size, 0);
});

test("an opened that is ahead of what came is a gap", () => {
  const conversation = live([message(1, "one")]);
  assert.equal(conversation.apply(opened(4)), "gap");
});

test("a message that asks for an answer is a queued turn until it starts", () => {
  const conversation = live();
  conversation.apply(said(1, "hello", { turn_id: T }));
  assert.equal(turn(conversation).status, "queued");
  conversation.apply(started(2));
  assert.deepEqual([turn(conversation).status, turn(conversation).attempt], ["running", 1]);
});

test("the final message takes the place of the text being written", () => {
  const conversation = live();
  for (const frame of [started(1), delta(1, "w1"), answer(2, "w1")]) conversation.apply(frame);
  assert.deepEqual([conversation.turns.size, texts(conversation)], [0, ["w1"]]);
});

test("a failed turn leaves a line with its reason", () => {
  const conversation = live();
  conversation.apply(started(1));
  conversation.apply(finished(2, { status: "failed", error: "The model is away." }));
  const [line] = conversation.lines();
  assert.deepEqual([line.kind, line.data.error], ["turn.failed", "The model is away."]);
  assert.equal(conversation.turns.size, 0);
});

test("a turn that waits for a person says for what, until it is answered", () => {
  const conversation = live();
  conversation.apply(started(1));
  conversation.apply(event(2, "turn.waiting", { turn_id: T, interrupts: [{ id: "i1", value: "pay" }] }));
  assert.deepEqual([turn(conversation).status, turn(conversation).interrupts.length], ["waiting", 1]);
  conversation.apply(event(3, "turn.answered", { turn_id: T, interrupt_id: "i1", value: true }));
  assert.deepEqual([turn(conversation).status, turn(conversation).interrupts], ["running", []]);
});

test("a snapshot takes the place of all that was known, whatever its reason", () => {
  for (const reason of ["new", "epoch", "diverged", "too_far", "cleared"]) {
    const conversation = live([message(1, "old")]);
    conversation.apply(snapshot({ reason, head: cursor(9, 2), messages: [message(9, "new")], more: true }));
    assert.deepEqual(texts(conversation), ["new"]);
    assert.deepEqual([conversation.cursor, conversation.reason, conversation.more], [cursor(9, 2), reason, true]);
    assert.equal(conversation.live, false);
  }
});

test("a clearing erases what was before it", () => {
  const conversation = live([message(1, "one")]);
  conversation.apply(event(2, "history.cleared", {}));
  conversation.apply(said(3, "three"));
  assert.deepEqual(
    conversation.lines().map((line) => line.kind),
    ["history.cleared", "message"],
  );
  assert.deepEqual(texts(conversation), ["three"]);
});

test("a superseded message is not shown", () => {
  const conversation = live([message(1, "one"), message(2, "two")]);
  conversation.apply(event(3, "message.superseded", { from_seq: 2, to_seq: 2, by: "x" }));
  assert.deepEqual(
    conversation.lines().map((line) => line.message.content),
    ["one"],
  );
});

test("title and topic follow the log", () => {
  const conversation = live();
  conversation.apply(event(1, "conversation.renamed", { title: "Coffee" }));
  conversation.apply(event(2, "topic.switched", { topic: "beans" }));
  assert.deepEqual([conversation.title, conversation.topic], ["Coffee", "beans"]);
});

test("what others said behind the place one has read is unread", () => {
  const conversation = live([message(3, "mine", { author: "7" }), message(5, "answer", { author: "assistant" })]);
  assert.deepEqual(
    [4, 5].map((seq) => conversation.isUnread("7", seq)),
    [true, false],
  );
  assert.equal(live([message(3, "mine", { author: "7" })]).isUnread("7", 0), false);
});

test("older messages go before, once each", () => {
  const conversation = live([message(3, "three"), message(4, "four")]);
  const older = [message(2, "two"), message(1, "one"), message(3, "three")];
  conversation.prepend({ messages: older, more: false });
  assert.deepEqual(texts(conversation), ["one", "two", "three", "four"]);
});

test("what stands between the messages comes with a snapshot, older messages and the first paint, as it was live", () => {
  const entries = [
    event(1, "member.joined", { user_id: "8", username: "ann" }),
    event(3, "turn.answered", { turn_id: T, interrupt_id: "i1", value: true }),
    finished(5, { status: "failed", error: "The model is away." }),
    finished(6, { status: "cancelled" }),
    finished(7, { status: "cancelled", message_id: "m" }),
    finished(8),
    event(9, "topic.switched", { topic: "tea" }),
  ];
  const followed = live();
  for (const seq of [1, 2, 3, 4, 5, 6, 7, 8, 9]) {
    followed.apply(entries.find((entry) => entry.seq === seq) ?? event(seq, "unknown", {}));
  }
  const told = new Conversation(C);
  told.apply(snapshot({ head: cursor(9), entries: entries.slice(2) }));
  told.prepend({ messages: [], entries: entries.slice(0, 3), more: false });
  const painted = new Conversation(C, { cursor: cursor(9), entries });
  const kinds = ["member.joined", "turn.answered", "turn.failed", "turn.cancelled", "topic.switched"];
  assert.deepEqual(
    followed.lines().map(({ kind }) => kind),
    kinds,
  );
  assert.deepEqual(told.lines(), followed.lines());
  assert.deepEqual(painted.lines(), followed.lines());
});

test("whoever left is still known by the name that stands where they left", () => {
  const left = event(3, "member.left", { user_id: "8", username: "ann" });
  const painted = new Conversation(C, { cursor: cursor(3), entries: [left] });
  const told = new Conversation(C);
  told.apply(snapshot({ head: cursor(3), entries: [left] }));
  assert.deepEqual([painted.names.get("8"), told.names.get("8")], ["ann", "ann"]);
});

const waiting = (seq, ...ids) =>
  event(seq, "turn.waiting", { turn_id: T, interrupts: ids.map((id) => ({ id, value: "pay" })) });
const answered = (seq, id, value = true) =>
  event(seq, "turn.answered", { turn_id: T, interrupt_id: id, value, device_id: "d2" });

test("of two questions one stays open until it is answered too", () => {
  const conversation = live();
  for (const frame of [started(1), waiting(2, "i1", "i2"), answered(3, "i2")]) conversation.apply(frame);
  assert.deepEqual([turn(conversation).status, turn(conversation).interrupts.map(({ id }) => id)], ["waiting", ["i1"]]);
  conversation.apply(answered(4, "i1"));
  assert.deepEqual([turn(conversation).status, turn(conversation).interrupts], ["running", []]);
});

test("an answer is a line that every device shows", () => {
  const conversation = live();
  for (const frame of [started(1), waiting(2, "i1"), answered(3, "i1", false)]) conversation.apply(frame);
  assert.deepEqual(
    conversation.lines().map(({ kind, data }) => [kind, data.value, data.device_id]),
    [["turn.answered", false, "d2"]],
  );
});

test("going on after an answer is no takeover, another attempt after that is one", () => {
  const conversation = live();
  const isTakeover = () => turn(conversation).attempt > turn(conversation).expected;
  for (const frame of [started(1), waiting(2, "i1"), answered(3, "i1"), started(4, 2)]) conversation.apply(frame);
  assert.equal(isTakeover(), false);
  conversation.apply(started(5, 3));
  assert.equal(isTakeover(), true);
  const told = { turn_id: T, attempt: 4, status: "waiting", n: 0, text: "", interrupts: [] };
  conversation.apply(opened(5, [told]));
  conversation.apply(started(6, 5));
  assert.equal(isTakeover(), false);
});

test("a cancelled answer says so itself; a turn without one leaves a line", () => {
  const conversation = live();
  for (const frame of [started(1), delta(1, "w1"), answer(2, "w1")]) conversation.apply(frame);
  conversation.apply(finished(3, { status: "cancelled", message_id: "m" }));
  assert.deepEqual(
    conversation.lines().map(({ kind }) => kind),
    ["message"],
  );
  conversation.apply(finished(4, { status: "cancelled" }));
  assert.equal(conversation.lines().at(-1).kind, "turn.cancelled");
});

test("those who asked and the owner may stop a turn, and whoever we do not know enough about", () => {
  const conversation = live();
  conversation.apply(said(1, "hello", { turn_id: T, author: "7" }));
  assert.equal(conversation.mayControl(T, "8"), true);
  conversation.members = [
    { user_id: "7", role: "member" },
    { user_id: "8", role: "member" },
    { user_id: "9", role: "owner" },
  ];
  assert.deepEqual(
    ["7", "8", "9"].map((user) => conversation.mayControl(T, user)),
    [true, false, true],
  );
  assert.equal(conversation.mayControl("another", "8"), true);
});

test("what gave way first keeps its mark, and is shown only where it is asked for", () => {
  const conversation = live([message(1, "one"), message(2, "two"), message(3, "three")]);
  const superseded = (seq, from, by) =>
    event(seq, "message.superseded", { from_seq: from, to_seq: seq - 1, by });
  const shown = () => conversation.lines().map((line) => line.message.content);
  conversation.apply(superseded(4, 3, "turn"));
  conversation.apply(superseded(5, 2, "edit"));
  assert.deepEqual(shown(), ["one"]);
  assert.deepEqual(conversation.messages.map((each) => each.superseded_by), [undefined, "edit", "turn"]);
  conversation.showsReplaced = true;
  assert.deepEqual(shown(), ["one", "two", "three"]);
});

test("a message offers what may be done with it while no turn is in flight", () => {
  const conversation = live([
    { ...message(1, "question"), author: "7" },
    { ...message(2, "answer"), role: "assistant", author: "assistant" },
  ]);
  const [question, reply] = conversation.messages;
  assert.deepEqual(conversation.verbs(question, "7"), ["fork", "edit"]);
  assert.deepEqual(conversation.verbs(question, "8"), ["fork"]);
  assert.deepEqual(conversation.verbs(reply, "7"), ["fork", "regenerate"]);
  conversation.apply(started(3));
  assert.deepEqual(conversation.verbs(reply, "7"), []);
});

test("a question at the end that nothing answers, as a snapshot brings it, is told to be so", () => {
  const question = { ...message(1, "question"), author: "7", turn_id: T };
  const kinds = (conversation) => conversation.lines().map(({ kind }) => kind);
  const conversation = live([question]);
  assert.deepEqual(kinds(conversation), ["message", "turn.failed"]);
  conversation.apply(started(2));
  assert.deepEqual(kinds(conversation), ["message"]);
  conversation.apply(finished(3, { status: "failed", error: "no" }));
  assert.deepEqual(conversation.lines().map(({ seq }) => seq), [1, 3]);
  assert.deepEqual(kinds(live([{ ...question, turn_id: undefined }])), ["message"]);
});
