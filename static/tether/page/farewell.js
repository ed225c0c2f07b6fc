/** Signing out is one for all tabs of a browser: each is told, and none goes on showing what was the user's. */

import { clone, find } from "./dom.js";

const others = new BroadcastChannel("tether.signed-out");

/** Tell the other tabs that somebody signs out here. */
export function tellSignedOut() {
  others.postMessage("signed out");
}

/** call() when somebody signs out in another tab. */
export function onSignedOut(call) {
  others.onmessage = call;
}

/** Put the way back in where the user's page was. `why`: "tab" (signed out in another one) or "ended" (elsewhere). */
export function showFarewell(why) {
  const farewell = clone("signed-out");
  for (const words of farewell.querySelectorAll("[data-why]")) words.hidden = words.dataset.why !== why;
  find("#start")?.remove(); // what the page was painted with
  document.body.replaceChildren(farewell);
  document.body.className = "plain";
  document.title = "Tether";
  find("main a").search = new URLSearchParams({ next: location.pathname }); // only in a document an address has parts
  find("h1").focus();
  if (why === "tab") sessionStorage.clear(); // this tab's drafts
}
