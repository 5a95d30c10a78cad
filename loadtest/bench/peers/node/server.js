// Stock Node socket.io server for the benchmark. It publishes from its own process on command, which favours it:
// the gateway pays for its HTTP intake, this server does not.
//
//   node server.js [redis|streams]   with the Redis or the Redis Streams adapter, as their readmes show them, on the
//                                    Redis that REDIS_URL names; the latter with connection state recovery
//
// Control (see ../../src/control.rs): prints one JSON line when it listens, then reads one JSON `run` per line from
// standard input, publishes it by a timer, and prints a `done` line. It exits when standard input ends.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { createAdapter as createRedisAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const SEQUENCE_DIGITS = 10;
const FRAME_OVERHEAD = '42["m","0000000000",""]'.length;

async function connectedClient() {
  return createClient({ url: process.env.REDIS_URL }).connect();
}

/** What the server is told about its adapter. */
async function adapterOptions(kind) {
  switch (kind) {
    case undefined:
      return {};
    case "redis":
      return { adapter: createRedisAdapter(await connectedClient(), await connectedClient()) };
    case "streams":
      return { adapter: createStreamsAdapter(await connectedClient()), connectionStateRecovery: {} };
    default:
      throw new Error(`unknown adapter ${kind}`);
  }
}

const http = createServer();
const io = new Server(http, { serveClient: false, ...(await adapterOptions(process.argv[2])) });

io.on("connection", (socket) => {
  const { room } = socket.handshake.auth;
  socket.join(typeof room === "string" ? [room, "everyone"] : ["everyone"]);
});

/** Last sequence number per room. */
const sequences = new Map();

function publishOne(room, event, pad) {
  const sequence = (sequences.get(room) ?? 0) + 1;
  sequences.set(room, sequence);
  io.to(room).emit(event, String(sequence).padStart(SEQUENCE_DIGITS, "0"), pad);
}

async function run({ target, first_room, rooms, ticks_per_second, burst, bytes, seconds }) {
  const pad = "x".repeat(Math.max(0, bytes - FRAME_OVERHEAD));
  const ticks = Math.round(ticks_per_second * seconds);
  const start = performance.now();
  let cursor = 0;
  for (let tick = 0; tick < ticks; tick++) {
    const wait = start + (tick * 1000) / ticks_per_second - performance.now();
    if (wait > 0) await sleep(wait);
    for (let i = 0; i < burst; i++) {
      if (target === "everyone") publishOne("everyone", "e", pad);
      else publishOne(`r${first_room + (cursor++ % rooms)}`, "m", pad);
    }
  }
  return ticks * burst;
}

const lines = createInterface({ input: process.stdin });
http.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ message: "ready", public: `127.0.0.1:${http.address().port}` }));
});
for await (const line of lines) {
  const published = await run(JSON.parse(line));
  console.log(JSON.stringify({ message: "done", published }));
}
process.exit(0);
