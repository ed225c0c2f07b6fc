/** Questions to the user, and short words from the page. */

import { find, write } from "./dom.js";

const TOAST_MS = 10_000;
const dialog = find("#ask");
const toastBox = find("#toast");
const noticeBox = find("#notice");
const MOST_NOTICES = 3;
const CLOSED = "tether.notices";
const MOST_CLOSED = 50;
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
export function showNotice({ message, level, id = "" }) {
  const words = find(".words", noticeBox);
  if (id && (closedNotices().includes(id) || find(`[data-notice="${id}"]`, words))) return;
  const line = document.createElement("p");
  line.dataset.notice = id;
  line.textContent = message;
  words.append(line);
  while (words.children.length > MOST_NOTICES) words.firstChild.remove();
  noticeBox.dataset.level = level;
  noticeBox.hidden = false;
}

/** Those that stand for a while come again with each connection; which of them were closed, this browser knows. */
function closedNotices() {
  try {
    return JSON.parse(localStorage.getItem(CLOSED) ?? "[]");
  } catch {
    return []; // no storage: it is shown once more
  }
}

function rememberClosed() {
  const ids = [...noticeBox.querySelectorAll("[data-notice]")].map((line) => line.dataset.notice).filter(Boolean);
  try {
    localStorage.setItem(CLOSED, JSON.stringify([...closedNotices(), ...ids].slice(-MOST_CLOSED)));
  } catch {
    // as above
  }
}

find("button", noticeBox).addEventListener("click", () => {
  rememberClosed();
  noticeBox.hidden = true;
  find(".words", noticeBox).replaceChildren();
});
