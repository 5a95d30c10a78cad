// Runs in the cluster for as long as the trial: stock clients, most of which begin with polling and go on by WebSocket, some of
// which only poll; and a backend that publishes a numbered message to all of them every half second, again until it is accepted.
// Prints each second what came of it, as one line of JSON.

import { createHmac } from "node:crypto";
import { io } from "socket.io-client";

const { URL, PUBLISH, API_KEY, JWT_SECRET, CLIENTS, POLLING, EVERY_MS } = process.env;
const ROOM = "stock";
const elapse = (ms) => new Promise((done) => setTimeout(done, ms));

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
function token(user) {
  const text = `${encoded({ alg: "HS256", typ: "JWT" })}.${encoded({ sub: user, exp: Math.floor(Date.now() / 1000) + 86400 })}`;
  return `${text}.${createHmac("sha256", JWT_SECRET).update(text).digest("base64url")}`;
}

class Client {
  expected; // the number of the next message; unknown in a new session, until one came
  received = 0;
  lost = 0;
  duplicate = 0;
  out_of_order = 0;
  recovered = 0;
  new_sessions = -1; // the first one does not count
  away_ms = 0; // the longest time without a connection
  #seen = new Set();
  #left;

  constructor(name, transports) {
    this.polls = transports.length === 1;
    this.socket = io(URL, { transports, auth: { token: token(name) }, forceNew: true });
    this.socket.on("connect", () => this.#connected());
    this.socket.on("disconnect", () => (this.#left = Date.now()));
    this.socket.on("note", (number) => this.#take(number));
  }

  async #connected() {
    if (this.#left) this.away_ms = Math.max(this.away_ms, Date.now() - this.#left);
    if (this.socket.recovered) return void this.recovered++;
    this.new_sessions++;
    this.expected = undefined;
    const answer = await this.socket.timeout(60_000).emitWithAck("join", ROOM).catch((error) => ({ error: error.message }));
    if (!answer.ok) console.error(`join: ${JSON.stringify(answer)}`);
  }

  #take(number) {
    this.received++;
    if (this.#seen.has(number)) return void this.duplicate++;
    this.#seen.add(number);
    if (number < this.expected) return void this.out_of_order++;
    this.lost += number - (this.expected ?? number);
    this.expected = number + 1;
  }
}

const clients = Array.from({ length: Number(CLIENTS) }, (_, n) => new Client(`stock-${n}`, n < Number(POLLING) ? ["polling"] : ["polling", "websocket"]));

let sent = 0;
async function publish() {
  const run = Date.now().toString(36);
  for (; ; await elapse(Number(EVERY_MS))) {
    const request = {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${API_KEY}`, "idempotency-key": `${run}-${sent}` },
      body: JSON.stringify({ target: { rooms: [ROOM] }, event: "note", args: [sent] }),
    };
    for (;;) {
      const answer = await fetch(`${PUBLISH}/v1/publish`, { ...request, signal: AbortSignal.timeout(10_000) }).catch((error) => error);
      if (answer.ok) break;
      if (answer.status >= 400 && answer.status < 500 && answer.status !== 429) throw new Error(`publish: ${answer.status} ${await answer.text()}`);
      await elapse(100);
    }
    sent++;
  }
}
publish();

process.on("SIGTERM", () => process.exit());

const sum = (some, name) => some.reduce((total, client) => total + client[name], 0);
setInterval(() => {
  const [polling, others] = [clients.filter(({ polls }) => polls), clients.filter(({ polls }) => !polls)];
  const there = (some) => some.filter(({ socket }) => socket.connected).length;
  const counts = Object.fromEntries(["received", "lost", "duplicate", "out_of_order", "recovered", "new_sessions"].map((name) => [name, sum(clients, name)]));
  console.log(JSON.stringify({
    sent,
    ...counts,
    complete: clients.filter(({ expected }) => expected >= sent).length,
    connected: there(others),
    websockets: others.filter(({ socket }) => socket.io.engine?.transport.name === "websocket").length,
    polling: there(polling),
    away_ms: Math.max(...clients.map(({ away_ms }) => away_ms)),
  }));
}, 1000);
