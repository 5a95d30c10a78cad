// The bounds of recovery: time, entries, bytes. Passing one makes a session unrecoverable (recovered === false), never wrong.

import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { closeClients, connect, fence, noticed, transports } from "../harness/client.js";
import { beyondReference, startGateway } from "../harness/gateway.js";
import { openNamespace } from "../harness/rules.js";
import { elapse, next } from "../harness/wait.js";

afterEach(closeClients);

const namespaces = [openNamespace("/", true)];
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

async function publishNumbers(gateway, from, to, padding = "") {
  for (const n of numbers(from, to)) await gateway.room("news", "n", n, padding);
}

async function awayFor(gateway, options, act) {
  const client = await connect(gateway, { recovery: true, ...options });
  await publishNumbers(gateway, 1, 1);
  await fence(gateway, client);
  const { id } = client;
  await client.cut();
  await noticed(gateway, client);
  await act(client);
  const { recovered, id: now } = await client.back();
  assert.equal(recovered, now === id, "the id is kept exactly when the session is");
  await gateway.room("news", "n", "live");
  await fence(gateway, client);
  return { recovered, got: client.all("n"), client };
}

describe("the window", () => {
  for (const [transport, options] of Object.entries(transports)) {
    it(`an expired session is a new one, over ${transport}`, async () => {
      const engine = { ping_interval: "300ms", ping_timeout: "200ms" };
      const gateway = await startGateway({ namespaces, engine, recovery: { window: "200ms", refresh: "100ms" } });
      // The session lives for window + ping interval + ping timeout + refresh = 0.8 s after its last refresh.
      const { recovered, got } = await awayFor(gateway, options, async () => {
        await publishNumbers(gateway, 99, 99);
        await elapse(2500);
      });
      assert.equal(recovered, false);
      assert.deepEqual(got, [1, "live"], "nothing of the time between, and nothing twice");
      await gateway.stop();
    });
  }
});

describe("entries and bytes", () => {
  const table = [
    ["fewer entries than the room's bound", { max_entries_per_room: 10 }, 8, "", true],
    ["more entries than the room's bound", { max_entries_per_room: 10 }, 12, "", false],
    ["fewer messages than a replay may have", { replay_max_messages: 10 }, 9, "", true],
    ["more messages than a replay may have", { replay_max_messages: 10 }, 11, "", false],
    ["fewer bytes than a replay may have", { replay_max_bytes: "64KiB" }, 4, "x".repeat(4096), true],
    ["more bytes than a replay may have", { replay_max_bytes: "64KiB" }, 20, "x".repeat(4096), false],
    ["fewer bytes than all logs may have", { max_bytes: "256KiB" }, 8, "x".repeat(4096), true],
    ["more bytes than all logs may have", { max_bytes: "256KiB" }, 200, "x".repeat(4096), false],
  ];
  for (const [title, recovery, missed, padding, expected] of table) {
    it(`${title}: ${expected ? "recovered" : "a new session"}`, { skip: beyondReference("it has no such bounds") }, async () => {
      const gateway = await startGateway({ namespaces, recovery });
      const { recovered, got } = await awayFor(gateway, {}, () => publishNumbers(gateway, 2, missed + 1, padding));
      assert.equal(recovered, expected);
      assert.deepEqual(got, expected ? [...numbers(1, missed + 1), "live"] : [1, "live"]);
      await gateway.stop();
    });
  }

  it("a room's bound is its own: what other rooms do costs nothing", { skip: beyondReference("all rooms share its log") }, async () => {
    const gateway = await startGateway({ namespaces, recovery: { max_entries_per_room: 10 } });
    const { recovered, got } = await awayFor(gateway, {}, async () => {
      await publishNumbers(gateway, 2, 3);
      const items = numbers(1, 500).map((n) => ({ target: { rooms: ["busy"] }, event: "n", args: [n] }));
      await gateway.ok("POST", "/v1/publish/batch", { items });
    });
    assert.equal(recovered, true);
    assert.deepEqual(got, [1, 2, 3, "live"]);
    await gateway.stop();
  });

  it("an idle client recovers by its pongs although its room's log was trimmed beyond its offset", { skip: beyondReference("it trusts the client's offset alone") }, async () => {
    const engine = { ping_interval: "300ms", ping_timeout: "200ms" };
    const gateway = await startGateway({ namespaces, engine, recovery: { max_entries_per_room: 10 } });
    const client = await connect(gateway, { recovery: true });
    await publishNumbers(gateway, 1, 1);
    await client.event("n");
    const old = client.socket._lastOffset;
    await publishNumbers(gateway, 2, 40);
    await fence(gateway, client);
    for (let ping = 0; ping < 3; ping++) await next(client.socket.io, "ping");
    const { id } = client;
    await client.cut();
    client.socket._lastOffset = old; // as though all since had been acknowledged events, which carry none
    await publishNumbers(gateway, 41, 43);
    assert.deepEqual(await client.back(), { id, recovered: true });
    await fence(gateway, client);
    assert.deepEqual(client.all("n"), numbers(1, 43));
    await gateway.stop();
  });

  it("a namespace without recovery gives a new session each time, and hands out neither pid nor offset", async () => {
    const gateway = await startGateway({ namespaces: [openNamespace("/", false)] });
    const client = await connect(gateway);
    await gateway.publish("n", [1]);
    await fence(gateway, client);
    const { id } = client;
    await client.cut();
    await noticed(gateway, client);
    await gateway.publish("n", [99]);
    const { recovered, id: now } = await client.back();
    assert.ok(!recovered); // the stock client says undefined here
    assert.deepEqual([now === id, client.socket._pid], [false, undefined]);
    await gateway.publish("n", [2]);
    await fence(gateway, client);
    assert.deepEqual(client.received, [["n", 1], ["fence", client.all("fence")[0]], ["n", 2], ["fence", client.all("fence")[1]]]);
    await gateway.stop();
  });
});
