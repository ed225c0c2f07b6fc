// Hold one idle device for each user until stdin ends; print "connected" when all are open.
import { readOrder } from "./order.mjs";
import { TetherDevice } from "./devices.mjs";

const { urls, users } = readOrder();
const devices = [];
for (let start = 0; start < users.length; start += 20)
  devices.push(
    ...(await Promise.all(
      users.slice(start, start + 20).map((user, offset) =>
        new TetherDevice({ token: user.token, deviceId: "idle" }).join(urls[(start + offset) % urls.length]),
      ),
    )),
  );
console.log(JSON.stringify({ connected: devices.length }));
process.stdin.on("end", () => {
  for (const device of devices) device.stop();
  process.exit(0);
});
process.stdin.resume();
