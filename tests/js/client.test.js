import assert from "node:assert/strict";
import test from "node:test";

import { C, D, Keeper, Pen, Rig, answer, cursor, delta, message, opened, ready, said, snapshot, started, T, texts } from "./fake.js";

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("auth is the first frame and names the device and the open conversations", () => {
  const rig = new Rig();
  rig.client.open(C, { cursor: cursor(5) });
  rig.client.open(D);
  rig.client.start();
  rig.socket.open();
  assert.deepEqual(rig.socket.sent, [
    { type: "auth", device_id: "device-1", device_name: "A browser", open: { [C]: cursor(5), [D]: null } },
  ]);
});

test("nothing is sent before ready", () => {
  const rig = new Rig();
  rig.client.say(C, "early");
  rig.client.start();
  rig.socket.open();
  assert.deepEqual(rig.socket.sent.map((frame) => frame.type), ["auth"]);
  rig.socket.says(ready());
  assert.equal(rig.socket.take("text")[0].content, "early");
});

test("the list is fetched once and afterwards the feed cursor is in auth", async () => {
  const rig = new Rig();
  rig.greet();
  const [list] = rig.socket.take("command");
  rig.socket.says({ type: "result", id: list.id, command: list.command, data: { items: [], more: false, feed: cursor(3) } });
  await settled();
  rig.socket.closes(1006);
  rig.clock.advance(500);
  rig.greet();
  assert.deepEqual(rig.socket.take("auth")[0].feed, cursor(3));
  assert.deepEqual(rig.socket.take("command"), []);
});

test("feed_reset fetches the list again", async () => {
  const rig = new Rig();
  rig.greet();
  const [list] = rig.socket.take("command");
  rig.socket.says({ type: "result", id: list.id, command: list.command, data: { items: [], more: false, feed: cursor(3) } });
  await settled();
  rig.socket.says({ type: "feed_reset", head: cursor(90) });
  assert.equal(rig.socket.take("command")[0].command, "list_conversations");
});

test("after a cut each conversation goes on from its cursor", () => {
  const rig = new Rig();
  rig.live([message(1, "one")]);
  rig.socket.says(said(2, "two"));
  rig.socket.closes(1006);
  rig.clock.advance(500);
  rig.greet();
  assert.deepEqual(rig.socket.take("auth")[0].open, { [C]: cursor(2) });
});

test("unacked texts are sent again in order, as repeats that name the conversation", () => {
  const rig = new Rig();
  rig.live();
  rig.client.say(C, "one");
  rig.client.say(C, "two");
  const [first] = rig.socket.take("text");
  rig.socket.closes(1006);
  rig.clock.advance(500);
  rig.greet();
  const [again] = rig.socket.take("text");
  assert.deepEqual(again, { type: "text", client_id: first.client_id, conversation_id: C, content: "one", retry: true });
  rig.socket.says({ type: "ack", client_id: first.client_id, conversation_id: C, seq: 1, duplicate: true });
  assert.equal(rig.socket.take("text")[0].content, "two");
});

test("the log takes a text out of the outbox, even when its ack was lost", () => {
  const rig = new Rig();
  const conversation = rig.live();
  const { client_id } = rig.client.say(C, "one");
  rig.socket.says(said(1, "one", { client_id }));
  assert.deepEqual([rig.client.outbox.of(C), texts(conversation)], [[], ["one"]]);
});

test("somebody else's message with the same client_id leaves the outbox alone", () => {
  const rig = new Rig();
  rig.live();
  const { client_id } = rig.client.say(C, "mine");
  rig.socket.says(said(1, "theirs", { client_id, author: "8" }));
  assert.equal(rig.client.outbox.of(C).length, 1);
});

test("an acked text stays visible until the log brings it", () => {
  const rig = new Rig();
  rig.live();
  const { client_id } = rig.client.say(C, "one");
  rig.socket.says({ type: "ack", client_id, conversation_id: C, seq: 1, duplicate: false });
  assert.equal(rig.client.outbox.of(C)[0].state, "acked");
  rig.socket.says(said(1, "one", { client_id }));
  assert.deepEqual(rig.client.outbox.of(C), []);
});

test("a rate limit is waited out and the text sent again as a repeat", () => {
  const rig = new Rig();
  rig.live();
  const { client_id } = rig.client.say(C, "one");
  rig.socket.take("text");
  rig.socket.says({ type: "error", code: "RATE_LIMITED", message: "", retryable: true, retry_after: 4, client_id });
  rig.clock.advance(3999);
  assert.deepEqual(rig.socket.take("text"), []);
  rig.clock.advance(1);
  assert.equal(rig.socket.take("text")[0].retry, true);
});

