// One sender, one reader, and `stalled` devices of the same user whose sockets are never read once they are open.
// All but the sender sit on the first node. Measures what the reader feels: once without the stalled, once with them.
import { readOrder } from "./order.mjs";
import { TetherDevice, now } from "./devices.mjs";
import { quantiles, texts } from "./figures.mjs";

const { urls, user, stalled, seconds, per_second, length, seed } = readOrder();
const content = texts(seed, 16, length);
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
// A server that is behind is not sent more: the protocol allows 64.
const MOST_UNACKED = 32;
const sentAt = new Map();
let latencies = [];
let unacked = 0;

const sender = await new TetherDevice({ token: user.token, deviceId: "sender" }).join(urls[1]);
sender.onAck = () => (unacked -= 1);
const conversation = sender.conversation;
const join = (deviceId) => new TetherDevice({ token: user.token, deviceId }).join(urls[0], { [conversation]: null });
const reader = await join("reader");
reader.onDelivery = (clientId) => latencies.push(now() - sentAt.get(clientId));

async function phase(name) {
  latencies = [];
  const end = now() + seconds * 1000;
  let count = 0;
  for (const begin = now(); now() < end; await sleep(2))
    for (; unacked < MOST_UNACKED && count < ((now() - begin) / 1000) * per_second; count += 1) {
      unacked += 1;
      sentAt.set(`${name}${count}`, now());
      sender.send(`${name}${count}`, content[count % content.length]);
    }
  await sleep(500);
  return { sent: count, delivered: latencies.length, delivery_ms: quantiles(latencies) };
}

// Python samples the node's memory at each line and answers with a line of its own.
const say = async (line) => {
  console.log(JSON.stringify(line));
  await new Promise((resolve) => process.stdin.once("data", resolve));
};

await phase("w");
await say({ alone: await phase("a") });
const silent = [];
for (let number = 0; number < stalled; number += 1) silent.push(await join(`silent${number}`));
for (const device of silent) {
  device.onClose = () => {};
  clearInterval(device.beats);
  device.socket._socket.pause();
}
await say({ stalled: await phase("b") });
process.exit(0);
