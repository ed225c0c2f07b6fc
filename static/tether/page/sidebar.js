/** The list of conversations. */

import { clone, find, reconcile, write } from "./dom.js";
import { say } from "./words.js";

export function renderSidebar(items, openId, pathOf) {
  reconcile(find("#items"), items, {
    key: (item) => item.conversation_id,
    make: () => clone("item"),
    update: (element, item) => showItem(element, item, openId, pathOf),
  });
  find("#no-items").hidden = items.length > 0;
}

function showItem(element, item, openId, pathOf) {
  const link = find("a", element);
  const path = pathOf(item.conversation_id);
  if (link.getAttribute("href") !== path) link.setAttribute("href", path);
  if (item.conversation_id === openId) link.setAttribute("aria-current", "page");
  else link.removeAttribute("aria-current");
  write(find(".title", link), item.title || say("untitled"));
  write(find(".preview", link), item.preview ?? "");
  showUnread(find(".unread", link), item.conversation_id === openId ? 0 : item.unread);
}

function showUnread(badge, count) {
  badge.hidden = !count;
  write(badge, count ? String(Math.min(count, 99)) : "");
  if (count) badge.setAttribute("aria-label", say("unread", { count }));
}
