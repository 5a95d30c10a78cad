// Stock Node socket.io server for the benchmark. It publishes from its own process on command, which favours it:
// the gateway pays for its HTTP intake, this server does not.
//
// Control (see ../../src/control.rs): prints one JSON line when it listens, then reads one JSON `run` per line from
// standard input, publishes it by a timer, and prints a `done` line. It exits when standard input ends.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { Server } from "socket.io";

const SEQUENCE_DIGITS = 10;
const FRAME_OVERHEAD = '42["m","0000000000",""]'.length;

const http = createServer();
const io = new Server(http, { serveClient: false });

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

async function run({ target, rooms, ticks_per_second, burst, bytes, seconds }) {
  const pad = "x".repeat(Math.max(0, bytes - FRAME_OVERHEAD));
  const ticks = Math.round(ticks_per_second * seconds);
  const start = performance.now();
  let cursor = 0;
  for (let tick = 0; tick < ticks; tick++) {
    const wait = start + (tick * 1000) / ticks_per_second - performance.now();
    if (wait > 0) await sleep(wait);
    for (let i = 0; i < burst; i++) {
      if (target === "everyone") publishOne("everyone", "e", pad);
      else publishOne(`r${cursor++ % rooms}`, "m", pad);
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
