// The reference server (Node socket.io 4.8) behind the gateway's own contract, as far as it goes: the same rules, the same ready
// line, the same internal API. It exists to show that the tests are right: CARILLON_E2E_REFERENCE=1 ./run
// Development only; it is no part of the product and makes none of its promises.

import { createServer } from "node:http";
import { Server } from "socket.io";
import msgpack from "socket.io-msgpack-parser";

const config = JSON.parse(process.env.CARILLON_E2E_CONFIG);
const ms = (text, otherwise) => {
  if (text === undefined) return otherwise;
  const [, number, unit] = /^(\d+)(ms|s|m|h)$/.exec(text);
  return Number(number) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[unit];
};
const namespaces = config.namespaces ?? [{ name: "/", recovery: true, events: [] }];
const recovery = namespaces.some((n) => n.recovery !== false);
const packed = config.referenceParser === "msgpack";

const http = createServer((_, response) => response.writeHead(404).end());
const io = new Server(http, {
  path: config.public.path ?? "/socket.io/",
  serveClient: Boolean(config.public.client_dir),
  transports: config.public.transports ?? ["polling", "websocket"],
  allowUpgrades: config.public.upgrades ?? true,
  pingInterval: ms(config.engine?.ping_interval, 25_000),
  pingTimeout: ms(config.engine?.ping_timeout, 20_000),
  upgradeTimeout: ms(config.engine?.upgrade_timeout, 10_000),
  maxHttpBufferSize: config.engine?.max_payload ?? 1_000_000,
  connectTimeout: ms(config.limits?.connect_timeout, 45_000),
  cors: { origin: "*" },
  ...(packed ? { parser: msgpack } : {}),
  ...(recovery ? { connectionStateRecovery: { maxDisconnectionDuration: ms(config.recovery?.window, 120_000) } } : {}),
});

/** The value of a template; undefined when a placeholder has no value. */
function fill(template, scope) {
  const look = (path) => path.split(".").reduce((value, key) => value?.[key], scope);
  const whole = /^\{([^}]*)\}$/.exec(template);
  if (whole) return look(whole[1]);
  let missing = false;
  const text = template.replace(/\{([^}]*)\}/g, (_, path) => look(path) ?? ((missing = true), ""));
  return missing ? undefined : text;
}

const named = (room) => `room:${room}`;

for (const { name, on_connect = {}, events = [] } of namespaces) {
  const rules = new Map(events.map((rule) => [rule.event, rule]));
  io.of(name).on("connection", (socket) => {
    const auth = Object.fromEntries(Object.entries(socket.handshake.auth).filter(([key]) => !recovery || (key !== "pid" && key !== "offset")));
    const scope = { auth, query: socket.handshake.query };
    for (const template of on_connect.join ?? []) {
      const room = fill(template, scope);
      if (room !== undefined) socket.join(template.startsWith("user:") ? room : named(room));
    }
    for (const { event, args } of on_connect.emit ?? []) socket.emit(event, ...args.map((arg) => fill(arg, scope)));
    socket.onAny((event, ...args) => {
      const acknowledge = typeof args.at(-1) === "function" ? args.pop() : () => {};
      const rule = rules.get(event);
      if (!rule) return acknowledge({ ok: false, error: { code: "not_allowed", message: `event ${event} is not allowed` } });
      const room = rule.room && named(String(fill(rule.room, { ...scope, args })));
      if (rule.action === "join") socket.join(room), acknowledge({ ok: true });
      if (rule.action === "leave") socket.leave(room), acknowledge({ ok: true });
      if (rule.action === "acknowledge") acknowledge(...(rule.with === "received" ? args : rule.with));
      if (rule.action === "relay") {
        if (rule.to === "sender") socket.emit(rule.as ?? event, ...args);
        else (rule.except_sender ? socket : io.of(name)).to(room).emit(rule.as ?? event, ...args);
        acknowledge({ ok: true });
      }
    });
  });
}

const keys = (target) => (target === "all" ? [] : [...(target.rooms ?? []).map(named), ...(target.users ?? []).map((u) => `user:${u}`), ...(target.sockets ?? [])]);
const revive = (value) => {
  if (Array.isArray(value)) return value.map(revive);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.$binary === "string") return Buffer.from(value.$binary, "base64");
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, revive(v)]));
};
const problem = (status, code) => ({ status, body: { error: { code, message: code } } });
const seen = new Map();
let id = 0;

