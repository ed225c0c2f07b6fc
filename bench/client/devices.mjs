// One device on one socket, for either server: the same WebSocket library, the same one JSON.parse a frame.
// A device tells its owner of each delivery: (client_id, seq or null, chain or null), and of each ack: (client_id).
import { once } from "node:events";
import WebSocket from "ws";

const CONFIRM_FRAMES = 100;
const CONFIRM_BYTES = 65536;
const DEADLINE_MS = 30000;

export const now = () => performance.now();

export function within(promise, what, milliseconds = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing after ${milliseconds} ms`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

class Device {
  onDelivery = () => {};
  onAck = () => {};
  onClose = (code) => {
    throw new Error(`${this.deviceId} was closed with ${code} ${this.bye ?? ""}`);
  };

  async start(url) {
    this.socket = new WebSocket(url, { perMessageDeflate: false, handshakeTimeout: DEADLINE_MS });
    this.socket.on("message", (data) => this.receive(data.toString(), data.length));
    await within(once(this.socket, "open"), "connect");
    this.socket.on("close", (code) => this.closing || this.onClose(code));
  }

  stop() {
    this.closing = true;
    clearInterval(this.beats);
    this.socket.terminate();
  }
}

/** A device that speaks Tether's protocol: confirms what it received, beats its heart, keeps its cursor. */
export class TetherDevice extends Device {
  frames = 0;
  bytes = 0;
  confirmedFrames = 0;
  confirmedBytes = 0;
  seq = 0;
  chain = null;
  events = 0;
  asked = new Map();

  constructor({ token, deviceId }) {
    super();
    this.token = token;
    this.deviceId = deviceId;
    this.started = new Promise((resolve) => (this.isStarted = resolve));
  }

  /** Connect and wait for the conversation to be open; `open` = {conversation_id: cursor}, else the latest one. */
  async join(url, open) {
    await this.start(url);
    this.open = open;
    const auth = { type: "auth", device_id: this.deviceId, token: this.token };
    this.socket.send(JSON.stringify(open ? { ...auth, open } : auth));
    await within(this.started, "opened");
    return this;
  }

  /** Open a conversation and return when the server's head has been reached. */
  async openFrom(conversation, cursor) {
    this.started = new Promise((resolve) => (this.isStarted = resolve));
    this.seq = cursor.seq;
    this.socket.send(JSON.stringify({ type: "open", conversation_id: conversation, cursor }));
    await within(this.started, "opened");
  }

  /** Run a command and return its result's data. */
  command(command, args) {
    const id = `c${this.asked.size}-${this.deviceId}`;
    const answered = new Promise((resolve) => this.asked.set(id, resolve));
    this.socket.send(JSON.stringify({ type: "command", id, command, args }));
    return within(answered, command);
  }

  receive(text, bytes) {
    this.frames += 1;
    this.bytes += bytes;
    const parsed = JSON.parse(text);
    if (Array.isArray(parsed)) for (const frame of parsed) this.handle(frame);
    else this.handle(parsed);
    if (this.frames - this.confirmedFrames >= CONFIRM_FRAMES || this.bytes - this.confirmedBytes >= CONFIRM_BYTES)
      this.confirm("received");
  }

  confirm(type) {
    this.confirmedFrames = this.frames;
    this.confirmedBytes = this.bytes;
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type, frames: this.frames }));
  }

  handle(frame) {
    switch (frame.type) {
      case "event":
        if (this.seq && frame.seq !== this.seq + 1) this.gaps = (this.gaps ?? 0) + 1;
        this.seq = frame.seq;
        this.chain = frame.chain;
        this.cursor = { epoch: frame.epoch, seq: frame.seq, chain: frame.chain };
        this.events += 1;
        if (frame.event === "message") this.onDelivery(frame.data.client_id, frame.seq, frame.chain);
        break;
      case "ack":
        this.onAck(frame.client_id, frame.seq);
        break;
      case "system":
        if (frame.event !== "ready") break;
        this.ready = frame;
        this.conversation ??= frame.conversation_id;
        this.beats = setInterval(() => this.confirm("heartbeat"), frame.heartbeat_seconds * 1000);
        if (this.open && !Object.keys(this.open).length) this.isStarted();
        break;
      case "snapshot":
        this.snapshots = (this.snapshots ?? 0) + 1;
        this.seq = frame.head.seq;
        this.cursor = frame.head;
        break;
      case "opened":
        this.conversation = frame.conversation_id;
        this.head = frame.head;
        // A replay that flow control interrupted ends with another `opened`.
        if (!this.seq || this.seq >= frame.head.seq) this.isStarted();
        break;
      case "result":
        this.asked.get(frame.id)?.(frame.data);
        break;
      case "error":
        throw new Error(`server: ${frame.code} ${frame.message}`);
      case "bye":
        this.bye = `${frame.code} ${frame.reason}`;
    }
  }

  send(clientId, content) {
    this.socket.send(
      JSON.stringify({
        type: "text",
        client_id: clientId,
        conversation_id: this.conversation,
        content,
        respond: false,
      }),
    );
  }
}

/** A device that speaks Engine.IO 4 and Socket.IO 5 by hand, so that no library's cost enters the comparison. */
export class SocketIoDevice extends Device {
  constructor({ user, deviceId }) {
    super();
    this.user = user;
    this.deviceId = deviceId;
    this.started = new Promise((resolve) => (this.isStarted = resolve));
  }

  async join(url) {
    await this.start(url);
    await within(this.started, "ready");
    return this;
  }

  receive(text) {
    const kind = text.charCodeAt(0);
    if (kind === 48) this.socket.send(`40${JSON.stringify({ user: this.user, device_id: this.deviceId })}`);
    else if (kind === 50) this.socket.send("3");
    else if (text.startsWith("42")) this.handle(JSON.parse(text.slice(2)));
  }

  handle([event, data]) {
    if (event === "message") this.onDelivery(data.client_id, null, null);
    else if (event === "ready") this.isStarted();
  }

  send(clientId, content) {
    this.socket.send(`42${JSON.stringify(["text", { client_id: clientId, content }])}`);
  }
}
