// Listens to the news of tasks: node client.js '{"user": "ann"}' [websocket]

import { pathToFileURL } from "node:url";
import { io } from "socket.io-client";

/**
 * `query` is `{ user }` or `{ room, userIdentity }`. The connection begins with polling and is upgraded, unless
 * `transports: ["websocket"]` says otherwise. `on` has a listener for any of progress, complete, error, cancel and own, which is
 * for this socket alone. Each gets the whole task.
 */
export function listen(url, { query, on, ...options }) {
  const socket = io(`${url}/notice`, { query, ...options });
  for (const news of ["progress", "complete", "error", "cancel"]) socket.on(`file.${news}`, (task) => on[news]?.(task));
  // An event named after the socket's own id. A new session has a new one.
  let own;
  socket.on("connect", () => {
    if (own) socket.off(own);
    own = socket.id;
    socket.on(own, (task) => on.own?.(task));
  });
  return socket;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [query = '{"user": "ann"}', transport] = process.argv.slice(2);
  const tell = (news) => (task) => console.log(news, task);
  const on = Object.fromEntries(["progress", "complete", "error", "cancel", "own"].map((news) => [news, tell(news)]));
  const socket = listen(process.env.GATEWAY ?? "https://127.0.0.1:8443", { query: JSON.parse(query), on, ...(transport && { transports: [transport] }) });
  socket.on("connect", () => console.log("connected as", socket.id, "by", socket.io.engine.transport.name));
  socket.on("connect_error", (error) => console.log("connect_error", error.message));
}
