import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Drafts } from "../../static/tether/page/drafts.js";
import { C, Clock, Storage } from "./fake.js";

let clock, storage, told, live, drafts;
const made = () => new Drafts({ clock, storage, may: () => live, tell: async (id, content) => void told.push(content) });
const settled = () => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => {
  [clock, storage, told, live] = [new Clock(), new Storage(), [], true];
  drafts = made();
  drafts.begin(C, "");
});

test("a draft is told once the writer pauses, and then no longer kept here", async () => {
  for (const text of ["a", "ab", "abc"]) drafts.keep(C, text);
  clock.advance(1000);
  await settled();
  assert.deepEqual([told, storage.size], [["abc"], 0]);
});

test("a text that is sent before it was ever told tells nothing", async () => {
  drafts.keep(C, "quick");
  drafts.keep(C, "", { soon: true });
  clock.advance(1000);
  await settled();
  assert.deepEqual([told, storage.size], [[], 0]);
});

test("another device's words are shown, but not over what is being written", () => {
  assert.equal(drafts.came(C, "from the phone", ""), "from the phone");
  assert.equal(drafts.came(C, "from the phone", "from the phone, changed"), null);
  drafts.keep(C, "mine");
  assert.equal(drafts.came(C, "theirs", "mine"), null);
});

test("a text that was sent on the other device leaves this one too", () => {
  drafts.came(C, "tea?", "");
  assert.equal(drafts.came(C, "", "tea?"), "");
});

test("what was written offline outlives the page and is told when there is a connection", async () => {
  live = false;
  drafts.keep(C, "in the tunnel");
  clock.advance(1000);
  drafts = made();
  assert.equal(drafts.begin(C, "older words of the server"), "in the tunnel");
  clock.advance(1000);
  assert.deepEqual(told, []);
  live = true;
  drafts.catchUp();
  clock.advance(0);
  await settled();
  assert.deepEqual(told, ["in the tunnel"]);
});
