import assert from "node:assert/strict";
import { test } from "node:test";

import { Reach } from "../../static/tether/page/reach.js";

const lines = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => ({ seq: from + index }));
const ends = (shown) => [shown[0].seq, shown.at(-1).seq];

test("a long conversation begins with its newest lines", () => {
  assert.deepEqual(ends(new Reach().of(lines(1, 500), true)), [441, 500]);
});

test("new lines are followed, and the document stays bounded", () => {
  const reach = new Reach();
  for (let head = 1; head <= 900; head += 7) {
    const shown = reach.of(lines(1, head), true);
    assert.equal(shown.at(-1).seq, head);
    assert.ok(shown.length <= 200);
  }
});

test("going up shows what is above and lets go of what is far below; going down finds the end again", () => {
  const [reach, all] = [new Reach(), lines(1, 5000)];
  reach.of(all, true);
  let steps = 0;
  while (reach.up(all)) {
    steps += 1;
    const shown = reach.of(all, false);
    assert.ok(shown.length <= 200);
    assert.deepEqual(shown.map(({ seq }) => seq), lines(...ends(shown)).map(({ seq }) => seq));
  }
  assert.equal(steps, 99);
  assert.deepEqual(ends(reach.of(all, false)), [1, 200]);
  assert.equal(reach.atEnd, false);
  while (reach.down(all)) assert.ok(reach.of(all, false).length <= 200);
  assert.deepEqual([reach.atEnd, reach.of(all, false).at(-1).seq], [true, 5000]);
});

test("older lines that are loaded do not move what is shown", () => {
  const reach = new Reach();
  reach.of(lines(101, 150), false);
  reach.up(lines(101, 150));
  const before = reach.of(lines(101, 150), false);
  assert.deepEqual(ends(before), [101, 150]);
  reach.up(lines(51, 150));
  assert.deepEqual(ends(reach.of(lines(51, 150), false)), [51, 150]);
});

test("what comes while one reads above does not push it out", () => {
  const [reach, all] = [new Reach(), lines(1, 1000)];
  reach.of(all, true);
  for (let step = 0; step < 6; step += 1) reach.up(all);
  const before = ends(reach.of(all, false));
  assert.deepEqual(ends(reach.of(lines(1, 1100), false)), before);
});

test("after a clearing the newest are shown again", () => {
  const [reach, all] = [new Reach(), lines(1, 1000)];
  reach.of(all, true);
  for (let step = 0; step < 6; step += 1) reach.up(all);
  reach.of(all, false);
  assert.deepEqual(ends(reach.of(lines(1001, 1010), true)), [1001, 1010]);
});
