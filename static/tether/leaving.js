/** Signing out where the chat is not open, and the end of an account: this browser keeps nothing of the user then either. */

import { onSignedOut, showFarewell, tellSignedOut } from "./page/farewell.js";
import { Keeper } from "./page/keeper.js";
import { forgetUser } from "./page/shell.js";

const form = document.querySelector("form[data-leaves]");
const keeper = new Keeper({ userId: form?.dataset.leaves ?? "", onHeard: () => {}, onProblem: console.info });

async function leave() {
  const unsent = await keeper.load();
  if (!unsent.length || confirm(form.dataset.question)) {
    await forgetUser(keeper);
    tellSignedOut();
    form.submit();
  }
}

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  leave().catch(() => form.submit()); // whatever becomes of the storage, signing out works
});
if (document.querySelector("#template-signed-out")) onSignedOut(() => showFarewell("tab"));
if (!form) forgetUser(keeper).then(tellSignedOut).catch(console.info); // the account is gone
