/**
 * The service worker: pages come from the server or not at all. Where the server cannot be reached, a page that
 * says so stands in, with what it needs to be shown; nothing else is kept, and nothing of anybody's.
 *
 * The server puts `VERSION` and `SHELL` (addresses) before these lines; a new version has a cache of its own.
 */

const CACHE = `tether-${VERSION}`;
const [OFFLINE] = SHELL;
const UNREACHABLE = new Set([502, 503, 504]);

async function keepShell() {
  const cache = await caches.open(CACHE);
  await cache.addAll(SHELL.map((path) => new Request(path, { cache: "no-cache" }))); // asked for, at least
}

async function takeOver() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)));
  await self.registration.navigationPreload?.enable();
  await self.clients.claim();
}

async function showPage(event) {
  try {
    const answer = (await event.preloadResponse) ?? (await fetch(event.request));
    if (!UNREACHABLE.has(answer.status)) return answer;
  } catch {
    // no network, or nobody there
  }
  return (await kept(OFFLINE)) ?? Response.error();
}

async function showPart(event) {
  try {
    return await fetch(event.request);
  } catch {
    return (await kept(event.request.url)) ?? Response.error();
  }
}

const kept = async (address) => (await caches.open(CACHE)).match(address);

self.addEventListener("install", (event) => event.waitUntil(keepShell().then(() => self.skipWaiting())));
self.addEventListener("activate", (event) => event.waitUntil(takeOver()));
self.addEventListener("message", (event) => {
  if (event.data === "refresh") event.waitUntil(keepShell());
});
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) return;
  if (request.mode === "navigate") event.respondWith(showPage(event));
  else if (SHELL.includes(pathname)) event.respondWith(showPart(event));
});
