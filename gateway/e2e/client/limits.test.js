// Admission and bounds as a stock client meets them: it is refused clearly, and comes back when there is room.

import assert from "node:assert/strict";
import { afterEach, it } from "node:test";
import { Client, closeClients, connect, fence, transports } from "../harness/client.js";
import { beyondReference, startGateway } from "../harness/gateway.js";
import { closeProxies, startProxy } from "../harness/proxy.js";
import { openNamespace } from "../harness/rules.js";
import { Wire } from "../harness/wire.js";
import { eventually, next } from "../harness/wait.js";

afterEach(() => {
  closeClients();
  closeProxies();
});

const namespaces = [openNamespace("/", true)];
const noLimits = { skip: beyondReference("it has no such limits") };

for (const [transport, options] of Object.entries(transports)) {
  it(`max_connections: one too many is refused, and gets in when another leaves, over ${transport}`, noLimits, async () => {
    const gateway = await startGateway({ namespaces, limits: { max_connections: 2 } });
    const first = await connect(gateway, { recovery: true, ...options });
    const second = await connect(gateway, { recovery: true, ...options });
    const third = new Client(gateway.url, { recovery: true, ...options });
    await next(third.socket.io, "error", "the third to be refused");
    assert.equal(third.socket.connected, false);
    const response = await new Wire(gateway).request({ EIO: "4", transport: "polling" });
    assert.ok(response.status === 429 || response.status === 503, `status ${response.status}`);
    first.close();
    assert.equal((await third.connected()).recovered, false);
    await fence(gateway, second);
    await gateway.stop();
  });
}

it("handshakes_per_second: a rush is partly refused, and all get in at last", noLimits, async () => {
  const gateway = await startGateway({ namespaces, limits: { handshakes_per_second: 5 } });
  const wire = new Wire(gateway);
  const statuses = await Promise.all(Array.from({ length: 30 }, async () => (await wire.request({ EIO: "4", transport: "polling" })).status));
  const refused = statuses.filter((status) => status !== 200);
  assert.ok(refused.length > 0 && refused.length < 30, `${refused.length} of 30 refused`);
  assert.ok(refused.every((status) => status === 429 || status === 503), statuses.join());
  const clients = Array.from({ length: 12 }, () => new Client(gateway.url, { recovery: true }));
  await Promise.all(clients.map((client) => client.connected()));
  await gateway.stop();
});

it("max_rooms: a join too many is refused in its acknowledgement", noLimits, async () => {
  const gateway = await startGateway({ namespaces: [openNamespace("/", true, { on_connect: {} })], limits: { max_rooms: 3 } });
  const client = await connect(gateway, { recovery: true });
  const answers = [];
  for (let i = 0; i < 6; i++) answers.push(await client.emit("join", `r${i}`));
  const allowed = answers.filter(({ ok }) => ok).length;
  assert.ok(allowed === 2 || allowed === 3, `${allowed} joins: three rooms, with or without the socket's own`);
  assert.deepEqual(answers.map(({ ok }) => ok), answers.map((_, i) => i < allowed));
  assert.equal(typeof answers.at(-1).error.code, "string");
  assert.equal((await client.emit("join", "r0")).ok, true, "a room it is in already is no further one");
  assert.equal((await client.emit("leave", "r0")).ok, true);
  assert.equal((await client.emit("join", "another")).ok, true, "there is room again");
  for (const name of ["r0", "r5"]) await gateway.room(name, "n", name);
  await gateway.room("another", "n", "another");
  await fence(gateway, client);
  assert.deepEqual(client.all("n"), ["another"]);
  await gateway.stop();
});

for (const [transport, options] of Object.entries({ websocket: transports.websocket, polling: transports.polling })) {
  it(`max_payload: a message too large ends the connection, and the client is back and recovered, over ${transport}`, async () => {
    const gateway = await startGateway({ namespaces, engine: { max_payload: 10_000 } });
    const client = await connect(gateway, { recovery: true, ...options });
    await fence(gateway, client);
    const { id } = client;
    assert.equal(client.engine.maxPayload ?? 10_000, 10_000);
    const left = next(client.socket, "disconnect");
    client.socket.emit("message", "x".repeat(20_000));
    await left;
    const { recovered, id: now } = await client.connected();
    if (!noLimits.skip) assert.deepEqual([recovered, now], [true, id]); // the reference may not have noticed yet
    client.socket.emit("message", "small");
    await client.event("message-back");
    assert.deepEqual(client.all("message-back"), ["small"]);
    await gateway.stop();
  });

  it(`a slow consumer is closed, harms nobody, and recovers all, over ${transport}`, { ...noLimits, timeout: 60_000 }, async () => {
    const limits = { outbound_queue: "128KiB" };
    const gateway = await startGateway({ namespaces, limits, recovery: { replay_max_bytes: "128MiB" } });
    const proxy = await startProxy(gateway.port);
    const slow = new Client(proxy.url, { user: "slow", recovery: true, ...options });
    const { id } = await slow.connected();
    const quick = await connect(gateway, { recovery: true });
    await Promise.all([fence(gateway, slow), fence(gateway, quick)]);
    proxy.stall();
    const text = "x".repeat(50_000);
    let sent = 0;
    const present = async () => (await gateway.ok("GET", "/v1/sockets?namespace=/")).sockets.some((socket) => socket.id === id);
    while (sent < 600) {
      await gateway.room("news", "n", ++sent, text);
      await quick.events.find(({ event, args }) => event === "n" && args[0] === sent, `message ${sent} at the quick client`);
      if (sent % 10 === 0 && !(await present())) break;
    }
    await eventually(async () => !(await present()), "the slow client to be closed");
    const left = next(slow.socket, "disconnect");
    proxy.resume();
    proxy.cut();
    await left;
    const { recovered, id: now } = await slow.connected();
    assert.deepEqual([recovered, now], [true, id]);
    await fence(gateway, slow);
    const all = Array.from({ length: sent }, (_, i) => i + 1);
    assert.deepEqual(slow.all("n"), all);
    assert.deepEqual(quick.all("n"), all);
    console.log(`slow consumer over ${transport}: closed after ${sent} messages of 50 kB, recovered ${slow.all("n").length}`);
    await gateway.stop();
  });
}
