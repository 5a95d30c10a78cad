// Starts one gateway process (or, with CARILLON_E2E_REFERENCE=1, the reference server in its place) and talks to its HTTP API.
//
// The process gets a temporary TOML file with port 0 on both listeners; start() resolves when its `ready` log line names the
// ports. Every process is ended at the latest when this Node process exits. stop() fails when the gateway panicked or did not
// exit with 0 on SIGTERM.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { secureFetch } from "./https.js";
import { within } from "./wait.js";

const here = fileURLToPath(new URL(".", import.meta.url));
const repository = resolve(here, "../../..");

export const reference = process.env.CARILLON_E2E_REFERENCE === "1";
export const clientDist = resolve(here, "../node_modules/socket.io-client/dist");
export const binary = resolve(repository, process.env.CARILLON_BIN ?? "target/debug/carillon");

/** Skip reason for a test that the reference server cannot pass because the gateway is meant to do better. */
export const beyondReference = (why) => (reference ? `the reference server differs: ${why}` : false);

// The suite's own variables are no settings of the gateway, which would refuse them as unknown keys.
export const foreign = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("CARILLON_")));

const running = new Set();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
// A test that failed has perhaps not stopped its gateway, which would keep this process waiting.
after(() => {
  setTimeout(() => {
    for (const child of running) if (!child.stopping) child.kill("SIGKILL");
  }, 5000).unref();
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

/** Arrays and tables as inline TOML; a JSON string is a valid TOML basic string. */
export function toToml(value) {
  const inline = (v) => {
    if (Array.isArray(v)) return `[${v.map(inline).join(", ")}]`;
    if (typeof v === "object") return `{ ${Object.entries(v).map(([k, x]) => `${JSON.stringify(k)} = ${inline(x)}`).join(", ")} }`;
    return JSON.stringify(v);
  };
  return Object.entries(value).map(([k, v]) => `${k} = ${inline(v)}\n`).join("");
}

function merge(base, over) {
  const out = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const table = value !== null && typeof value === "object" && !Array.isArray(value);
    out[key] = table && out[key] ? merge(out[key], value) : value;
  }
  return out;
}

export const defaults = {
  public: { listen: "127.0.0.1:0" },
  internal: { listen: "127.0.0.1:0" },
  drain: { spread: "50ms", deadline: "5s" },
  log: { level: "info", format: "json" },
};

let temporaryRoot;
/** A temporary folder that is removed at exit. */
export function temporaryFolder() {
  if (!temporaryRoot) {
    temporaryRoot = mkdtempSync(join(tmpdir(), "carillon-e2e-"));
    process.on("exit", () => rmSync(temporaryRoot, { recursive: true, force: true }));
  }
  return mkdtempSync(join(temporaryRoot, "run-"));
}

/** Spawns `carillon <args>` with a config file; the caller looks at `exited` and `output`. */
export function spawnCarillon(args, { config, text, env = {}, cwd } = {}) {
  const file = join(temporaryFolder(), "carillon.toml");
  const { referenceParser, ...own } = config ?? {}; // the gateway tells parsers apart itself
  writeFileSync(file, text ?? toToml(own));
  if (!reference) assert.ok(existsSync(binary), `no gateway binary at ${binary}; build it or set CARILLON_BIN`);
  const command = reference ? process.execPath : binary;
  const full = reference ? [join(here, "../reference.js")] : args.map((a) => (a === "FILE" ? file : a));
  const child = spawn(command, full, {
    env: { ...foreign, ...env, ...(reference ? { CARILLON_E2E_CONFIG: JSON.stringify(config ?? {}) } : {}) },
    cwd,
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  const output = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      output.push(line);
      child.emit("line", line);
    });
  }
  const exited = new Promise((done) => {
    child.once("error", (error) => done({ error }));
    child.once("close", (code, signal) => {
      running.delete(child);
      done({ code, signal });
    });
  });
  return { child, output, exited };
}

/** Runs a command to its end and returns exit code and joined output. */
export async function runCarillon(args, options) {
  const { output, exited } = spawnCarillon(args, options);
  const { code } = await within(exited, `carillon ${args.join(" ")} to end`);
  return { code, output: output.join("\n") };
}

/** Settings as the environment gives them, which has them before those of a file. Not for lists of tables. */
export function toEnvironment(config, prefix = "CARILLON_") {
  return Object.entries(config).reduce((env, [key, value]) => {
    const name = prefix + key.toUpperCase();
    const table = value !== null && typeof value === "object" && !Array.isArray(value);
    const text = Array.isArray(value) ? JSON.stringify(value) : String(value);
    return { ...env, ...(table ? toEnvironment(value, `${name}__`) : { [name]: text }) };
  }, {});
}

