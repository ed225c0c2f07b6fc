/** The page for when the server cannot be reached: how much waits here, and back as soon as it answers. */

const RETRY_MS = 5_000;
const waiting = document.querySelector("#waiting");

async function countWaiting() {
  const databases = (await indexedDB.databases?.()) ?? [];
  if (!databases.some(({ name }) => name === "tether")) return 0;
  const request = indexedDB.open("tether");
  const database = await new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const counted = database.transaction("outbox").objectStore("outbox").count();
  const count = await new Promise((resolve) => (counted.onsuccess = () => resolve(counted.result)));
  database.close();
  return count;
}

async function tryAgain() {
  try {
    const { ok } = await fetch("/healthz", { cache: "no-store" });
    if (ok) location.reload();
  } catch {
    // not yet
  }
}

document.querySelector("#again").addEventListener("click", () => location.reload());
window.addEventListener("online", tryAgain);
setInterval(tryAgain, RETRY_MS);

const count = await countWaiting().catch(() => 0);
waiting.textContent = waiting.dataset[count === 1 ? "one" : "many"].replace("{count}", count);
waiting.hidden = !count;
