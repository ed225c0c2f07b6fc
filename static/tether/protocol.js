/**
 * The rules of the wire that need no state: limits, closing, waiting, cursors (docs/protocol.md).
 *
 * Nothing in this directory's protocol part (protocol, connection, conversation, outbox, feed, client)
 * knows a page: socket, clock, randomness and storage are handed in.
 */

export const CONFIRM_BYTES = 64 * 1024;
export const CONFIRM_FRAMES = 100;
export const ANSWER_LATE_MS = 10_000;
export const MAX_CONTENT_CHARACTERS = 32_000;

const BACKOFF_FIRST_SECONDS = 0.5;
const BACKOFF_LAST_SECONDS = 30;
const FINAL_CODES = new Set([1007, 4400, 4403, 4426]);

/** Return what a client does after a close with this code: "sign_in", "stop" or "retry". */
export function afterClose(code) {
  if (code === 4401) return "sign_in";
  return FINAL_CODES.has(code) ? "stop" : "retry";
}

/** Return how long to wait before try number `tries` (from 0): full jitter under a ceiling that doubles. */
export function backoffSeconds(tries, random) {
  const ceiling = Math.min(BACKOFF_LAST_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** (Math.min(tries, 16) + 1));
  return BACKOFF_FIRST_SECONDS + random() * (ceiling - BACKOFF_FIRST_SECONDS);
}

/** Return the position that an `event` or `feed` frame stands at. */
export function cursorOf({ epoch, seq, chain }) {
  return { epoch, seq, chain };
}

/**
 * Say how an entry relates to a cursor: "next", "old", or "gap" where only the server can help
 * (something is missing, the log was rebuilt, or the two sides saw different bytes).
 */
export function relation(cursor, entry) {
  if (!cursor) return "gap";
  if (cursor.epoch !== undefined && cursor.epoch !== entry.epoch) return "gap";
  if (entry.seq === cursor.seq + 1) return "next";
  if (entry.seq > cursor.seq) return "gap";
  const differs = entry.seq === cursor.seq && cursor.chain !== undefined && cursor.chain !== entry.chain;
  return differs ? "gap" : "old";
}

/** Return how many bytes a received text frame had on the wire. */
export function byteLength(text) {
  return new TextEncoder().encode(text).length;
}
