// Stock clients of every major version, as Node runs them and as browsers do, with one face.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { startBrowser } from "./browser.js";
import { eventually, Recorder, within } from "./wait.js";

const require = createRequire(import.meta.url);

/** The npm packages: where their browser build is, and what they say in `EIO`. */
export const versions = {
  "1.0.6": { eio: "eio3", browserEio: "eio2", script: "socket.io.js" },
  "1.4.8": { eio: "eio3", script: "socket.io.js" },
  "1.7.4": { eio: "eio3", script: "dist/socket.io.js" },
  "2.0.4": { eio: "eio3", script: "dist/socket.io.js" },
  "2.5.0": { eio: "eio3", script: "dist/socket.io.js" },
  "3.1.3": { eio: "eio4", script: "dist/socket.io.js" },
  "4.8.4": { eio: "eio4", script: "dist/socket.io.js" },
};
const packageOf = (version) => (version === "4.8.4" ? "socket.io-client" : `sio-${version}`);

/** The options that make a client use a transport. */
export const ways = {
  polling: { transports: ["polling"] },
  websocket: { transports: ["websocket"] },
  upgrade: { transports: ["polling", "websocket"] },
};

/** And by script elements, which no browser needs any more. */
const options = { ...ways, JSONP: { transports: ["polling"], forceJSONP: true } };

/** Bytes as they are compared; clients get them as what their platform has. */
export const bytes = (...values) => ({ bytes: values });

const toWire = (value, version) => {
  if (!value?.bytes) return value;
  const buffer = Buffer.from(value.bytes);
  // the buffers of Node 0.10, for which it was written: it would send the memory that this one is a part of
  if (version === "1.0.6") Object.defineProperty(buffer, "buffer", { value: undefined });
  return buffer;
};
const fromWire = (value) => {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return { bytes: [...Buffer.from(value)] };
  if (value === null || typeof value !== "object") return value;
  return Array.isArray(value) ? value.map(fromWire) : Object.fromEntries(Object.entries(value).map(([key, part]) => [key, fromWire(part)]));
};

const open = new Set();
/** Closes what the tests of this file opened. */
export async function closeOld() {
  await Promise.all([...open].map((client) => client.close()));
  open.clear();
}

/** What both kinds remember: `events` are [name, ...args], `happened` are "connect", "error", "disconnect" with what came along. */
class Remembering {
  events = new Recorder();
  happened = new Recorder();

  constructor(version, label) {
    Object.assign(this, { version, label });
    open.add(this);
  }

  /** Stock clients hand the offset of a namespace with recovery to the application; old ones must not get any. */
  onEvent(name, args) {
    const offset = versions[this.version].eio === "eio4" && /^1[0-9a-f]{8}-/.test(args.at(-1));
    this.events.push([name, ...(offset ? args.slice(0, -1) : args)]);
  }

  async connected() {
    const [what, detail] = await this.happened.find(([what]) => what === "connect" || what === "error", `${this.label} to connect`);
    assert.equal(what, "connect", `${this.label}: ${JSON.stringify(detail)}`);
  }

  saw(what) {
    return this.happened.find(([name]) => name === what, `${this.label} to see "${what}"`);
  }

  event(name, test = () => true) {
    return this.events.find(([found, ...args]) => found === name && test(...args), `${this.label} to get "${name}"`);
  }

  all(name) {
    return this.events.entries.filter(([found]) => found === name).map(([, ...args]) => args);
  }
}

/** Events that the tests know; clients of 1.x cannot listen to all. */
const names = ["said", "told", "news", "question", "bytes", "fence", "message-back"];

class NodeClient extends Remembering {
  constructor(version, label, socket) {
    super(version, label);
    this.socket = socket;
    for (const what of ["connect", "error", "connect_error", "disconnect"]) {
      socket.on(what, (detail) => this.happened.push([what === "connect_error" ? "error" : what, String(detail?.message ?? detail)]));
    }
    for (const name of names) {
      socket.on(name, (...args) => {
        const acknowledge = typeof args.at(-1) === "function" ? args.pop() : undefined;
        this.onEvent(name, args.map(fromWire));
        acknowledge?.(label, ...args);
      });
    }
  }

  static open(version, label, url, options) {
    const library = require(packageOf(version));
    return new NodeClient(version, label, library(url, { forceNew: true, reconnection: false, ...options }));
  }

