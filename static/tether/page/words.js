/** The reader's words, from the server. */

let words = {};

export function learn(given) {
  words = given;
}

/** Return the words under `key` with {names} filled in; a missing key shows itself. */
export function say(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Return what an `error` frame, or anything thrown, means to a person. */
export function sayError(error) {
  return words[error?.message] ?? words[`error_${error?.code}`] ?? (error?.message || String(error?.code ?? error));
}
