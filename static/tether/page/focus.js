/** Where the keyboard goes on when what had the focus goes away, such as a button that was pressed: never nowhere. */

import { find } from "./dom.js";

/** Go on at the message field; on a touch screen, where that would open a keyboard, at the messages. */
export function goOn() {
  const places = matchMedia("(pointer: fine)").matches ? ["#say", "#thread"] : ["#thread"];
  const seen = [...places, ".pane [data-new]"].map((each) => find(each)).filter((each) => each.checkVisibility());
  seen[0]?.focus({ preventScroll: true });
}

/** Change the page; where what had the focus is of no use after that, go on elsewhere. */
export function keepingFocus(change) {
  const held = document.activeElement;
  change();
  if (held && held !== document.body && (!held.checkVisibility() || held.matches(":disabled"))) goOn();
}
