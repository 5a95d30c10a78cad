// Real socket.io-client 4.8 clients that remember what they received.

import { createRequire } from "node:module";
import { io } from "socket.io-client";
import { eventually, next, Recorder, within } from "./wait.js";
import { reference } from "./gateway.js";

export const msgpack = createRequire(import.meta.url)("socket.io-msgpack-parser");

/** Every suite runs over each of these: the options of the client that make it so. */
export const transports = {
  websocket: { transports: ["websocket"] },
  polling: { transports: ["polling"] },
  upgrade: { transports: ["polling", "websocket"] },
};

const open = new Set();
let people = 0;

/** Closes what the tests of this file opened. */
export function closeClients() {
  for (const client of open) client.close();
  open.clear();
}

export class Client {
  constructor(url, { namespace = "/", user = `person-${++people}`, auth = {}, recovery = false, ...options } = {}) {
    this.user = user;
    this.recovery = recovery;
    this.connects = new Recorder();
    this.events = new Recorder();
    this.socket = io(url + namespace, {
      forceNew: true,
      transports: ["websocket"],
      reconnectionDelay: 20,
      reconnectionDelayMax: 200,
      randomizationFactor: 0.5,
      auth: { user, ...auth },
      ...options,
    });
    open.add(this);
    this.socket.on("connect", () => this.connects.push({ id: this.socket.id, recovered: this.socket.recovered }));
    // With recovery on, the stock client hands the offset to the application as one more argument. An event that asks for an
    // acknowledgement has none; its last argument is the function.
    this.socket.onAny((event, ...args) => {
      const acknowledge = typeof args.at(-1) === "function" ? args.pop() : undefined;
      const offset = recovery && !acknowledge ? args.pop() : undefined;
      this.events.push({ event, args, offset, acknowledge });
    });
  }

  get id() {
    return this.socket.id;
  }

  get engine() {
    return this.socket.io.engine;
  }

  /** What came, as [event, ...args]. */
  get received() {
    return this.events.entries.map(({ event, args }) => [event, ...args]);
  }

  /** The first arguments of every event of that name, in order. */
  all(name) {
    return this.events.entries.filter(({ event }) => event === name).map(({ args }) => args[0]);
  }

  async connected() {
    return this.connects.take("the client to connect");
  }

  /** How the attempt to connect ends: "connected", the code of CONNECT_ERROR, or "closed" where it ended without a word. */
  attempt() {
    const { socket } = this;
    const ended = new Promise((done) => {
      socket.once("connect", () => done("connected"));
      socket.once("connect_error", (error) => done(error.data?.code ?? error.message));
      // a client that is refused closes by itself
      socket.io.once("close", (reason) => reason !== "forced close" && done("closed"));
    });
    return within(ended, "the attempt to connect to end");
  }

  /** The same for another attempt, after `cut()`. */
  retry() {
    const ended = this.attempt();
    this.socket.connect();
    return ended;
  }

  event(name) {
    return this.events.find(({ event }) => event === name, `the event "${name}"`);
  }

  emit(event, ...args) {
    return this.socket.timeout(15_000).emitWithAck(event, ...args);
  }

  /** Ends the connection underneath and stays away until `back()`. The session should survive that. */
  async cut() {
    this.socket.io.reconnection(false);
    const left = next(this.socket, "disconnect");
    this.engine.close();
    return (await left)[0];
  }

  back() {
    this.socket.io.reconnection(true);
    this.socket.connect();
    return this.connected();
  }

  close() {
    this.socket.io.reconnection(false);
    this.socket.disconnect();
    this.socket.io.engine?.close();
  }
}

export async function connect(gateway, options) {
  const client = new Client(gateway.url, { path: gateway.path, ...options });
  await client.connected();
  if (options?.transports?.length === 2 && client.engine.transport.name !== "websocket") await next(client.engine, "upgrade");
  return client;
}

/**
 * Publishes to this socket and waits until it has it. All that was published before has then been received, or never will be:
 * messages to one socket have one order.
 */
let fences = 0;
export async function fence(gateway, client, namespace = "/") {
  const number = ++fences;
  await gateway.publish("fence", [number], { namespace, target: { sockets: [client.id] } });
  await client.events.find(({ event, args }) => event === "fence" && args[0] === number, `fence ${number}`);
}

/** The reference recovers only a client whose loss it noticed; the gateway must not need this. */
export async function noticed(gateway, client, namespace = "/") {
  if (!reference) return;
  await eventually(async () => (await gateway.count(`namespace=${encodeURIComponent(namespace)}&user=${client.user}`)) === 0, "the server to notice");
}
