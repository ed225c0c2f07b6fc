// Resume each conversation in turn, again and again: the time from `open` with the cursor to `opened` at the head,
// and the time from `auth` with the cursor to the same, each on a fresh socket.
import { readOrder } from "./order.mjs";
import { TetherDevice, now } from "./devices.mjs";
import { quantiles } from "./figures.mjs";

const { urls, user, conversations, missed, rounds } = readOrder();
const samples = conversations.map(() => ({ open: [], auth: [] }));

function checked(device, conversation) {
  if (device.events !== missed || device.gaps || device.snapshots)
    throw new Error(`${conversation}: ${device.events} events, ${device.gaps ?? 0} gaps, not ${missed} in a row`);
}

async function resume(url, { conversation, cursor }, kind, deviceId) {
  const device = new TetherDevice({ token: user.token, deviceId });
  if (kind === "open") await device.join(url, {});
  else device.seq = cursor.seq;
  const at = now();
  if (kind === "open") await device.openFrom(conversation, cursor);
  else await device.join(url, { [conversation]: cursor });
  const took = now() - at;
  checked(device, conversation);
  device.stop();
  return took;
}

for (let round = 0; round < rounds; round += 1)
  for (const kind of ["open", "auth"])
    for (const [index, conversation] of conversations.entries())
      samples[index][kind].push(await resume(urls[round % urls.length], conversation, kind, `r${round % 4}`));

const result = conversations.map(({ length }, index) => ({
  length,
  missed,
  open_ms: quantiles(samples[index].open),
  auth_ms: quantiles(samples[index].auth),
}));
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
