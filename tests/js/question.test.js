import assert from "node:assert/strict";
import test from "node:test";

import { readQuestion } from "../../static/tether/question.js";

test("a tool is named, with each of its arguments as text", () => {
  const read = readQuestion({ tool: "pay", args: { to: "<b>Ann</b>", sums: [1, 2], note: null } });
  assert.deepEqual([read.tool, read.text], ["pay", ""]);
  assert.deepEqual(read.args[0], ["to", "<b>Ann</b>"]);
  assert.deepEqual(
    read.args.slice(1).map(([name, text]) => [name, JSON.parse(text)]),
    [
      ["sums", [1, 2]],
      ["note", null],
    ],
  );
});

test("whatever else a graph may ask is shown as it is", () => {
  assert.deepEqual(readQuestion("Really?"), { tool: "", args: [], text: "Really?" });
  assert.deepEqual(JSON.parse(readQuestion({ tool: 3 }).text), { tool: 3 });
  assert.equal(readQuestion(null).text, "null");
});
