import assert from "node:assert/strict";
import test from "node:test";

import { C, Rig, cursor, message, ready, said } from "./fake.js";

const state = (rig) => rig.client.status.state;

test("the state goes from connecting to live", () => {
  const rig = new Rig();
  rig.client.start();
  assert.equal(state(rig), "connecting");
  rig.greet();
  assert.equal(state(rig), "live");
});

test("a passing close is followed by another try, after a wait that the state names", () => {
  for (const code of [1000, 1001, 1006, 1009, 1011, 1012, 4408, 4409, 4429]) {
    const rig = new Rig();
    rig.greet();
    rig.socket.closes(code);
    assert.deepEqual([state(rig), rig.client.status.retryAt], ["reconnecting", 500]);
    rig.clock.advance(500);
    assert.equal(rig.sockets.length, 2);
  }
});

test("4401 asks for a new login and the final codes stop, and neither tries again", () => {
  for (const [code, expected] of [[4401, "signed_out"], [4400, "stopped"], [4403, "stopped"], [4426, "stopped"]]) {
    const rig = new Rig();
    rig.greet();
    rig.socket.closes(code, "why");
    assert.deepEqual([state(rig), rig.client.status.reason], [expected, "why"]);
    rig.client.wentOnline();
    rig.clock.advance(3_600_000);
    assert.equal(rig.sockets.length, 1);
  }
});

test("a bye counts before the close behind it", () => {
  const rig = new Rig();
  rig.client.start();
  rig.socket.open();
  rig.socket.says({ type: "bye", code: 4401, reason: "signed out", retry_after: null });
  rig.socket.closes(1006);
  assert.equal(state(rig), "signed_out");
});

test("no try comes before retry_after, not even when somebody looks", () => {
  const rig = new Rig();
  rig.greet();
  rig.socket.says({ type: "bye", code: 1012, reason: "restart", retry_after: 7 });
  rig.client.hurry();
  rig.clock.advance(6999);
  assert.equal(rig.sockets.length, 1);
  rig.clock.advance(1);
  assert.equal(rig.sockets.length, 2);
});

test("waits grow while nothing is reached and start small again after a good connection", () => {
  const rig = new Rig({ random: () => 1 });
  rig.client.start();
  const waits = [];
  for (let tries = 0; tries < 7; tries += 1) {
    rig.socket.closes(1006);
    waits.push(rig.client.status.retryAt - rig.clock.now());
    rig.clock.advance(waits.at(-1));
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16000, 30000, 30000]);
  rig.live();
  rig.clock.advance(10_000);
  rig.socket.closes(1006);
  assert.equal(rig.client.status.retryAt - rig.clock.now(), 1000);
});

test("a server that greets and drops at once is not hammered", () => {
  const rig = new Rig({ random: () => 1 });
  const waits = [];
  for (let tries = 0; tries < 4; tries += 1) {
    rig.greet();
    rig.socket.closes(1006);
    waits.push(rig.client.status.retryAt - rig.clock.now());
    rig.clock.advance(waits.at(-1));
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 8000]);
});

test("a heartbeat goes out in the server's rhythm with frames, cursors and feed", async () => {
  const rig = new Rig();
  rig.live([message(1, "one")]);
  await new Promise(setImmediate);
  rig.socket.says(said(2, "two"));
  rig.clock.advance(25_000);
  assert.deepEqual(rig.socket.take("heartbeat"), [
    { type: "heartbeat", frames: 4, cursors: { [C]: cursor(2) }, feed: cursor(3) },
  ]);
  rig.socket.says({ type: "heartbeat", server_time: "", heads: {} });
  rig.clock.advance(25_000);
  assert.equal(rig.socket.take("heartbeat")[0].frames, 5);
});

test("the server's own heartbeat_seconds are kept", () => {
  const rig = new Rig();
  rig.greet({ heartbeat_seconds: 2 });
  rig.clock.advance(2000);
  assert.equal(rig.socket.take("heartbeat").length, 1);
});

test("an answer that is ten seconds late means a new socket, for a heartbeat, a text, a greeting", () => {
  const late = {
    heartbeat: (rig) => rig.client.hurry(),
    text: (rig) => rig.client.say(C, "one"),
    command: (rig) => rig.client.command("rename", { conversation_id: C, title: "Tea" }),
  };
  for (const ask of Object.values(late)) {
    const rig = new Rig();
    rig.live();
    ask(rig);
    rig.clock.advance(9_999);
    assert.equal(state(rig), "live");
    rig.clock.advance(1);
    assert.deepEqual([state(rig), rig.sockets[0].closed], ["reconnecting", true]);
  }
  const silent = new Rig();
  silent.client.start();
  silent.socket.open();
  silent.clock.advance(10_000);
  assert.equal(state(silent), "reconnecting");
});

test("a hundred frames are confirmed, and none twice", () => {
  const rig = new Rig();
  rig.live();
  const notice = { type: "system", event: "notice", level: "info", message: "" };
  for (let count = 3; count < 99; count += 1) rig.socket.says(notice);
  assert.deepEqual(rig.socket.take("received"), []);
  rig.socket.says(notice);
  assert.deepEqual(rig.socket.take("received"), [{ type: "received", frames: 100 }]);
});

test("64 KiB are confirmed, counted in bytes and not in characters", () => {
  const rig = new Rig();
  rig.live();
  rig.socket.says({ type: "system", event: "notice", level: "info", message: "茶".repeat(22_000) });
  assert.deepEqual(rig.socket.take("received"), [{ type: "received", frames: 4 }]);
});

test("frames are counted anew on each socket", () => {
  const rig = new Rig();
  rig.live();
  rig.socket.closes(1006);
  rig.clock.advance(500);
  rig.greet();
  rig.client.hurry();
  assert.equal(rig.socket.take("heartbeat")[0].frames, 1);
});

test("frames of a batch count as one WebSocket frame and are handled in order", () => {
  const rig = new Rig();
  const conversation = rig.live();
  rig.socket.says(said(1, "one"), said(2, "two"));
  rig.client.hurry();
  assert.equal(rig.socket.take("heartbeat")[0].frames, 4);
  assert.equal(conversation.cursor.seq, 2);
});

test("offline is said in so many words, tries go on, and online means now", () => {
  const rig = new Rig({ random: () => 1 });
  rig.greet();
  rig.client.wentOffline();
  assert.equal(state(rig), "offline");
  rig.client.wentOnline();
  rig.clock.advance(0);
  assert.equal(rig.sockets.length, 2);
});

test("a socket that was left cannot speak any more", () => {
  const rig = new Rig();
  rig.greet();
  const [old] = rig.sockets;
  rig.client.wentOffline();
  old.says(ready());
  old.closes(4401);
  assert.equal(state(rig), "offline");
});

test("a stopped client stays stopped", () => {
  const rig = new Rig();
  rig.greet();
  rig.client.stop();
  rig.client.wentOnline();
  rig.clock.advance(60_000);
  assert.deepEqual([state(rig), rig.sockets.length], ["stopped", 1]);
});
