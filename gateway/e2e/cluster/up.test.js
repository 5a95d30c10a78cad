// `make cluster`: the script that people run.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { afterEach, it } from "node:test";
import { closeClients, connect } from "../harness/client.js";
import { binary } from "../harness/gateway.js";
import { freePort } from "../harness/ports.js";
import { Part } from "../harness/process.js";
import { eventually, within } from "../harness/wait.js";

const script = fileURLToPath(new URL("../../../deploy/cluster/up", import.meta.url));
let up;
afterEach(async () => {
  closeClients();
  // not by SIGKILL, which would leave its parts behind
  await up?.end();
});

async function settings() {
  const [port, internal, redis, admin] = [await freePort(4), await freePort(3), await freePort(), await freePort()];
  const env = { CARILLON_BIN: binary, CARILLON_DEMO: "true", CARILLON_DRAIN__SPREAD: "100ms", CLUSTER_PORT: port, CLUSTER_INTERNAL_PORT: internal, CLUSTER_REDIS_PORT: redis, CLUSTER_ADMIN_PORT: admin };
  const ports = [0, 1, 2, 3].map((n) => port + n).concat([0, 1, 2].map((n) => internal + n), redis, admin);
  return { env: Object.fromEntries(Object.entries(env).map(([name, value]) => [name, String(value)])), port, internal, redis, ports };
}

const listening = async (port) => await fetch(`http://127.0.0.1:${port}/`).then(() => true, (error) => error.cause?.code !== "ECONNREFUSED");
const closed = async (ports) => (await Promise.all(ports.map(listening))).every((open) => !open);
const line = (part, pattern) => eventually(() => part.output.find((text) => pattern.test(text)) ?? part.assertAlive(), () => `${pattern}; there was:\n${part.output.join("\n")}`, 30_000);

for (const signal of ["SIGINT", "SIGTERM"]) {
  it(`starts all, starts a killed node again, and stops all at ${signal}`, { timeout: 60_000 }, async () => {
    const { env, port, internal, ports } = await settings();
    up = new Part(script, [], { env });
    await line(up, /^cluster.*ready; Ctrl-C stops all/);
    const client = await connect({ url: `http://127.0.0.1:${port}`, path: "/socket.io/" }, { recovery: true, transports: ["polling", "websocket"] });
    const publish = async (node, event) => {
      const body = JSON.stringify({ target: "all", event, args: [] });
      const response = await fetch(`http://127.0.0.1:${internal + node}/v1/publish`, { method: "POST", headers: { "content-type": "application/json" }, body });
      assert.equal(response.status, 200);
    };
    for (const node of [0, 1, 2]) await publish(node, `by-${node}`);
    for (const node of [0, 1, 2]) await client.event(`by-${node}`);
    const [, victim] = (await line(up, /node2 is ready/)).match(/process (\d+)/);
    process.kill(Number(victim), "SIGKILL");
    await line(up, /^cluster.*node2 ended/);
    await eventually(async () => (await fetch(`http://127.0.0.1:${internal + 1}/readyz`).catch(() => undefined))?.status === 200, "node 2 to be ready again");
    await eventually(() => client.socket.connected, "the client to be back");
    await publish(1, "afterwards");
    await client.event("afterwards");
    assert.ok(client.connects.entries.slice(1).every(({ recovered }) => recovered), "recovered, if it was there");
    closeClients();
    up.signal(signal);
    const { code } = await within(up.exited, "the script to end", 30_000);
    assert.equal(code, 0);
    assert.ok(await closed(ports), "nothing listens any more");
  });
}

it("says which port is taken, and leaves nothing behind", async () => {
  const { env, redis, ports } = await settings();
  const server = (await import("node:net")).createServer().listen(redis, "127.0.0.1");
  try {
    up = new Part(script, [], { env });
    const { code } = await within(up.exited, "the script to end");
    assert.equal(code, 1);
    assert.match(up.output.join("\n"), new RegExp(`port ${redis} is taken`));
    assert.ok(await closed(ports.filter((port) => port !== redis)));
  } finally {
    server.close();
  }
});

it("stops all when a part cannot start", async () => {
  const { env, ports } = await settings();
  up = new Part(script, [], { env: { ...env, CARILLON_WORKERS: "many" } });
  const { code } = await within(up.exited, "the script to end", 30_000);
  assert.equal(code, 1);
  assert.match(up.output.join("\n"), /node1 .*CARILLON_WORKERS/);
  assert.ok(await closed(ports), "nothing listens any more");
});
