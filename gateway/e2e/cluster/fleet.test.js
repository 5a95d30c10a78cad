// What the nodes share: a budget of handshakes, at whose pace clients come back, and the connections themselves.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { closeClients } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { assertAllRecovered, startLoad } from "../harness/load.js";
import { Pace, sum } from "../harness/pace.js";
import { openNamespace } from "../harness/rules.js";
import { eventually } from "../harness/wait.js";

const namespaces = [openNamespace("/", true)];
const total = async (cluster, name, label) => sum(await Promise.all(cluster.alive.map((node) => node.metric(name, label))));

describe("a budget of 40 handshakes in a second", () => {
  const BUDGET = 40;
  const CLIENTS = 150;
  let cluster;
  before(async () => (cluster = await startCluster({ namespaces, cluster: { handshakes_per_second: BUDGET }, limits: { max_connections: 2000 }, drain: { ready_delay: "1500ms", spread: "500ms", deadline: "20s" } })));
  after(() => cluster?.stop());
  afterEach(closeClients);

  it(`holds for all nodes together, while ${CLIENTS} clients come, one node is killed and another drains`, { timeout: 120_000 }, async () => {
    const pace = new Pace(cluster);
    const load = await startLoad(cluster, { clients: CLIENTS, polling: 10 });
    await load.more(20);
    const refused = [await total(cluster, "carillon_handshakes_refused_total", 'reason="over_budget"')];
    await cluster.nodes[0].kill();
    await load.more(20);
    await load.back();
    await cluster.start(0);
    await cluster.balanced(3);
    await cluster.nodes[1].stop();
    await load.back();
    refused.push(await total(cluster, "carillon_handshakes_refused_total", 'reason="over_budget"'));
    const counts = await load.finish("a budget of handshakes");
    const beyond = await pace.stop(BUDGET);
    console.log(`at most ${beyond.toFixed(1)} handshakes beyond ${BUDGET} in a second, in ${pace.looks.length} looks; ${refused} refused`);
    assert.ok(beyond <= BUDGET + 1, `${beyond} are more than a second's worth`);
    assert.ok(pace.handshakes >= CLIENTS, "they were seen to come");
    assert.ok(refused[0] > 0, "more came than were let in");
    assertAllRecovered(load, counts);
  });

  it("without Redis is each node's part", { timeout: 60_000 }, async () => {
    const [node] = cluster.alive;
    await eventually(async () => (await node.metric("carillon_cluster_nodes")) === 2, "the node that drained to be gone");
    await cluster.redis.stop();
    const open = async () => (await fetch(`${node.url}/socket.io/?EIO=4&transport=polling`)).status;
    const statuses = await Promise.all(Array.from({ length: 100 }, open));
    const accepted = statuses.filter((status) => status === 200).length;
    console.log(`${accepted} of ${statuses.length} let in by one of two nodes`);
    assert.deepEqual([...new Set(statuses)].sort(), [200, 503]);
    assert.ok(accepted >= BUDGET / 2 && accepted < 100, `${accepted}`);
  });
});

describe("after a scale-out", () => {
  const CLIENTS = 240;
  let cluster;
  before(async () => (cluster = await startCluster({ namespaces, cluster: { rebalance_per_second: 20 } })));
  after(() => cluster?.stop());
  afterEach(closeClients);

  it(`the new node gets its part of ${CLIENTS} connections, and nobody loses anything`, { timeout: 120_000 }, async () => {
    await cluster.nodes[2].stop();
    await cluster.balanced(2);
    const load = await startLoad(cluster, { clients: CLIENTS });
    await cluster.start(2);
    await cluster.balanced(3);
    const connections = () => Promise.all(cluster.nodes.map((node) => node.metric("carillon_connections", 'transport="websocket"')));
    const moved = () => total(cluster, "carillon_closes_total", 'reason="rebalanced"');
    assert.equal(await moved(), 0);
    // the mean is 80, and 20 more are left alone
    await eventually(async () => (await connections()).every((count) => count <= 100) && load.away === 0, async () => `the connections to be even: ${await connections()}`, 60_000);
    const even = await connections();
    await load.more(50);
    const closed = await moved();
    await eventually(async () => (await cluster.nodes[0].metric("carillon_cluster_connections")) === CLIENTS, "a node to know them all");
    const counts = await load.finish(`rebalancing to ${even}, ${closed} moved`);
    assert.ok(closed > 0 && closed <= CLIENTS, `${closed} were moved`);
    assert.equal(counts.disconnects, closed, "then it is left as it is");
    assertAllRecovered(load, counts);
  });
});
