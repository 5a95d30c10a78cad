// A few seconds of each scenario. The counts of k6 are held against what must follow from the settings.

import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { startCluster } from "../../gateway/e2e/harness/cluster.js";
import { startGateway } from "../../gateway/e2e/harness/gateway.js";
import { Pace } from "../../gateway/e2e/harness/pace.js";
import { eventually } from "../../gateway/e2e/harness/wait.js";
import { gatewaySettings, launch, secret, tell } from "./run.js";

const wanted = (process.env.SCENARIOS ?? "").split(" ").filter(Boolean);
const scenario = (name, run) => it(name, { skip: wanted.length > 0 && !wanted.includes(name), timeout: 180_000 }, run);
const users = { NAMESPACE: "/tokens", JWT_SECRET: secret };
const short = { RAMP: "500ms", DURATION: "2s", RATE: 50, DELAY: "200ms" };

let gateway;
before(async () => (gateway = await startGateway(gatewaySettings)));
after(() => gateway?.stop());

function passed(name, result) {
  tell(name, result);
  const { code, counts, output, report } = result;
  assert.equal(code, 0, output);
  for (const none of ["lost", "duplicate", "out_of_order", "not_recovered", "unconnected"]) assert.equal(counts[none], 0, none);
  assert.equal(counts.recovered, counts.reconnects);
  assert.ok(counts.sent > 0 && counts.received > 0, "something was measured");
  assert.match(report, new RegExp(`<h1>${name}</h1>.*passed: all`, "s"));
  assert.ok(!report.includes(secret) && !/(src|href)=/.test(report), "the report holds no secret, and needs nothing else");
  return counts;
}

const load = async (name, settings) => passed(name, await launch(name, { url: gateway.url, nodes: [gateway] }, { ...short, ...settings }));

scenario("connect-ramp", async () => {
  const counts = await load("connect-ramp", { VUS: 2, SOCKETS: 30, RAMP: "2s", DURATION: "500ms", RATE: 10 });
  assert.equal(counts.connected, 60);
  assert.equal(counts.connect_time, 60);
});

scenario("fanout", async () => {
  const counts = await load("fanout", { VUS: 2, SOCKETS: 30, ROOMS: 4, JOINS: 2, DURATION: "4500ms" }); // longer than a ping may wait
  assert.equal(counts.received, (counts.sent * 30 * 2) / 4);
  assert.ok(counts.disconnects < 60, "pings were answered"); // on a starved machine some may be late
});

scenario("personal", async () => {
  const counts = await load("personal", { ...users, SOCKETS: 40, RATE: 150, JWT_CLAIMS: '{"role":"tester"}' });
  assert.equal(counts.received, counts.sent);
});

scenario("churn", async () => {
  const counts = await load("churn", { SOCKETS: 30, CHURN: 10 });
  assert.ok(counts.connected > 30, `${counts.connected} clients came`);
});

scenario("reconnect-storm", async () => {
  const counts = await load("reconnect-storm", { ...users, SOCKETS: 40, DURATION: "3s", CUT_EVERY: "1500ms" });
  assert.ok(counts.recovered > 40, `${counts.recovered} times, of 40 clients that were cut twice`);
  assert.equal(counts.received, counts.sent * 40);
});

scenario("rolling-restart", async () => {
  const budget = 20; // handshakes in a second
  const cluster = await startCluster({
    ...gatewaySettings,
    cluster: { handshakes_per_second: budget },
    limits: { max_connections: 1000 },
    drain: { ready_delay: "1500ms", spread: "500ms", deadline: "10s" },
  });
  const pace = new Pace(cluster);
  try {
    const load = launch("rolling-restart", cluster, { ...short, ...users, VUS: 2, SOCKETS: 30, RATE: 25, DURATION: "2m" });
    await eventually(async () => (await cluster.count("namespace=/tokens")) === 60, "all clients to be there", 30_000);
    for (const [index, node] of cluster.nodes.entries()) {
      await node.stop();
      await cluster.start(index);
      await cluster.balanced(3);
    }
    await cluster.publishSurely("load-end", [], { namespace: "/tokens" });
    const counts = passed("rolling-restart", await load);
    assert.ok(counts.recovered >= 60, `every client had to move, and ${counts.recovered} did`);
    assert.equal(counts.received, counts.sent * 30);
    const beyond = await pace.stop(budget);
    console.log(`rolling-restart: ${pace.handshakes} handshakes, at most ${beyond.toFixed(1)} beyond ${budget} in a second, ${counts.connect_failed} attempts failed`);
    assert.ok(pace.handshakes >= 60 && beyond <= budget + 1, `${beyond} are more than a second's worth`);
  } finally {
    await cluster.stop();
  }
});
