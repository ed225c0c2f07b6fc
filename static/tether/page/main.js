/** The page: one client, the parts that show it, and the address that names the open conversation. */

import { Client } from "../client.js";
import { Actions } from "./actions.js";
import * as browser from "./browser.js";
import { Composer } from "./composer.js";
import { showNotice, toast } from "./dialogs.js";
import { find, write } from "./dom.js";
import { Drafts } from "./drafts.js";
import { keepingFocus } from "./focus.js";
import { onSignedOut, showFarewell, tellSignedOut } from "./farewell.js";
import { Ratings } from "./ratings.js";
import { Keeper, Pen } from "./keeper.js";
import { Search } from "./search.js";
import { forgetOthers, forgetUser, installShell } from "./shell.js";
import { Shortcuts } from "./shortcuts.js";
import { Sidebar } from "./sidebar.js";
import { renderBanner, renderDetails, renderStatus } from "./status.js";
import { Thread } from "./thread.js";
import { learn, say } from "./words.js";

const MOST_OPEN = 8;
const TYPING_EVERY_MS = 3_000;
const READ_EVERY_MS = 1_000;

const start = JSON.parse(find("#start").textContent);
const { home } = document.body.dataset;
const deviceName = browser.deviceName();
learn(start.words);
forgetOthers(start.user.id);

let openId = null;
let dirty = false;
let over = false; // signed out: nothing is shown any more
let reading = false;
let lastTyping = 0;

const keeper = new Keeper({
  userId: start.user.id,
  onHeard: (message) => client.hear(message),
  onProblem: (error) => console.error(error),
});
const pen = new Pen({
  name: `tether.pen.${start.user.id}`,
  onHeld: async (hold) => {
    const records = await keeper.load();
    if (hold()) client.takeUp(records);
  },
});
const client = new Client({
  ...browser,
  keeper,
  pen,
  random: Math.random,
  deviceId: browser.deviceId(),
  deviceName,
  userId: start.user.id,
  items: start.conversations,
  onChange: changed,
  onProblem: (error) => console.error(error),
});
const thread = new Thread(client, (verb, message) => actions.about(verb, message));
const ratings = new Ratings(client, open);
const drafts = new Drafts({ ...browser, may: () => client.live, tell: tellDraft });
const composer = new Composer({ drafts, onSend, onTyping });
new Search(client, pathOf);
const actions = new Actions(client, { open, go: (id) => go(id), goHome: () => go(null), render, untouched });
const sidebar = new Sidebar(client, { openId: () => openId, pathOf, go: (id) => go(id), restore: (id) => actions.restore(id) });
new Shortcuts({
  begin: () => client.live && find("[data-new]").click(),
  go: (id) => go(id),
  ids: () => client.feed.sorted().map((item) => item.conversation_id),
  openId: () => openId,
});

function open() {
  return client.conversations.get(openId);
}

function pathOf(id) {
  return id ? `${home}c/${id}/` : home;
}

function idIn(path) {
  return path.match(/\/c\/([0-9a-f-]{36})\/$/)?.[1] ?? null;
}

/** Show a conversation, or the start page for null; `push` puts it into the browser's history. */
function go(id, { push = true } = {}) {
  if (over) return;
  if (push && location.pathname !== pathOf(id)) history.pushState(null, "", pathOf(id));
  if (openId !== id) markRead(open(), { leaves: true });
  openId = id;
  document.body.dataset.open = id ?? "";
  if (id) opened(id);
  render();
  if (id) composer.show(id, client.feed.items.get(id)?.draft ?? null); // measured, so it must be visible by now
}

/** Return the id of a conversation that nothing has happened in yet, as good as a new one, or null. The open one first. */
function untouched() {
  const { conversations, feed, outbox } = client;
  const isUntouched = (id) => {
    const { title, preview, head, draft } = feed.items.get(id) ?? {};
    const { cursor, live } = conversations.get(id) ?? {};
    if (title || preview || head?.seq || cursor?.seq || outbox.of(id).length || drafts.of(id, draft)) return false;
    return live || feed.items.has(id);
  };
  return [openId, ...feed.sorted().map((item) => item.conversation_id)].find(isUntouched) ?? null;
}

function opened(id) {
  const painted = start.conversation?.conversation_id === id ? start.conversation : {};
  const { title, topic } = client.feed.items.get(id) ?? {};
  const conversation = client.open(id, { title: title ?? "", topic: topic ?? "", ...painted });
  start.conversation = null; // good for the first time only; later its cursor is behind
  client.conversations.delete(id);
  client.conversations.set(id, conversation); // the latest used is last
  const [oldest] = client.conversations.keys();
  if (client.conversations.size > MOST_OPEN) client.close(oldest);
}

function onSend(id, content) {
  client.say(id, content);
  thread.toEnd();
}

function onTyping(id) {
  if (!client.live || Date.now() - lastTyping < TYPING_EVERY_MS) return;
  lastTyping = Date.now();
  client.command("typing", { conversation_id: id }).catch(() => {}); // a hint, nobody waits for it
}

function tellDraft(id, content) {
  const item = client.feed.items.get(id);
  if (item) item.draft = content;
  return client.command("set_draft", { conversation_id: id, content });
}

