// Nodes come and go under load: one is killed, then all are restarted one after the other. Every client must recover elsewhere and
// end with exactly the messages of its rooms, once each, in order.

import assert from "node:assert/strict";
import { after, afterEach, before, it } from "node:test";
import { closeClients } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { assertAllRecovered, startLoad } from "../harness/load.js";
import { openNamespace } from "../harness/rules.js";

const KILL_CLIENTS = Number(process.env.CARILLON_E2E_KILL_CLIENTS ?? 300);
const ROLLING_CLIENTS = Number(process.env.CARILLON_E2E_ROLLING_CLIENTS ?? 500);
const POLLING = 20;

let cluster;
before(async () => (cluster = await startCluster({ namespaces: [openNamespace("/", true)], drain: { ready_delay: "1500ms", spread: "1s", deadline: "20s" } })));
after(() => cluster?.stop());
afterEach(closeClients);

const onNode = (load, index) => Promise.all(load.clients.map(({ engine }) => cluster.ownerOf(engine.id))).then((owners) => owners.filter((owner) => owner === index).length);

it(`a node is killed under load with ${KILL_CLIENTS} clients, and another`, { timeout: 120_000 }, async () => {
  const load = await startLoad(cluster, { clients: KILL_CLIENTS, polling: POLLING });
  let held = 0;
  for (const index of [0, 1]) {
    await load.more(100);
    held += await onNode(load, index);
    await cluster.nodes[index].kill();
    await load.more(100);
    await load.back();
    await cluster.start(index);
    await cluster.balanced(3);
  }
  await load.more(50);
  const counts = await load.finish(`node killed, twice (they held ${held} clients)`);
  assert.ok(held > KILL_CLIENTS / 4 && counts.disconnects >= held - POLLING, "they held clients, which noticed");
  assertAllRecovered(load, counts);
});

it(`a rolling restart of all nodes under load with ${ROLLING_CLIENTS} clients`, { timeout: 180_000 }, async () => {
  const load = await startLoad(cluster, { clients: ROLLING_CLIENTS, polling: POLLING, pace: 60 });
  for (const [index, node] of cluster.nodes.entries()) {
    await load.more(50);
    await node.stop();
    await load.back();
    await cluster.start(index);
    await cluster.balanced(3);
  }
  await load.more(50);
  const counts = await load.finish("rolling restart");
  assert.ok(counts.disconnects >= ROLLING_CLIENTS - POLLING, "every client had to move");
  assertAllRecovered(load, counts);
});
