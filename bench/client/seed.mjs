// Fill one new conversation for each wanted length, and return each one's cursor `missed` entries before its end.
import { readOrder } from "./order.mjs";
import { TetherDevice } from "./devices.mjs";
import { texts } from "./figures.mjs";

const { urls, user, lengths, missed, seed } = readOrder();
const WINDOW = 32;
const content = texts(seed, 256, 64);

async function fill(device, length) {
  const { conversation_id: conversation } = await device.command("new_conversation", { title: `of ${length}` });
  device.seq = 0;
  await device.openFrom(conversation, { seq: 0 });
  let sent = device.head.seq;
  let cursor = null;
  await new Promise((resolve) => {
    const send = () => {
      sent += 1;
      device.send(`s${sent}`, content[sent % content.length]);
    };
    device.onDelivery = (_, seq) => {
      if (seq === length - missed) cursor = device.cursor;
      if (seq === length) resolve();
      if (sent < length) send();
    };
    for (let count = 0; count < WINDOW; count += 1) send();
  });
  device.socket.send(JSON.stringify({ type: "close", conversation_id: conversation }));
  return { length, conversation, cursor };
}

const device = await new TetherDevice({ token: user.token, deviceId: "seed" }).join(urls[0], {});
const result = [];
for (const length of lengths) result.push(await fill(device, length));
device.stop();
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