  /** Another namespace of the same connection. */
  enter(namespace, query) {
    return new NodeClient(this.version, `${this.label} in ${namespace}`, this.socket.io.socket(namespace, query && { query }));
  }

  emit(event, ...args) {
    const acked = new Promise((done) => this.socket.emit(event, ...args.map((arg) => toWire(arg, this.version)), (...answer) => done(answer.map(fromWire))));
    return within(acked, `the acknowledgement of "${event}" to ${this.label}`);
  }

  get transport() {
    return this.socket.io.engine.transport.name;
  }

  get id() {
    return this.socket.id ?? this.socket.io.engine.id;
  }

  disconnect() {
    this.socket.disconnect();
  }

  close() {
    this.socket.disconnect();
    this.socket.io.engine?.close();
  }
}

class BrowserClient extends Remembering {
  static async open(tabs, version, label, url, options) {
    const client = new BrowserClient(version, label);
    client.tab = await tabs.newPage(version);
    await client.tab.exposeFunction("tell", (kind, name, detail) => (kind === "event" ? client.onEvent(name, detail) : client.happened.push([name, detail])));
    await client.tab.evaluate(
      ([address, options, names, label]) => {
        window.plain = (value) => {
          if (value instanceof ArrayBuffer) return { bytes: [...new Uint8Array(value)] };
          if (value === null || typeof value !== "object") return value;
          return Array.isArray(value) ? value.map(plain) : Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
        };
        window.wire = (value) => (value?.bytes ? new Uint8Array(value.bytes).buffer : value);
        window.socket = io(address, { forceNew: true, reconnection: false, ...options });
        for (const what of ["connect", "error", "connect_error", "disconnect"]) {
          socket.on(what, (detail) => tell("happened", what === "connect_error" ? "error" : what, String(detail?.message ?? detail)));
        }
        for (const name of names) {
          socket.on(name, (...args) => {
            const acknowledge = typeof args.at(-1) === "function" ? args.pop() : undefined;
            tell("event", name, args.map(plain));
            acknowledge?.(label, ...args);
          });
        }
      },
      [url, options, names, label],
    );
    return client;
  }

  emit(event, ...args) {
    const acked = this.tab.evaluate(
      ([event, args]) => new Promise((done) => socket.emit(event, ...args.map(wire), (...answer) => done(answer.map(plain)))),
      [event, args],
    );
    return within(acked, `the acknowledgement of "${event}" to ${this.label}`);
  }

  async look() {
    [this.transport, this.id] = await this.tab.evaluate(() => [socket.io.engine.transport.name, socket.id ?? socket.io.engine.id]);
  }

  disconnect() {
    return this.tab.evaluate(() => socket.disconnect());
  }

  async close() {
    await this.tab.close();
  }
}

/** Chromium, with a page for each client that has the script of its version. */
export async function openTabs(page) {
  const browser = await startBrowser();
  const context = await browser.newContext();
  return {
    context,
    errors: [],
    async newPage(version) {
      const tab = await context.newPage();
      tab.on("pageerror", (error) => this.errors.push(`${version}: ${error}`));
      await tab.goto(page.url);
      const file = fileURLToPath(new URL(`../node_modules/${packageOf(version)}/${versions[version].script}`, import.meta.url));
      await tab.addScriptTag({ path: file });
      return tab;
    },
    close: () => browser.close(),
  };
}

const named = (version, way, where) => `${version} ${where} ${way}`;

/** A client as Node runs it, connected and where it asked for, upgraded. */
export async function nodeClient(gateway, version, way, more = {}) {
  const client = NodeClient.open(version, named(version, way, "node"), gateway.url, { ...options[way], ...more });
  await client.connected();
  if (way === "upgrade") await eventually(() => client.transport === "websocket", `${client.label} to be upgraded`);
  return client;
}

/** A client as browsers run it. */
export async function browserClient(tabs, gateway, version, way, more = {}) {
  const label = named(version, way, "browser");
  const client = await BrowserClient.open(tabs, version, label, gateway.url, { ...options[way], ...more });
  await client.connected();
  const there = async () => {
    await client.look();
    return way !== "upgrade" || client.transport === "websocket";
  };
  await eventually(there, `${label} to be upgraded`);
  return client;
}
