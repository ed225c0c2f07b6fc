/** What makes the page an app: the worker that has a page for when there is no network; and what log-out leaves: nothing. */

const TOLD = "tether.shell";

/** The worker keeps the offline page in the reader's language, and is told where that has changed. */
export async function installShell() {
  if (!navigator.serviceWorker) return; // plain http to another host
  await navigator.serviceWorker.register("/worker.js", { updateViaCache: "none" });
  const { active } = await navigator.serviceWorker.ready;
  const { lang } = document.documentElement;
  if (localStorage.getItem(TOLD) === lang) return;
  active.postMessage("refresh");
  localStorage.setItem(TOLD, lang);
}

/** Forget what this browser keeps of the user: unsent texts, drafts. The caches hold nothing of anybody. */
export async function forgetUser(outbox) {
  sessionStorage.clear();
  await outbox.clear();
}

/** A tab that another user had used before: its drafts are nobody's business. */
export function forgetOthers(userId) {
  try {
    if (sessionStorage.getItem("tether.user") !== userId) sessionStorage.clear();
    sessionStorage.setItem("tether.user", userId);
  } catch {
    // without storage there is nothing to forget
  }
}
