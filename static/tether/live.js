/** Keeps `[data-live=SECONDS]` of this page as the server has it now, but not under somebody's hands. */

const region = document.querySelector("[data-live]");
const busy = () => document.hidden || region.querySelector("details[open]") || region.contains(document.activeElement);

async function refresh() {
  if (busy()) return;
  const response = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!response.ok || response.redirected) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.querySelector("[data-live]");
  if (fresh && !busy()) region.replaceChildren(...fresh.childNodes);
}

setInterval(() => refresh().catch(() => {}), Number(region.dataset.live) * 1000);
