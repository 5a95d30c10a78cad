// Copies files, and tells who asked for it how far it is.
//
//   POST /tasks {"source", "destination", "userIdentity" or "room", "name", "socket"}    201 and the task
//   POST /tasks/{identity}/cancel                                                        204
//
//   PORT          3000                    where it listens
//   GATEWAY_API   http://127.0.0.1:9100   the gateway's internal API
//   PACE_MS       200                     time between two parts, of which a file has ten

import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { basename } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

const { PORT = "3000", GATEWAY_API = "http://127.0.0.1:9100", PACE_MS = "200" } = process.env;
const running = new Map();

async function publish(target, event, task) {
  const body = JSON.stringify({ namespace: "/notice", target, event, args: [task] });
  const response = await fetch(`${GATEWAY_API}/v1/publish`, { method: "POST", headers: { "content-type": "application/json" }, body });
  if (!response.ok) console.error(`publish ${event}: ${response.status} ${await response.text()}`);
}

/** The whole task, as every event has it. */
function newTask({ source, destination, userIdentity = null, name = basename(source) }) {
  const state = { progress: 0, size: 0, count: 0, status: "waiting", errorCode: null, errorMessage: null };
  return { identity: randomUUID(), userIdentity, type: "file", name, source, destination, action: "copy", ...state };
}

async function copy(task, tell, signal) {
  try {
    task.size = (await stat(task.source)).size;
    task.status = "running";
    const target = await open(task.destination, "w");
    try {
      for await (const part of createReadStream(task.source, { highWaterMark: Math.ceil(task.size / 10) || 1, signal })) {
        await target.write(part);
        task.count += part.length;
        task.progress = Math.round((100 * task.count) / task.size);
        await tell("file.progress");
        await wait(Number(PACE_MS), undefined, { signal });
      }
    } finally {
      await target.close();
    }
    task.status = "complete";
    await tell("file.complete");
  } catch (error) {
    if (signal.aborted) {
      task.status = "cancelled";
      return tell("file.cancel");
    }
    Object.assign(task, { status: "failed", errorCode: error.code, errorMessage: error.message });
    await tell("file.error");
  }
}

async function start(wish) {
  const task = newTask(wish);
  const target = wish.room ? { rooms: [`room:${wish.room}`] } : { users: [wish.userIdentity] };
  // the one who asked, and nobody else, is told by an event named after his socket
  if (wish.socket) await publish({ sockets: [wish.socket] }, wish.socket, task);
  const stop = new AbortController();
  running.set(task.identity, stop);
  const accepted = { ...task };
  copy(task, (event) => publish(target, event, task), stop.signal).finally(() => running.delete(task.identity));
  return accepted;
}

async function answer(request) {
  let text = "";
  for await (const chunk of request) text += chunk;
  const [, tasks, identity, change] = request.url.split("/");
  if (request.method !== "POST" || tasks !== "tasks") return [404];
  if (identity === undefined) return [201, await start(JSON.parse(text))];
  if (change !== "cancel" || !running.has(identity)) return [404];
  running.get(identity).abort();
  return [204];
}

createServer(async (request, response) => {
  const [status, body] = await answer(request).catch((error) => [500, { message: error.message }]);
  response.writeHead(status, { "content-type": "application/json" }).end(body && JSON.stringify(body));
}).listen(Number(PORT), "127.0.0.1", function listening() {
  console.log(`listening on http://127.0.0.1:${this.address().port}`);
});
