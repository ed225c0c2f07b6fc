/** The state of the connection in words, spoken when it has settled, which devices are here, and what stands in the way. */

import { clone, find, reconcile, write } from "./dom.js";
import { say } from "./words.js";

const SETTLED_MS = 2_000; // a state that passes sooner is not worth a word
const buttons = document.querySelectorAll(".state"); // a phone shows one of them at a time
const spoken = find("#state-spoken");
const banner = find("#banner");
let said = "live";
let settling = null;

export function renderStatus(client) {
  const { status } = client;
  for (const button of buttons) {
    button.dataset.state = status.state;
    write(find(".words", button), words(client));
  }
  clearTimeout(settling);
  if (status.state !== said && status.state !== "connecting") settling = setTimeout(() => speak(client), SETTLED_MS);
}

function speak(client) {
  said = client.status.state;
  write(spoken, client.outbox.waiting ? words(client) : say(said));
}

function words({ status: { state, retryAt }, outbox }) {
  const seconds = Math.max(0, Math.ceil(((retryAt ?? 0) - Date.now()) / 1000));
  const what = state === "reconnecting" && seconds > 0 ? say("reconnecting_in", { seconds }) : say(state);
  const count = state === "live" || state === "connecting" ? 0 : outbox.waiting;
  if (!count) return what;
  return say(count === 1 ? "state_and_one" : "state_and_many", { state: what, count });
}

export function renderDetails(client, conversation, deviceName) {
  const { ready, presence } = client;
  const { epoch, seq, chain } = conversation?.cursor ?? {};
  detail("state", words(client));
  detail("node", client.live ? ready?.node : "");
  detail("device", deviceName);
  detail("position", seq === undefined ? "" : `${epoch}:${seq} ${chain ?? ""}`);
  detail("devices", presence.map(({ name, node }) => `${name} (${node})`).join(" · "));
  renderHere(client);
}

/** Whoever has the page open elsewhere sees it said; where each of them is connected is for the details. */
function renderHere({ live, presence, ready }) {
  const others = live ? presence.filter(({ device_id: id }) => id !== ready?.device_id) : [];
  reconcile(find("#here-list"), others, {
    key: ({ device_id: id }) => id,
    make: () => clone("device"),
    update: (element, { name }) => write(find(".name", element), name || say("some_device")),
  });
  find("#here").hidden = !others.length;
}

function detail(name, value) {
  write(find(`[data-detail="${name}"]`), value || "–");
}

/** Show one thing that stands in the way, or none. `restore` undoes the deletion of the open conversation. */
export function renderBanner(client, conversation, { restore }) {
  const { state, code, reason } = client.status;
  if (state === "stopped" && code !== 1000) {
    return show(say("stopped_hint", { reason, code }), { link: say("reload"), to: location.pathname });
  }
  if (conversation?.deleted) return show(say("deleted_hint"), { button: say("undo"), press: restore });
  if (conversation?.refused) return show(say("forbidden_hint"));
  if (state === "offline") return show(say("offline_hint"));
  banner.hidden = true;
}

function show(text, { link = "", to = "", button: label = "", press = null } = {}) {
  const [anchor, action] = [find("a", banner), find("button", banner)];
  write(find(".words", banner), text);
  write(anchor, link);
  write(action, label);
  anchor.hidden = !link;
  action.hidden = !label;
  if (link) anchor.href = to;
  action.onclick = press;
  banner.hidden = false;
}
