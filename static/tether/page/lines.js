/** What single parts of a conversation look like. Each function fills an element with what is to be read there. */

import { showAnswer, showGrowing } from "./answer.js";
import { clone, find, reconcile, write } from "./dom.js";
import { dayAndTime, timeWords } from "./times.js";
import { say, sayError } from "./words.js";


/** other: the name of whoever said it, where that is not the reader. */
export function showMessage(element, message, other) {
  if (element.shows === message && element.author === other) return; // messages do not change
  Object.assign(element, { shows: message, author: other });
  element.dataset.role = message.role;
  element.dataset.status = message.status;
  const who = find(".who", element);
  element.toggleAttribute("data-other", Boolean(other));
  who.classList.toggle("visually-hidden", !other);
  write(who, other || say(message.role === "user" ? "you" : message.role));
  if (message.role === "assistant") showAnswer(find(".text", element), message.content);
  else write(find(".text", element), message.content);
  write(find(".note", element), message.status === "complete" ? "" : say(`message_${message.status}`));
  showTime(find("time", element), message.at);
  if (message.role !== "assistant") find(".rate", element)?.remove();
}

function showTime(element, at) {
  const time = new Date(at);
  element.dateTime = at;
  element.title = dayAndTime.format(time);
  write(element, timeWords(time));
}

/** again: what to do when the reader wants to try once more, or null. */
export function showNotice(element, { kind, data }, again) {
  element.dataset.kind = kind;
  const words = say(noticeKey(kind, data), { username: data.user_id, ...data, error: say(data.error ?? "") });
  if (element.firstChild?.data !== words) element.replaceChildren(words);
  let button = find("button", element);
  if (!again) return button?.remove();
  if (!button) element.append((button = clone("again")));
  button.onclick = again;
}

function noticeKey(kind, data) {
  if (kind === "turn.answered") return data.value === true ? "turn.approved" : "turn.declined";
  return kind === "turn.failed" && !data.error ? "turn.failed_plain" : kind;
}

/** What was read before a takeover stays, dimmed, until the new text is as long. */
export function showTurn(element, { text, previous, attempt, expected, status, steps }) {
  const behind = previous.length > text.length;
  const [fresh, former] = [find(".fresh", element), find(".former", element)];
  fresh.hidden = behind;
  former.hidden = !behind;
  showGrowing(fresh, text);
  if (behind) showGrowing(former, previous);
  reconcile(find(".steps", element), steps.filter(({ name }) => !QUIET_STEPS.has(name)), STEPS);
  find(".dots", element).hidden = status === "waiting" || text !== "" || behind;
  write(find(".note", element), status === "waiting" ? say("waiting") : attempt > expected ? say("takeover") : "");
}

// Steps of every turn, which say nothing to a reader.
const QUIET_STEPS = new Set(["take_input", "respond", "update_context"]);
const STEPS = {
  key: ({ name }) => name,
  make: () => clone("step"),
  update: (element, { name, tool, count, open }) => {
    element.dataset.done = String(open === 0);
    const known = say(`step_${name}`);
    const words = known !== `step_${name}` ? known : tool ? say("step_tool", { tool }) : name;
    write(find(".words", element), count > 1 ? `${words} × ${count}` : words);
  },
};

export function showQuestion(element, { tool, args, text }) {
  write(find(".asks", element), tool ? say("asks_tool", { tool }) : text);
  const list = find(".args", element);
  if (list.childElementCount) return; // a question does not change
  for (const [name, value] of args) {
    for (const [kind, words] of [["dt", name], ["dd", value]]) {
      const line = document.createElement(kind);
      line.dir = "auto";
      line.textContent = words;
      list.append(line);
    }
  }
}

export function pendingNote({ state, error }, live) {
  if (state === "refused") return say("refused", { error: sayError(error) });
  if (state === "acked") return "";
  if (!live) return say("queued");
  return error ? say("retrying") : say("sending");
}
