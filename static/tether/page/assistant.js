/** Who answers, and how one would like it: the model, and instructions for this conversation and for all. */

import { toast } from "./dialogs.js";
import { find } from "./dom.js";
import { say } from "./words.js";

const dialog = find("#assistant");
const model = find("#assistant-model");
const instructions = find("#assistant-instructions");
const own = find("#assistant-own");

/** Ask what is wished for, and tell the server what has changed. `owns`: the conversation is the reader's. */
export async function askAssistant(client, id, owns) {
  const about = { conversation_id: id };
  const now = await client.command("get_assistant", about);
  model.replaceChildren(...now.models.map((name) => new Option(name, name, false, name === now.model)));
  find("#assistant-models").hidden = now.models.length < 2;
  instructions.value = now.instructions;
  own.value = now.own_instructions;
  model.disabled = instructions.disabled = !owns;
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (!dialog.returnValue) return;
  const wished = { model: model.value, instructions: instructions.value.trim(), own_instructions: own.value.trim() };
  const changed = Object.entries(wished).filter(([name, value]) => value !== now[name]);
  if (!changed.length) return;
  await client.command("set_assistant", { ...about, ...Object.fromEntries(changed) });
  toast(say("wishes_kept"));
}
