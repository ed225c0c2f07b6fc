import assert from "node:assert/strict";
import test from "node:test";

import { afterClose, backoffSeconds, byteLength, relation } from "../../static/tether/protocol.js";
import { cursor } from "./fake.js";

test("each close code leads to signing in, to a stop, or to another try", () => {
  const passing = [1000, 1001, 1006, 1009, 1011, 1012, 4408, 4409, 4429, 4999];
  assert.deepEqual([...new Set(passing.map(afterClose))], ["retry"]);
  assert.equal(afterClose(4401), "sign_in");
  assert.deepEqual([1007, 4400, 4403, 4426].map(afterClose), ["stop", "stop", "stop", "stop"]);
});

test("waits stay between half a second and thirty, and may be any length under a growing ceiling", () => {
  const longest = [0, 1, 2, 3, 4, 5, 6, 500].map((tries) => backoffSeconds(tries, () => 1));
  assert.deepEqual(longest, [1, 2, 4, 8, 16, 30, 30, 30]);
  assert.equal(backoffSeconds(0, () => 0), 0.5);
  assert.equal(backoffSeconds(9, () => 0), 0.5);
});

test("an entry is next, old, or a gap, as cursor, epoch and chain say", () => {
  assert.equal(relation(cursor(4), cursor(5)), "next");
  assert.equal(relation({ seq: 0 }, cursor(1)), "next");
  assert.equal(relation(cursor(4), cursor(3)), "old");
  assert.equal(relation(cursor(4), cursor(4)), "old");
  assert.equal(relation(cursor(4), cursor(6)), "gap");
  assert.equal(relation(cursor(4), cursor(5, 2)), "gap");
  assert.equal(relation(cursor(4), { ...cursor(4), chain: "f".repeat(16) }), "gap");
  assert.equal(relation(null, cursor(1)), "gap");
});

test("bytes are counted as they are on the wire", () => {
  assert.equal(byteLength("a茶🍵"), 1 + 3 + 4);
});
