// Each node counts what is its own, and knows by itself how late it is.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { closeClients, connect, fence } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { openNamespace } from "../harness/rules.js";
import { eventually } from "../harness/wait.js";

let cluster;
before(async () => (cluster = await startCluster({ namespaces: [openNamespace("/", true)] })));
after(() => cluster?.stop());
afterEach(closeClients);

const each = (ask) => Promise.all(cluster.nodes.map(ask));
const read = (name, label) => each((node) => node.metric(name, label));

describe("the metrics of a cluster", () => {
  it("have one node that publishes, and all nodes that deliver", async () => {
    const clients = await each((node) => connect(node, { recovery: true }));
    const names = [["carillon_publishes_total", 'result="logged"'], ["carillon_redis_command_duration_seconds_count", 'command="publish"'], ["carillon_deliveries_total"], ["carillon_connections", 'protocol="eio4"']];
    const before = await Promise.all(names.map((name) => read(...name)));
    for (let n = 0; n < 4; n++) await cluster.nodes[1].publish("n", [n]);
    await Promise.all(clients.map((client) => client.events.find(({ event, args }) => event === "n" && args[0] === 3, "the last")));
    const grown = async () => (await Promise.all(names.map((name) => read(...name)))).map((values, index) => values.map((value, node) => value - before[index][node]));
    await eventually(async () => (await grown())[2].every((count) => count === 4), "the deliveries to be counted");
    assert.deepEqual(await grown(), [[0, 4, 0], [0, 4, 0], [4, 4, 4], [0, 0, 0]]);
    assert.deepEqual(before[3], [1, 1, 1]);
    assert.ok((await read("carillon_redis_subscriptions")).every((rooms) => rooms >= 3));
  });

  it("a client that comes back to another node is recovered there", async () => {
    const client = await connect(cluster, { recovery: true });
    await fence(cluster, client);
    const before = await read("carillon_recoveries_total", 'result="recovered"');
    await client.cut();
    assert.equal((await client.back()).recovered, true);
    const grown = (await read("carillon_recoveries_total", 'result="recovered"')).map((count, node) => count - before[node]);
    assert.equal(grown.reduce((sum, count) => sum + count), 1, `${grown}`);
    assert.deepEqual(await read("carillon_redis_command_errors_total"), [0, 0, 0]);
  });

  it("tell of each node how late it is, not only of the one that ticks", async () => {
    const before = await read("carillon_tick_lag_seconds_count");
    await eventually(async () => (await read("carillon_tick_lag_seconds_count")).every((count, node) => count > before[node]), "a canary at each node");
    await eventually(async () => (await read("carillon_position_age_seconds")).every((age) => age < 2), "all positions to be young");
    // one node's subscription alone: the others go on
    const [node] = cluster.nodes;
    node.child.kill("SIGSTOP");
    try {
      await eventually(async () => (await cluster.nodes[1].metric("carillon_tick_lag_seconds_count")) >= before[1] + 6, "the second to go on");
    } finally {
      node.child.kill("SIGCONT");
    }
    await eventually(async () => (await node.metric("carillon_position_age_seconds")) < 2, "the first to be there again");
    for (const [index, [lag, count]] of (await each(async (node) => [await node.metric("carillon_tick_lag_seconds_sum"), await node.metric("carillon_tick_lag_seconds_count")])).entries())
      console.log(`node ${index + 1}: ${count} canaries, ${((lag / count) * 1000).toFixed(2)} ms on average`);
  });
});
