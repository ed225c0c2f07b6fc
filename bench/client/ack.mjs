// One device, one message at a time with a pause between: the time from `text` to `ack` when nothing else happens.
import { readOrder } from "./order.mjs";
import { TetherDevice, now } from "./devices.mjs";
import { quantiles, texts } from "./figures.mjs";

const { urls, user, messages, pause_ms, seed } = readOrder();
const content = texts(seed, 256, 64);
const acks = [];
const device = await new TetherDevice({ token: user.token, deviceId: "d0" }).join(urls[0]);
for (let number = 0; number < messages; number += 1) {
  const acked = new Promise((resolve) => (device.onAck = resolve));
  const at = now();
  device.send(`a${number}`, content[number % content.length]);
  await acked;
  if (number >= messages / 10) acks.push(now() - at);
  await new Promise((resolve) => setTimeout(resolve, pause_ms));
}
device.stop();
process.stdout.write(`${JSON.stringify({ ack_ms: quantiles(acks) })}\n`, () => process.exit(0));