async function publish({ namespace = "/", target, except, event, args = [], volatile, ack }, key) {
  if (!namespaces.some((n) => n.name === namespace)) return problem(404, "unknown_namespace");
  if (typeof event !== "string" || target === undefined || !Array.isArray(args)) return problem(400, "invalid_request");
  if (target !== "all" && (keys(target).length === 0 || keys(target).length > 100)) return problem(400, "invalid_request");
  const text = JSON.stringify([namespace, target, except, event, args]);
  if (key && seen.has(key)) return seen.get(key).text === text ? { status: 200, body: { ...seen.get(key).body, duplicate: true } } : problem(409, "idempotency_conflict");
  const sockets = await io.of(namespace).in(keys(target)).except(keys(except ?? {})).fetchSockets();
  const to = io.of(namespace).to(keys(target)).except(keys(except ?? {}));
  if (ack) {
    const acks = [];
    const all = sockets.map(async ({ id: socket }) => {
      const [args_] = await io.of(namespace).to(socket).timeout(ack.timeout_ms).emitWithAck(event, ...args.map(revive)).catch(() => []);
      if (args_ !== undefined) acks.push({ socket, args: [args_] });
    });
    await Promise.all(all);
    return { status: 200, body: { logged: false, expected: sockets.length, acks, complete: acks.length === sockets.length } };
  }
  (volatile ? to.volatile : to).emit(event, ...args.map(revive));
  if (volatile) return { status: 200, body: { logged: false } };
  const body = { id: `r${++id}`, logged: true, duplicate: false };
  if (key) seen.set(key, { text, body });
  return { status: 200, body };
}

const select = (namespace, target) => (target === "all" ? io.of(namespace) : io.of(namespace).in(keys(target)));
const plain = (room) => room.replace(/^room:/, "");

const routes = {
  "POST /v1/publish": (body, request) => publish(body, request.headers["idempotency-key"]),
  "POST /v1/publish/batch": async ({ items }) => {
    const results = [];
    for (const item of items) {
      const { status, body } = await publish(item, item.idempotency_key);
      results.push({ status, ...body });
    }
    return { status: 200, body: { results } };
  },
  "POST /v1/join": ({ namespace = "/", target, rooms }) => change(namespace, target, (s) => s.join(rooms.map(named))),
  "POST /v1/leave": ({ namespace = "/", target, rooms }) => change(namespace, target, (s) => rooms.forEach((room) => s.leave(named(room)))),
  "POST /v1/disconnect": ({ namespace = "/", target, close = false }) => change(namespace, target, (s) => s.disconnect(close)),
  "GET /v1/sockets": async (query) => ({ status: 200, body: { sockets: await list(query), partial: false } }),
  "GET /v1/count": async (query) => ({ status: 200, body: { count: (await list(query)).length, partial: false } }),
};

async function change(namespace, target, act) {
  const sockets = await select(namespace, target).fetchSockets();
  sockets.forEach(act);
  return { status: 200, body: { sockets: sockets.length } };
}

async function list({ namespace = "/", room, user }) {
  const target = room ? { rooms: [room] } : user ? { users: [user] } : "all";
  const sockets = await select(namespace, target).fetchSockets();
  return sockets.map((s) => ({
    id: s.id,
    rooms: [...s.rooms].filter((r) => r.startsWith("room:")).map(plain),
    user: [...s.rooms].find((r) => r.startsWith("user:"))?.slice(5) ?? null,
  }));
}

const internal = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const url = new URL(request.url, "http://x");
  const route = routes[`${request.method} ${url.pathname}`];
  const input = request.method === "GET" ? Object.fromEntries(url.searchParams) : JSON.parse(Buffer.concat(chunks));
  const { status, body } = route ? await route(input, request) : problem(404, "not_found");
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
});

const listening = (server) => new Promise((done) => server.listen(0, "127.0.0.1", () => done(`127.0.0.1:${server.address().port}`)));
console.log(JSON.stringify({ message: "ready", public: await listening(http), internal: await listening(internal) }));
process.on("SIGTERM", () => process.exit(0));