test("a final error stays with the text for the user to see", () => {
  const rig = new Rig();
  rig.live();
  const { client_id } = rig.client.say(C, "one");
  rig.socket.says({ type: "error", code: "FORBIDDEN", message: "no", retryable: false, client_id });
  const [entry] = rig.client.outbox.of(C);
  assert.deepEqual([entry.state, entry.error.code], ["refused", "FORBIDDEN"]);
});

test("texts typed before a reload are sent by the next page", () => {
  const keeper = new Keeper();
  new Rig({ keeper }).client.say(C, "offline");
  const rig = new Rig({ keeper });
  rig.client.takeUp(keeper.records);
  rig.greet();
  assert.equal(rig.socket.take("text")[0].content, "offline");
});

test("a gap asks once with the cursor and ignores what runs ahead until it is filled", () => {
  const rig = new Rig();
  const conversation = rig.live([message(1, "one")]);
  rig.socket.says(said(3, "three"), said(4, "four"));
  assert.deepEqual(rig.socket.take("open"), [{ type: "open", conversation_id: C, cursor: cursor(1) }]);
  rig.socket.says(said(2, "two"), said(3, "three"), said(4, "four"), opened(4));
  assert.deepEqual(texts(conversation), ["one", "two", "three", "four"]);
  assert.equal(conversation.live, true);
});

test("a missing piece asks again and the answer is whole", () => {
  const rig = new Rig();
  const conversation = rig.live();
  rig.socket.says(started(1), delta(1, "w1"), delta(3, " w3"));
  assert.equal(rig.socket.take("open").length, 1);
  rig.socket.says(opened(1, [{ turn_id: T, attempt: 1, status: "running", n: 3, text: "w1 w2 w3", interrupts: [] }]));
  rig.socket.says(delta(4, " w4"), answer(2, "w1 w2 w3 w4"));
  assert.deepEqual(texts(conversation), ["w1 w2 w3 w4"]);
});

test("a cursor that keeps bringing nothing is given up for a snapshot", () => {
  const rig = new Rig();
  rig.live([message(1, "one")]);
  for (let round = 0; round < 4; round += 1) rig.socket.says(opened(9));
  assert.deepEqual(
    rig.socket.take("open").map((frame) => frame.cursor),
    [cursor(1), cursor(1), cursor(1), null],
  );
});

test("a server that never brings the head costs a new socket, not an endless loop", () => {
  const rig = new Rig();
  rig.live([message(1, "one")]);
  const { socket } = rig;
  for (let round = 0; round < 20; round += 1) socket.says(opened(9));
  assert.equal(rig.client.status.state, "reconnecting");
  assert.equal(socket.take("open").length, 6);
});

test("a conversation that may not be opened says why", () => {
  const rig = new Rig();
  rig.client.open(C);
  rig.greet();
  rig.socket.says({ type: "error", code: "FORBIDDEN", message: "no", retryable: false, conversation_id: C });
  assert.equal(rig.client.conversations.get(C).refused.code, "FORBIDDEN");
});

test("a conversation that cannot be opened now is asked for again", () => {
  const rig = new Rig();
  rig.client.open(C);
  rig.greet();
  const error = { type: "error", code: "UNAVAILABLE", message: "", retryable: true, retry_after: 2 };
  rig.socket.says({ ...error, conversation_id: C });
  rig.clock.advance(2000);
  assert.equal(rig.socket.take("open").length, 1);
});

test("an opened conversation is asked for at once and a closed one is let go", () => {
  const rig = new Rig();
  rig.greet();
  rig.client.open(D);
  rig.client.close(D);
  assert.deepEqual(
    rig.socket.sent.filter((frame) => frame.conversation_id === D).map((frame) => frame.type),
    ["open", "close"],
  );
  rig.socket.says(snapshot({ conversation_id: D }));
  assert.equal(rig.client.conversations.has(D), false);
});

test("a command resolves to its data and rejects with the server's error", async () => {
  const rig = new Rig();
  rig.live();
  const good = rig.client.command("rename", { conversation_id: C, title: "Tea" });
  const bad = rig.client.command("rename", { conversation_id: C, title: "" });
  const [first, second] = rig.socket.take("command");
  assert.deepEqual(first, { type: "command", id: first.id, command: "rename", conversation_id: C, args: { title: "Tea" } });
  rig.socket.says({ type: "result", id: first.id, command: "rename", data: {} });
  rig.socket.says({ type: "error", id: second.id, code: "INVALID_MESSAGE", message: "empty", retryable: false });
  assert.deepEqual(await good, {});
  await assert.rejects(bad, { code: "INVALID_MESSAGE" });
});