/** What one has begun to write goes on here. Our own words come back, too, and are no news. */
function followDraft() {
  const { draft, draft_device: device } = client.feed.items.get(openId) ?? {};
  if (draft !== undefined && device !== client.ready?.device_id) composer.follow(openId, draft);
}

function changed(what, detail) {
  if (over) return;
  if (client.status.state === "signed_out") return leave("ended");
  if (what === "notice") showNotice(detail);
  if (what === "status") welcomeNewcomer();
  if (what === "status" && client.live) drafts.catchUp();
  if (what === "feed") refreshRestored();
  if (what === "feed") followDraft();
  if (what === "feed") sidebar.refresh();
  if (what === "conversation") tellOfRebuilding(client.conversations.get(detail));
  if (dirty) return;
  dirty = true;
  requestAnimationFrame(() => {
    dirty = false;
    render();
  });
}

/** Somebody's first conversation was just made by the server: nothing to choose from, so show it. */
function welcomeNewcomer() {
  const { ready } = client;
  if (client.live && !openId && ready && !ready.recovered) {
    ready.recovered = true;
    go(ready.conversation_id);
  }
}

/** Gone here a moment ago and now in the list again: somebody pressed undo elsewhere, or invited us once more. */
function refreshRestored() {
  const conversation = open();
  if ((conversation?.deleted || conversation?.refused) && client.feed.items.has(openId)) client.reopen(openId);
}

/** The server's log is not the one we knew: what is shown now is right, but a reader should know why it changed. */
function tellOfRebuilding(conversation) {
  if (conversation.reason === "epoch" || conversation.reason === "diverged") toast(say("restored_history"));
  conversation.reason = null;
}

/** The login is over, here or in another tab: nothing of the user stays to be seen. */
function leave(why) {
  over = true;
  client.stop();
  showFarewell(why);
}

function render() {
  keepingFocus(renderAll);
}

function renderAll() {
  if (over) return;
  const conversation = open();
  renderStatus(client);
  sidebar.render();
  renderBanner(client, conversation, { restore: () => actions.restore(openId) });
  renderDetails(client, conversation, deviceName);
  renderFrame(conversation);
  if (conversation) thread.render(conversation);
  if (conversation) ratings.render(conversation);
  markRead(conversation);
}

function renderFrame(conversation) {
  const usable = conversation && !conversation.refused && !conversation.deleted;
  find("#welcome").hidden = Boolean(conversation);
  find("#thread").hidden = !conversation;
  find("#composer").hidden = !usable;
  find("#menu-button").hidden = !usable;
  for (const button of document.querySelectorAll("[data-action], [data-new]")) button.disabled = !client.live;
  const owned = conversation?.members.find((member) => String(member.user_id) === start.user.id)?.role === "owner";
  const shared = conversation?.members.length > 1;
  for (const element of document.querySelectorAll("#menu > *")) {
    element.hidden = ("owner" in element.dataset && !owned) || ("group" in element.dataset && !shared);
  }
  const title = conversation ? conversation.title || say("untitled") : "";
  write(find("#title"), title);
  find("#title").hidden = !conversation; // the welcome has a heading of its own
  write(find("#topic"), conversation?.topic ?? "");
  find("#topic").hidden = !conversation?.topic;
  const unread = client.feed.sorted().filter((item) => item.unread && item.conversation_id !== openId).length;
  document.title = `${unread ? `(${unread}) ` : ""}${title ? `${title} · ` : ""}Tether`;
}

/**
 * What stands at the end of the open page and is looked at has been read. The list counts it only later, so we go by
 * the conversation itself. One request a second is enough, but none is left out when the reader goes elsewhere.
 */
async function markRead(conversation, { leaves = false } = {}) {
  const item = client.feed.items.get(conversation?.id);
  const seen = conversation?.live && thread.atEnd && document.visibilityState === "visible";
  if (!seen || !item || (reading && !leaves)) return;
  const { id, cursor: { seq } } = conversation;
  const read = item.read_seq ?? 0;
  if (!conversation.isUnread(start.user.id, read) && !(item.unread && seq > read)) return;
  reading = true;
  client.feed.wasRead(id, seq);
  try {
    await client.command("mark_read", { conversation_id: id, seq });
    setTimeout(() => {
      reading = false;
      markRead(open());
    }, READ_EVERY_MS);
  } catch (error) {
    reading = false;
    console.error(error);
    client.fetchList();
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("#items a, #hits a, a[data-home-link]");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(idIn(new URL(link.href).pathname));
});
find("#sign-out").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!(await actions.mayLeave())) return;
  client.stop();
  await forgetUser(client.outbox);
  tellSignedOut();
  event.target.submit();
});
onSignedOut(() => leave("tab"));
find("#thread").addEventListener("scroll", () => markRead(open()), { passive: true });
window.addEventListener("popstate", () => go(idIn(location.pathname), { push: false }));
window.addEventListener("online", () => client.wentOnline());
window.addEventListener("offline", () => client.wentOffline());
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return drafts.catchUp();
  client.hurry();
  markRead(open());
});
window.addEventListener("beforeunload", (event) => {
  if (client.outbox.unacked && !keeper.durable) event.preventDefault();
});
setInterval(() => client.status.state === "reconnecting" && renderStatus(client), 500);

go(idIn(location.pathname), { push: false });
client.start();
keeper.load().then((records) => client.takeUp(records));
installShell().catch(console.error);
