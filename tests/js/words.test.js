/** What a refusal means to a person: its own sentence before what its code says in general. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { learn, sayError } from "../../static/tether/page/words.js";

test("a known sentence is said in the reader's words, another by its code, an unknown one as it is", () => {
  learn({ "This is full.": "Voll.", error_TOO_LARGE: "it is too long" });
  assert.equal(sayError({ code: "TOO_LARGE", message: "This is full." }), "Voll.");
  assert.equal(sayError({ code: "TOO_LARGE", message: "The field title is long." }), "it is too long");
  assert.equal(sayError({ code: "ODD", message: "Something." }), "Something.");
  assert.equal(sayError(new Error("broken")), "broken");
});
