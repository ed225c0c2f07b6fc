// A server that does nothing: it sends each text back to the sender's room as the peer would, without any store.
// What the client reaches against it is the client's own ceiling.
import { WebSocketServer } from "ws";

const rooms = new Map();
const server = new WebSocketServer({ port: Number(process.env.PORT), host: "127.0.0.1", perMessageDeflate: false });

server.on("connection", (socket) => {
  socket.send('0{"sid":"mirror"}');
  socket.on("message", (data) => {
    const text = data.toString();
    if (text.startsWith("40")) {
      const { user } = JSON.parse(text.slice(2));
      socket.room = rooms.get(user) ?? rooms.set(user, new Set()).get(user);
      socket.room.add(socket);
      socket.send('40{"sid":"mirror"}');
      socket.send('42["ready"]');
    } else if (text.startsWith('42["text"')) {
      const out = `42["message"${text.slice(9)}`;
      for (const one of socket.room) one.send(out);
    }
  });
});
server.on("listening", () => console.log("ready"));
process.on("SIGTERM", () => process.exit(0));
