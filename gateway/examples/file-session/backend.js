// The backend of the file sessions. The gateway posts every client event to it and hands its answer to the client; what happens
// without a client's event is published. All state is in Redis: any process of it can go on where another stopped.
//
//   PORT                 3000                     where it listens
//   GATEWAY_API          http://127.0.0.1:9100    the gateway's internal API
//   REDIS_URL            redis://127.0.0.1:6379
//   SESSION_TIMEOUT_MS   300000                   five minutes
//   FILES                files                    folder of the files that a session is about

import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createClient } from "redis";

const { PORT = "3000", GATEWAY_API = "http://127.0.0.1:9100", REDIS_URL = "redis://127.0.0.1:6379" } = process.env;
const TIMEOUT_MS = Number(process.env.SESSION_TIMEOUT_MS ?? 5 * 60_000);
const FILES = process.env.FILES ?? fileURLToPath(new URL("files", import.meta.url));
const SECRET = "between the gateway and its backend"; // as in carillon.toml

const redis = createClient({ url: REDIS_URL });
redis.on("error", (error) => console.error(`redis: ${error.message}`));
await redis.connect();

const files = Object.fromEntries(readdirSync(FILES).sort().map((name) => [name, readFileSync(join(FILES, name), "utf8")]));

// ---- state
//   file-session:<id>            hash: user; closed: how it ends, once that is decided
//   file-session:<id>:open       set: files that have not come back
//   file-session:<id>:returned   hash: file -> its content as it came back
//   file-session:<id>:logs       list
//   file-session:deadlines       sorted set: session -> when it is given up, in ms

const key = (sessionId, part) => `file-session:${sessionId}${part ? `:${part}` : ""}`;
const DEADLINES = "file-session:deadlines";
const KEEP_S = 24 * 3600; // what is left of a session, for whoever wants to look

/** What a client is told, and no fault of ours. */
class Refused extends Error {}

async function sessionOf(user, { sessionId } = {}) {
  const [owner, closed] = typeof sessionId === "string" ? await redis.hmGet(key(sessionId), ["user", "closed"]) : [];
  // the same for one that is another user's
  if (owner !== user || closed) throw new Refused("there is no such session");
  return sessionId;
}

const available = (sessionId, fileId) => ({ event: "session-file-available", args: [{ sessionId, fileId, content: files[fileId] }] });

/** A file is sent now: from now on its return is waited for. */
const postpone = (sessionId) => redis.zAdd(DEADLINES, { score: Date.now() + TIMEOUT_MS, value: sessionId });

/** Whether it is this that ends the session: the first who says so decides. */
const ends = async (sessionId, how) => (await redis.hSetNX(key(sessionId), "closed", how)) === 1;

async function forget(sessionId) {
  await redis.zRem(DEADLINES, sessionId);
  await redis.del([key(sessionId), key(sessionId, "open")]);
  for (const part of ["returned", "logs"]) await redis.expire(key(sessionId, part), KEEP_S);
}

// ---- client events: each is answered by the fields of its `-success`, and what else is to be done

const room = (sessionId) => `session:${sessionId}`;

