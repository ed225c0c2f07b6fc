/** The admin's pages when somebody signs out: what they show goes at once, in every tab. */

import { onSignedOut, tellSignedOut } from "./page/farewell.js";

const SIGNED_OUT_MS = 1_000; // so long the server may take to end the login

const home = document.querySelector("#site-name a")?.href ?? location.pathname; // a popup has no header

document.querySelector("#logout-form")?.addEventListener("submit", tellSignedOut);
onSignedOut(() => {
  document.body.replaceChildren();
  setTimeout(() => location.replace(home), SIGNED_OUT_MS); // asks for the login
});
