/** The state of the connection in words, spoken once a change, and what to do when it is final. */

import { find, write } from "./dom.js";
import { say } from "./words.js";

const button = find("#state");
const spoken = find("#state-spoken");
const banner = find("#banner");

export function renderStatus(client) {
  const { status } = client;
  button.dataset.state = status.state;
  write(find(".words", button), words(status));
  write(spoken, say(status.state));
}

function words({ state, retryAt }) {
  const seconds = Math.max(0, Math.ceil(((retryAt ?? 0) - Date.now()) / 1000));
  return state === "reconnecting" && seconds > 0 ? say("reconnecting_in", { seconds }) : say(state);
}

export function renderDetails(client, conversation, deviceName) {
  const { ready, presence } = client;
  const { epoch, seq, chain } = conversation?.cursor ?? {};
  detail("state", words(client.status));
  detail("node", client.live ? ready?.node : "");
  detail("device", deviceName);
  detail("devices", presence.map(({ name, node }) => `${name} (${node})`).join(" · "));
  detail("position", seq === undefined ? "" : `${epoch}:${seq} ${chain ?? ""}`);
}

function detail(name, value) {
  write(find(`[data-detail="${name}"]`), value || "–");
}

/** Show one thing that stands in the way, or none. `restore` undoes the deletion of the open conversation. */
export function renderBanner(client, conversation, { login, restore }) {
  const { state, code, reason } = client.status;
  const here = encodeURIComponent(location.pathname);
  if (state === "signed_out") return show(say("signed_out_hint"), { link: say("sign_in"), to: `${login}?next=${here}` });
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
