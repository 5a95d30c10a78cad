// Nodes that write different versions of the format serve in one cluster, as during a rolling upgrade: each reads what the others
// write, live, from the log and from sessions.

import assert from "node:assert/strict";
import { after, afterEach, before, it } from "node:test";
import { closeClients, connect, fence } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { closeProxies, startProxy } from "../harness/proxy.js";
import { openNamespace } from "../harness/rules.js";

let cluster;
before(async () => {
  cluster = await startCluster({ namespaces: [openNamespace("/", true)] });
  // node 1 is of the version before
  await cluster.nodes[0].stop();
  cluster.config = { ...cluster.config, redis: { format: 1 } };
  await cluster.start(0);
  cluster.config = { ...cluster.config, redis: { format: 2 } };
  await cluster.balanced(3);
});
after(() => cluster?.stop());
afterEach(() => {
  closeClients();
  closeProxies();
});

it("what each version writes, the other reads", async () => {
  const settings = cluster.nodes.map((node) => node.config?.redis?.format);
  assert.deepEqual(settings, [1, undefined, undefined], "one node writes the version before");
  const proxy = await startProxy(cluster.nodes[0].port);
  const mover = await connect({ url: proxy.url, path: cluster.path }, { recovery: true });
  const stayers = await Promise.all(cluster.nodes.map((node) => connect(node, { recovery: true })));
  await fence(cluster, mover);
  let n = 0;
  const expected = [];
  const publishByEach = async () => {
    for (const node of cluster.nodes) {
      expected.push(++n);
      await node.publish("n", [n, "文字 🙂", { $binary: "AQID" }], { target: { rooms: ["news"] } });
    }
  };
  for (const index of [1, 0, 2, 0]) {
    await publishByEach();
    await mover.cut();
    proxy.target = cluster.nodes[index].port;
    await publishByEach();
    const { recovered } = await mover.back();
    assert.equal(recovered, true, `recovered at node ${index + 1}`);
  }
  await publishByEach();
  for (const client of [mover, ...stayers]) {
    await fence(cluster, client);
    assert.deepEqual(client.all("n").map((args) => (Array.isArray(args) ? args[0] : args)), expected);
  }
  console.log(`two versions: sent ${n} by 3 nodes, received ${n * 4} by 4 clients, 4 recoveries from one version to the other, lost 0, doubled 0, reordered 0`);
});
