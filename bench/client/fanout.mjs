// Users with three devices each, spread over the nodes; the first device of each sends, keeping `window` messages
// that have not reached all of the user's devices yet. Reads its order as JSON from a file, prints its result as JSON.
import { readOrder } from "./order.mjs";
import { SocketIoDevice, TetherDevice, now } from "./devices.mjs";
import { quantiles, texts } from "./figures.mjs";

const order = readOrder();
const { kind, urls, users, devices, window, warmup_seconds, measure_seconds, seed, run } = order;
const LENGTH = 64;
const content = texts(seed, 256, LENGTH);

const latencies = [];
const acks = [];
const state = { running: true, measuring: false, sent: 0, delivered: 0, repeated: 0, sequence: 0 };

class User {
  inflight = new Map();

  async join(who, number) {
    this.name = who.user;
    this.devices = [];
    for (let index = 0; index < devices; index += 1) {
      const deviceId = `d${index}`;
      const device = kind === "tether" ? new TetherDevice({ ...who, deviceId }) : new SocketIoDevice({ ...who, deviceId });
      device.onDelivery = (clientId) => this.delivered(index, clientId);
      // All devices but the first name the conversation, so that they share the first one's.
      const open = index ? { [this.devices[0].conversation]: null } : undefined;
      await device.join(urls[(number + index) % urls.length], open);
      this.devices.push(device);
    }
    this.devices[0].onAck = (clientId) => this.acked(clientId);
  }

  send() {
    const clientId = `${run}-${(state.sequence += 1)}`;
    this.inflight.set(clientId, { at: now(), missing: (1 << devices) - 1 });
    state.sent += 1;
    this.devices[0].send(clientId, content[state.sequence % content.length]);
  }

  delivered(index, clientId) {
    const message = this.inflight.get(clientId);
    if (!message || !(message.missing & (1 << index))) {
      state.repeated += 1;
      return;
    }
    if (state.measuring) {
      state.delivered += 1;
      latencies.push(now() - message.at);
    }
    message.missing &= ~(1 << index);
    if (message.missing) return;
    // The ack may come after the last delivery; it is timed from what is kept on the device.
    this.inflight.delete(clientId);
    this.last = this.last ?? new Map();
    if (kind === "tether" && !message.acked) this.last.set(clientId, message);
    if (state.running) this.send();
  }

  acked(clientId) {
    const message = this.inflight.get(clientId) ?? this.last?.get(clientId);
    if (!message) return;
    message.acked = true;
    this.last?.delete(clientId);
    if (state.measuring) acks.push(now() - message.at);
  }

  get lost() {
    let lost = 0;
    for (const { missing } of this.inflight.values()) lost += missing.toString(2).split("1").length - 1;
    return lost;
  }
}

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

async function drained(everyone) {
  const deadline = now() + 10000;
  while (now() < deadline && everyone.some((user) => user.inflight.size)) await sleep(0.02);
}

const everyone = users.map(() => new User());
for (let start = 0; start < users.length; start += 10)
  await Promise.all(everyone.slice(start, start + 10).map((user, offset) => user.join(users[start + offset], start + offset)));
for (const user of everyone) for (let count = 0; count < window; count += 1) user.send();
await sleep(warmup_seconds);

const before = { at: now(), cpu: process.cpuUsage(), loop: performance.eventLoopUtilization() };
state.measuring = true;
console.error("measuring");
await sleep(measure_seconds);
state.measuring = false;
const seconds = (now() - before.at) / 1000;
const cpu = process.cpuUsage(before.cpu);
console.error("measured");
const loop = performance.eventLoopUtilization(before.loop);
state.running = false;
await drained(everyone);

const result = {
  seconds: Number(seconds.toFixed(3)),
  deliveries_per_second: Math.round(state.delivered / seconds),
  delivery_ms: quantiles(latencies),
  ack_ms: quantiles(acks),
  sent: state.sent,
  lost: everyone.reduce((sum, user) => sum + user.lost, 0),
  repeated: state.repeated,
  gaps: everyone.reduce((sum, user) => sum + user.devices.reduce((inner, device) => inner + (device.gaps ?? 0), 0), 0),
  chains_differ: kind !== "tether" ? 0 : everyone.filter((user) => new Set(user.devices.map((d) => d.chain)).size > 1).length,
  client_cores: Number(((cpu.user + cpu.system) / 1e6 / seconds).toFixed(3)),
  client_loop_busy: Number(loop.utilization.toFixed(3)),
};
for (const user of everyone) for (const device of user.devices) device.stop();
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
