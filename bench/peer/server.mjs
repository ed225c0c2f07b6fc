// One Socket.IO process of the peer: rooms over Redis streams, nothing durable beyond the adapter's own stream.
// Configured by PORT and REDIS_URL; prints "ready" when it listens; SIGTERM ends it.
import { randomUUID } from "node:crypto";
import { createAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const redis = createClient({ url: process.env.REDIS_URL });
await redis.connect();

// Everything we send is JSON, which the adapter may be told: that is its fastest setting.
const io = new Server({ adapter: createAdapter(redis, { onlyPlaintext: true }), transports: ["websocket"] });

io.on("connection", (socket) => {
  const { user, device_id } = socket.handshake.auth;
  socket.join(user);
  socket.on("text", ({ client_id, content }) => {
    io.to(user).emit("message", {
      message_id: randomUUID(),
      author: user,
      device_id,
      client_id,
      content,
      at: new Date().toISOString(),
    });
  });
  socket.emit("ready");
});

io.listen(Number(process.env.PORT));
io.httpServer.on("listening", () => console.log("ready"));
process.on("SIGTERM", () => process.exit(0));