const handlers = {
  async "session-start"(user) {
    const sessionId = randomUUID();
    await redis.hSet(key(sessionId), { user });
    await redis.sAdd(key(sessionId, "open"), Object.keys(files));
    await postpone(sessionId);
    return { fields: { sessionId }, join: [room(sessionId)], emit: Object.keys(files).map((fileId) => available(sessionId, fileId)) };
  },

  /** On a connection that could not be recovered: what has not come back is sent again. */
  async "session-reconnect"(user, message) {
    const sessionId = await sessionOf(user, message);
    const open = (await redis.sMembers(key(sessionId, "open"))).sort();
    await postpone(sessionId);
    return { fields: { sessionId }, join: [room(sessionId)], emit: open.map((fileId) => available(sessionId, fileId)) };
  },

  async "session-file-repeat"(user, message) {
    const sessionId = await sessionOf(user, message);
    const { fileId } = message;
    if (!Object.hasOwn(files, fileId)) throw new Refused("there is no such file");
    await postpone(sessionId);
    return { fields: { sessionId, fileId }, emit: [available(sessionId, fileId)] };
  },

  async "session-file-send"(user, message) {
    const sessionId = await sessionOf(user, message);
    const { fileId, content } = message;
    if (!Object.hasOwn(files, fileId)) throw new Refused("there is no such file");
    if (typeof content !== "string" || content === "") throw new Refused("the file has no content");
    await redis.hSet(key(sessionId, "returned"), fileId, content);
    await redis.sRem(key(sessionId, "open"), fileId);
    const fields = { sessionId, fileId };
    if ((await redis.sCard(key(sessionId, "open"))) > 0 || !(await ends(sessionId, "finish"))) return { fields };
    await forget(sessionId);
    return { fields, emit: [{ event: "session-close", args: [{ type: "finish" }] }], leave: [room(sessionId)] };
  },

  async "session-client-abort"(user, message) {
    const sessionId = await sessionOf(user, message);
    if (await ends(sessionId, "abort")) await forget(sessionId);
    return { fields: { sessionId }, leave: [room(sessionId)] };
  },

  async "logs-send"(user, message) {
    const sessionId = await sessionOf(user, message);
    await redis.rPush(key(sessionId, "logs"), JSON.stringify(message.logs ?? null));
    return { fields: { sessionId } };
  },
};

/** The answer to one call of the gateway. */
async function answer({ event, user, args: [message] }) {
  try {
    const { fields, emit = [], ...more } = await handlers[event](user, message ?? {});
    return { emit: [{ event: `${event}-success`, args: [fields] }, ...emit], ...more };
  } catch (error) {
    if (!(error instanceof Refused)) console.error(`${event}: ${error.stack}`);
    const { sessionId, fileId } = message ?? {};
    const text = error instanceof Refused ? error.message : "something went wrong, try again";
    return { emit: [{ event: `${event}-error`, args: [{ sessionId, fileId, message: text }] }] };
  }
}

// ---- what time brings

async function publish(event, payload, sessionId) {
  const response = await fetch(`${GATEWAY_API}/v1/publish`, {
    method: "POST",
    // published once, whoever of us tries how often
    headers: { "content-type": "application/json", "idempotency-key": `${event}:${sessionId}` },
    body: JSON.stringify({ target: { rooms: [room(sessionId)] }, event, args: [payload] }),
  });
  if (!response.ok) throw new Error(`publish ${event}: ${response.status} ${await response.text()}`);
}

async function closeLate() {
  for (const sessionId of await redis.zRangeByScore(DEADLINES, 0, Date.now())) {
    await ends(sessionId, "timeout-close");
    // also when another process of us decided it, and has not come further
    if ((await redis.hGet(key(sessionId), "closed")) === "timeout-close") await publish("session-close", { type: "timeout-close" }, sessionId);
    await forget(sessionId);
  }
}

setInterval(() => closeLate().catch((error) => console.error(error.message)), Math.min(1000, TIMEOUT_MS / 4));

// ---- calls of the gateway

function signed({ "x-carillon-timestamp": time = "", "x-carillon-signature": signature = "" }, body) {
  const expected = Buffer.from(`v1=${createHmac("sha256", SECRET).update(`${time}.`).update(body).digest("hex")}`);
  const given = Buffer.from(signature);
  return Math.abs(Date.now() / 1000 - Number(time)) < 300 && given.length === expected.length && timingSafeEqual(given, expected);
}

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (!signed(request.headers, body)) return response.writeHead(401).end();
  const call = JSON.parse(body);
  if (!Object.hasOwn(handlers, call.event)) return response.writeHead(404).end();
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(await answer(call)));
}).listen(Number(PORT), "127.0.0.1", function listening() {
  console.log(`listening on http://127.0.0.1:${this.address().port}`);
});