test("a command cut off is sent again under its id, a question under a new one", () => {
  const rig = new Rig();
  rig.live();
  rig.client.command("rename", { conversation_id: C, title: "Tea" });
  rig.client.command("list_devices");
  const before = rig.socket.take("command");
  rig.socket.closes(1012);
  rig.clock.advance(500);
  rig.greet();
  const after = rig.socket.take("command");
  const named = (frames, name) => frames.find((frame) => frame.command === name).id;
  assert.equal(named(after, "rename"), named(before, "rename"));
  assert.notEqual(named(after, "list_devices"), named(before, "list_devices"));
});

test("older messages are asked for before the oldest and put there", async () => {
  const rig = new Rig();
  const conversation = rig.live([message(9, "nine")]);
  const loading = rig.client.loadOlder(C);
  const [frame] = rig.socket.take("command");
  assert.deepEqual(frame.args, { before_seq: 9, limit: 50 });
  rig.socket.says({ type: "history", id: frame.id, messages: [message(8, "eight")], more: true });
  await loading;
  assert.deepEqual([texts(conversation), conversation.more], [["eight", "nine"], true]);
});

test("older messages that come after a clearing are thrown away", async () => {
  const rig = new Rig();
  const conversation = rig.live([message(9, "nine")]);
  const loading = rig.client.loadOlder(C);
  const [frame] = rig.socket.take("command");
  rig.socket.says(snapshot({ reason: "cleared", head: cursor(10) }), opened(10));
  rig.socket.says({ type: "history", id: frame.id, messages: [message(8, "eight")], more: false });
  await loading;
  assert.deepEqual(texts(conversation), []);
});

test("a title that the assistant found comes by the feed, one that is behind the log does not count", () => {
  const rig = new Rig();
  const conversation = rig.live([message(4, "four")]);
  const told = (seq, title, head) => {
    const data = { conversation_id: C, title, preview: "", unread: 0, head: cursor(head) };
    rig.socket.says({ type: "feed", ...cursor(seq), event: "conversation.updated", data });
  };
  told(4, "Found", 4);
  assert.equal(conversation.title, "Found");
  told(5, "Stale", 3);
  assert.equal(conversation.title, "Found");
});

test("presence names this user's devices and typing passes", () => {
  const rig = new Rig();
  rig.greet();
  rig.socket.says({ type: "presence", user_id: "7", devices: [{ device_id: "device-2", name: "Phone", node: "n2" }] });
  rig.socket.says({ type: "presence", typing: { conversation_id: C, user_id: "7", device_id: "device-2" } });
  assert.equal(rig.client.presence[0].name, "Phone");
  assert.equal(rig.client.typing.get(C).until, 5000);
});

test("whoever said it no longer types, others still do", () => {
  const rig = new Rig();
  rig.live();
  const types = () => rig.socket.says({ type: "presence", typing: { conversation_id: C, user_id: "8", device_id: "device-2" } });
  types();
  rig.socket.says(said(1, "one", { author: "9" }));
  assert.equal(rig.client.typing.has(C), true);
  rig.socket.says(said(2, "two", { author: "8" }));
  assert.equal(rig.client.typing.has(C), false);
});

test("a frame that cannot be handled is reported and the next one is handled", () => {
  const rig = new Rig();
  const conversation = rig.live();
  rig.socket.says({ ...snapshot(), messages: null }, said(1, "one"));
  assert.equal(rig.problems.length, 1);
  assert.deepEqual(texts(conversation), ["one"]);
});

test("who does not hold the pen sends nothing until it does, and lays it down when all is acked", () => {
  const pen = new Pen();
  const rig = new Rig({ pen });
  rig.live();
  const { client_id } = rig.client.say(C, "one");
  assert.deepEqual([rig.socket.take("text"), pen.wanted], [[], true]);
  pen.held = true;
  rig.client.takeUp([]);
  assert.equal(rig.socket.take("text").length, 1);
  rig.socket.says({ type: "ack", client_id, conversation_id: C, message_id: D, seq: 1, duplicate: false });
  assert.deepEqual([pen.held, pen.wanted], [false, false]);
});

test("who loses the connection lays the pen down, so that another tab can send", () => {
  const pen = new Pen();
  const rig = new Rig({ pen });
  rig.live();
  rig.client.say(C, "one");
  pen.held = true;
  rig.socket.closes(1006);
  assert.deepEqual([pen.held, pen.wanted], [false, false]);
});

test("what another tab wrote is shown, and gone once its ack was heard and the log has it", () => {
  const rig = new Rig({ pen: new Pen() });
  rig.live();
  const record = { client_id: "x", conversation_id: C, content: "beside", at: 1, sent: false, state: "queued" };
  rig.client.hear({ put: record });
  assert.equal(rig.client.outbox.of(C)[0].content, "beside");
  rig.client.hear({ drop: "x", seq: 1 });
  assert.equal(rig.client.outbox.of(C)[0].state, "acked");
  rig.socket.says(said(1, "beside", { client_id: "x" }));
  assert.deepEqual(rig.client.outbox.of(C), []);
});
