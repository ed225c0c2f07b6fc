/**
 * The text of an answer on the page. What renders it comes in files of its own, which the page does not wait for, and
 * asks for only when it needs them: a page that the server has painted whole is read without. Until they are here, or
 * where they cannot be had, the text stands there as it was written.
 */

import { write } from "./dom.js";

let rich = null;
let loading = null;
const waiting = new Map(); // element -> its text, to be shown once it is here

function load() {
  loading ??= import("./rich.js").then(
    (module) => {
      rich = module;
      for (const [element, text] of waiting) if (element.isConnected) showRich(element, text);
      waiting.clear();
    },
    (error) => console.info("answers are shown as plain text:", error.message),
  );
}

// Whoever does something will want an answer soon.
for (const action of ["input", "pointerdown"]) addEventListener(action, load, { once: true, capture: true });

/** Show a text that will not change. One that the server painted stays as it is until it can be shown better. */
export function showAnswer(element, text) {
  if (rich) return showRich(element, text);
  const isPainted = element.hasAttribute("data-painted");
  if (!isPainted) showPlain(element, text);
  waiting.set(element, text);
  if (!isPainted || element.querySelector("pre")) load(); // code has buttons and colours
}

/** Show a text that grows. */
export function showGrowing(element, text) {
  load();
  if (!rich) return text ? showPlain(element, text) : element.replaceChildren();
  if (element.hasAttribute("data-plain")) element.replaceChildren();
  element.removeAttribute("data-plain");
  element.growing ??= new rich.Growing(element);
  element.growing.show(text);
}

function showRich(element, text) {
  element.removeAttribute("data-plain");
  rich.show(element, text);
}

function showPlain(element, text) {
  element.toggleAttribute("data-plain", true);
  write(element, text);
}
