/** Questions to the user, and short words from the page. */

import { find, write } from "./dom.js";

const TOAST_MS = 10_000;
const dialog = find("#ask");
const toastBox = find("#toast");
const noticeBox = find("#notice");
const MOST_NOTICES = 3;
let toastTimer = null;

/** Ask and resolve to the text given (true where none was asked for), or null if the user would rather not. */
export function ask({ title, text = "", label = "", value = "", ok, danger = false, long = false }) {
  const [field, other] = long ? [find("#ask-long"), find("#ask-value")] : [find("#ask-value"), find("#ask-long")];
  write(find("#ask-title"), title);
  write(find("#ask-text"), text);
  write(find("#ask-label"), label);
  write(find("#ask-ok"), ok);
  find("#ask-ok").classList.toggle("danger", danger);
  for (const element of [field, find("#ask-label")]) element.hidden = !label;
  field.required = Boolean(label);
  other.hidden = true;
  other.required = false;
  field.value = value;
  dialog.returnValue = "";
  dialog.showModal();
  if (label) field.select();
  return new Promise((resolve) => {
    const given = () => (label ? field.value.trim() || null : true);
    dialog.addEventListener("close", () => resolve(dialog.returnValue ? given() : null), { once: true });
  });
}

/** Say something for ten seconds, with at most one thing to press. */
export function toast(text, { label = "", press = null } = {}) {
  const button = find("button", toastBox);
  clearTimeout(toastTimer);
  toastBox.hidden = false;
  write(find(".words", toastBox), text);
  write(button, label);
  button.hidden = !label;
  button.onclick = () => {
    toastBox.hidden = true;
    press();
  };
  toastTimer = setTimeout(() => (toastBox.hidden = true), TOAST_MS);
}

/** Show what the operators have to say, until the reader closes it: nobody need be looking just then. */
export function showNotice({ message, level }) {
  const words = find(".words", noticeBox);
  const line = document.createElement("p");
  line.textContent = message;
  words.append(line);
  while (words.children.length > MOST_NOTICES) words.firstChild.remove();
  noticeBox.dataset.level = level;
  noticeBox.hidden = false;
}

find("button", noticeBox).addEventListener("click", () => {
  noticeBox.hidden = true;
  find(".words", noticeBox).replaceChildren();
});
