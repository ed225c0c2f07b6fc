/** The links by which others may read a conversation. */

import { copy } from "./clipboard.js";
import { toast } from "./dialogs.js";
import { clone, find, reconcile, write } from "./dom.js";
import { dayAndTime } from "./times.js";
import { say, sayError } from "./words.js";

const dialog = find("#shares");
const made = find("#share-make");
const days = find("#share-days");

/** Show the links of a conversation, to make one and to take them back. */
export async function showShares(client, id) {
  const about = { conversation_id: id };
  const list = async () => show((await client.command("list_shares", about)).items, takeBack);
  const tried = (verb) => async (...given) => {
    try {
      await verb(...given);
      await list();
    } catch (error) {
      toast(say("failed", { error: sayError(error) }));
    }
  };
  const takeBack = tried((share) => client.command("unshare", { ...about, share_id: share }));
  made.onclick = tried(() => client.command("share", { ...about, ...(days.value && { days: Number(days.value) }) }));
  await list();
  dialog.showModal();
}

function show(items, takeBack) {
  find("#no-shares").hidden = items.length > 0;
  reconcile(find("#share-items"), items, {
    key: (item) => item.share_id,
    make: (item) => {
      const element = clone("share");
      const address = new URL(item.url, location.href).href;
      const anchor = find("a", element);
      anchor.href = address;
      write(anchor, address);
      anchor.hidden = find(".copy-link", element).hidden = !item.url;
      write(find(".when", element), whenWords(item));
      find(".copy-link", element).addEventListener("click", async ({ target }) => {
        await copy(address);
        write(target, say("copied"));
      });
      find(".take-back", element).addEventListener("click", () => takeBack(item.share_id));
      return element;
    },
    update: () => {},
  });
}

function whenWords({ created, until, url }) {
  const [from, to] = [created, until].map((at) => at && dayAndTime.format(new Date(at)));
  const words = to ? say("share_until", { from, to }) : from;
  return url ? words : `${words} · ${say("share_unknown")}`;
}