/**
 * Starts the process; the promise `ready` is of the gateway. For a gateway that has to wait for something first. With a `file`
 * that is its configuration, and `config` what is different from it.
 */
export function launchGateway(config = {}, { env, file } = {}) {
  const full = merge(defaults, config);
  const started = file
    ? spawnCarillon(["serve", "--config", file], { env: { ...toEnvironment(full), ...env }, cwd: dirname(file) })
    : spawnCarillon(["serve", "--config", "FILE"], { config: full, env });
  const entry = new Promise((done, fail) => {
    started.child.on("line", (line) => {
      const text = line.match(/ ready public=(\S+) internal=(\S+)/);
      if (text) return done({ public: text[1], internal: text[2] });
      if (!line.includes('"ready"')) return;
      const entry = JSON.parse(line);
      if (entry.message === "ready") done(entry);
    });
    started.exited.then((how) => fail(new Error(`the gateway ended before it was ready: ${JSON.stringify(how)}\n${started.output.join("\n")}`)));
  });
  const ready = entry.then((entry) => new Gateway(full, started, entry));
  ready.catch(() => {});
  return { ...started, ready };
}

export async function startGateway(config, options) {
  return within(launchGateway(config, options).ready, "the gateway to be ready");
}

export class Gateway {
  constructor(config, { child, output, exited }, ready) {
    Object.assign(this, { config, child, output, exited });
    this.path = config.public.path ?? "/socket.io/";
    const loopback = (address) => address.replace("0.0.0.0", "127.0.0.1");
    this.port = Number(ready.public.split(":").pop());
    const secure = config.public.tls ? "s" : "";
    this.url = `http${secure}://${loopback(ready.public)}`;
    this.ws = `ws${secure}://${loopback(ready.public)}`;
    this.internal = `http${config.internal.tls ? "s" : ""}://${loopback(ready.internal)}`;
    this.headers = {};
  }

  /** A raw request to the internal API: { status, headers, body }. Where it speaks TLS, `tls` has what this side needs. */
  async call(method, path, body, headers = {}) {
    const ask = this.config.internal.tls ? (url, init) => secureFetch(url, init, this.tls) : fetch;
    const response = await ask(this.internal + path, {
      method,
      headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...this.headers, ...headers },
      body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
    });
    const text = await response.text();
    const json = response.headers.get("content-type")?.includes("json");
    return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : text };
  }

  /** The same, where anything but 200 is a failure of the test. */
  async ok(method, path, body, headers) {
    const answer = await this.call(method, path, body, headers);
    assert.equal(answer.status, 200, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** publish("news", [1, 2]) to all of "/", or with { target, namespace, except, volatile, ack }. */
  publish(event, args = [], options = {}, headers = {}) {
    return this.ok("POST", "/v1/publish", { target: "all", event, args, ...options }, headers);
  }

  room(room, event, ...args) {
    return this.publish(event, args, { target: { rooms: [room] } });
  }

  async count(query = "") {
    return (await this.ok("GET", `/v1/count?${query}`)).count;
  }

  /** The sum of a metric over its labels, of those series that hold this text. */
  async metric(name, label = "") {
    const series = [...(await this.ok("GET", "/metrics")).matchAll(new RegExp(`^${name}({[^}]*})? (\\S+)$`, "gm"))];
    assert.ok(series.length > 0, `there is no metric ${name}`);
    return series.filter(([, labels = ""]) => labels.includes(label)).reduce((sum, [, , value]) => sum + Number(value), 0);
  }

  assertNoPanic() {
    const panics = this.output.filter((line) => /panicked at|stack overflow|RUST_BACKTRACE/.test(line));
    assert.deepEqual(panics, [], "the gateway panicked");
  }

  /** SIGTERM; the gateway must drain and exit with 0. */
  async stop() {
    if (this.stopped) return;
    this.stopped = true;
    this.child.stopping = true;
    this.child.kill("SIGTERM");
    const how = await within(this.exited, "the gateway to drain and exit", 30_000).catch((error) => {
      this.child.kill("SIGKILL");
      throw error;
    });
    this.assertNoPanic();
    assert.deepEqual(how, { code: 0, signal: null }, this.output.slice(-20).join("\n"));
  }

  async kill() {
    this.stopped = true;
    this.child.kill("SIGKILL");
    await within(this.exited, "the gateway to be killed");
  }
}
