/**
 * One lasting connection made of many sockets: opens, authenticates, beats, confirms, waits, opens again.
 *
 * Status is `{state}` with state one of
 *   connecting                  a socket is being opened or has not been greeted yet
 *   live                        greeted; frames flow
 *   reconnecting, offline       waiting until `retryAt` (ms of the clock); offline if the system says so
 *   signed_out, stopped         final, with `code` and `reason`
 */

import {
  ANSWER_LATE_MS,
  CONFIRM_BYTES,
  CONFIRM_FRAMES,
  afterClose,
  backoffSeconds,
  byteLength,
} from "./protocol.js";

const DROPPED = 1006;
// A connection that lived this long was a good one: the next wait starts small again.
const STEADY_MS = 10_000;

export class Connection {
  status = { state: "connecting" };
  #parts;
  #socket = null;
  #timers = new Map();
  #tries = 0;
  #notBefore = 0;
  #online = true;
  #frames = 0;
  #unconfirmed = { frames: 0, bytes: 0 };
  #heartbeatMs = 25_000;

  /**
   * parts: openSocket() -> WebSocket-like; clock {now, after(ms, call) -> handle, cancel(handle)};
   * random() in [0, 1); hello() -> the `auth` frame; beat() -> fields of a `heartbeat`;
   * onFrame(frame), onStatus(status), onProblem(error).
   */
  constructor(parts) {
    this.#parts = parts;
  }

  get live() {
    return this.status.state === "live";
  }

  get final() {
    return this.status.state === "signed_out" || this.status.state === "stopped";
  }

  start() {
    this.#connect();
  }

  /** Close for good, because the page goes. */
  stop(reason = "") {
    this.#letGo();
    this.#become({ state: "stopped", code: 1000, reason });
  }

  /** Send one frame if live. `answer` names what must be answered in time. Returns whether it was sent. */
  send(frame, answer = null) {
    if (!this.live) return false;
    this.#socket.send(JSON.stringify(frame));
    if (answer) this.#arm(`answer ${answer}`, ANSWER_LATE_MS, () => this.#lost(DROPPED));
    return true;
  }

  answered(answer) {
    this.#disarm(`answer ${answer}`);
  }

  /** Leave this socket, of which nothing good comes, and wait for another. */
  renew() {
    if (this.#socket) this.#lost(DROPPED);
  }

  /** The system says that there is no network. It may be wrong (loopback), so tries go on. */
  wentOffline() {
    this.#online = false;
    if (this.final) return;
    if (this.#socket) this.#lost(DROPPED);
    else this.#become({ ...this.status, state: "offline" });
  }

  wentOnline() {
    this.#online = true;
    if (!this.final) this.hurry();
  }

  /** Somebody looks: beat at once if live, try at once if waiting (never before the server's `retry_after`). */
  hurry() {
    if (this.live) return this.#beat();
    if (this.#socket || this.final) return;
    this.#wait(Math.max(0, this.#notBefore - this.#parts.clock.now()));
  }

  #become(status) {
    this.status = status;
    this.#parts.onStatus(status);
  }

  #arm(name, ms, call) {
    this.#disarm(name);
    const { clock } = this.#parts;
    const handle = clock.after(ms, () => {
      this.#timers.delete(name);
      call();
    });
    this.#timers.set(name, handle);
  }

  #disarm(name) {
    this.#parts.clock.cancel(this.#timers.get(name));
    this.#timers.delete(name);
  }

  #connect() {
    this.#frames = 0;
    this.#unconfirmed = { frames: 0, bytes: 0 };
    this.#become({ state: "connecting" });
    const socket = this.#parts.openSocket();
    this.#socket = socket;
    socket.onopen = () => socket.send(JSON.stringify(this.#parts.hello()));
    socket.onmessage = (message) => this.#take(message.data);
    socket.onclose = (close) => this.#lost(close.code ?? DROPPED, { reason: close.reason });
    socket.onerror = () => {}; // a close always follows and says more
    this.#arm("answer auth", ANSWER_LATE_MS, () => this.#lost(DROPPED));
  }

  #take(text) {
    this.#frames += 1;
    this.#unconfirmed.frames += 1;
    this.#unconfirmed.bytes += byteLength(text);
    const parsed = JSON.parse(text);
    for (const frame of Array.isArray(parsed) ? parsed : [parsed]) {
      try {
        this.#handle(frame);
      } catch (error) {
        this.#parts.onProblem(error); // one odd frame must not cost the following ones
      }
    }
    this.#confirm();
  }

  #handle(frame) {
    if (frame.type === "bye") return this.#lost(frame.code, frame);
    if (frame.type === "system" && frame.event === "ready") this.#greeted(frame);
    if (frame.type === "heartbeat") this.answered("heartbeat");
    this.#parts.onFrame(frame);
  }

  #greeted(frame) {
    this.answered("auth");
    this.#heartbeatMs = 1000 * (frame.heartbeat_seconds || 25);
    this.#arm("beat", this.#heartbeatMs, () => this.#beat());
    this.#arm("steady", STEADY_MS, () => (this.#tries = 0));
    this.#become({ state: "live" });
  }

  #beat() {
    this.#unconfirmed = { frames: 0, bytes: 0 };
    this.send({ type: "heartbeat", frames: this.#frames, ...this.#parts.beat() }, "heartbeat");
    this.#arm("beat", this.#heartbeatMs, () => this.#beat());
  }

  #confirm() {
    const { frames, bytes } = this.#unconfirmed;
    if (!this.live || (frames < CONFIRM_FRAMES && bytes < CONFIRM_BYTES)) return;
    this.#unconfirmed = { frames: 0, bytes: 0 };
    this.send({ type: "received", frames: this.#frames });
  }

  #letGo() {
    for (const name of [...this.#timers.keys()]) this.#disarm(name);
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
    socket.close();
  }

  #lost(code, { reason = "", retry_after: retryAfter = 0 } = {}) {
    this.#letGo();
    const next = afterClose(code);
    if (next === "sign_in") return this.#become({ state: "signed_out", code, reason });
    if (next === "stop") return this.#become({ state: "stopped", code, reason });
    const seconds = Math.max(retryAfter, backoffSeconds(this.#tries, this.#parts.random));
    this.#tries += 1;
    this.#notBefore = this.#parts.clock.now() + 1000 * retryAfter;
    this.#wait(1000 * seconds);
  }

  #wait(ms) {
    const state = this.#online ? "reconnecting" : "offline";
    this.#arm("retry", ms, () => this.#connect());
    this.#become({ state, retryAt: this.#parts.clock.now() + ms });
  }
}
