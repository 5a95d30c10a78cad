// A real Prometheus scrapes three nodes and judges them by the alert rules that operators get: nothing at rest, one when Redis is away.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { closeClients, connect } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { reference } from "../harness/gateway.js";
import { documented } from "../harness/metrics.js";
import { startPrometheus } from "../harness/prometheus.js";
import { openNamespace } from "../harness/rules.js";
import { eventually } from "../harness/wait.js";

// how long Redis and a canary take is a matter of the machine, which others share
const ofTheMachine = ["CarillonLate", "CarillonRedisSlow"];

describe("a Prometheus that scrapes a cluster", { skip: reference && "about what the gateway has beside the protocol" }, () => {
  let cluster, prometheus;
  before(async () => {
    // with all that has metrics of its own
    const upstream = { url: "http://127.0.0.1:1/nobody", secret: "a secret of the tests, thirty-two bytes" };
    cluster = await startCluster({ namespaces: [{ ...openNamespace("/", true), upstream: { disconnect: true } }], upstream, tracing: { endpoint: "http://127.0.0.1:1", sample: 0 } });
    prometheus = await startPrometheus(cluster.nodes.map((node) => new URL(node.internal).host));
  });
  after(async () => {
    closeClients();
    await prometheus?.stop();
    await cluster?.stop();
  });

  const alerts = async (...states) => (await prometheus.alerts(...states)).filter((alert) => !ofTheMachine.includes(alert));
  const firing = () => alerts("firing");
  const fires = (names) => eventually(async () => `${await firing()}` === `${names}`, `exactly these alerts to fire: ${names}`, 60_000);

  it("reaches all of them, and gets every metric of the table from each", async () => {
    const clients = await Promise.all(cluster.nodes.map((node) => connect(node, { recovery: true })));
    for (const node of cluster.nodes) await node.publish("hello");
    for (const client of clients) await client.event("hello");
    await eventually(async () => (await prometheus.targets()).filter(({ health }) => health === "up").length === 3, "three targets to be up");
    const ofEach = "count by (__name__) (count by (__name__, instance) ({job='carillon'}))";
    const names = [...documented().keys()];
    let missing = names;
    const look = async () => {
      const counts = new Map((await prometheus.query(ofEach)).map((series) => [series.__name__, series.value]));
      missing = names.filter((name) => (counts.get(name) ?? counts.get(`${name}_count`)) !== 3);
      return missing.length === 0;
    };
    await eventually(look, () => `these metrics to come from three nodes: ${missing}`);
    assert.deepEqual((await prometheus.query("sum(carillon_connections)")).map(({ value }) => value), [3]);
    console.log(`prometheus: 3 targets up, ${names.length} metrics from each`);
  });

  it("takes every rule, and none holds at rest, not even for a moment", async () => {
    await prometheus.judged();
    const rules = await prometheus.rules();
    assert.deepEqual(rules.filter(({ health }) => health !== "ok").map(({ name, lastError }) => [name, lastError]), []);
    const found = await alerts("pending", "firing");
    assert.deepEqual(found, []);
    console.log(`prometheus: ${rules.length} rules judged, ${found.length} hold`);
  });

  it("tells that Redis is away, and no more than that; and when it is back, what was lost", async () => {
    await cluster.redis.kill();
    await fires(["CarillonRedisAway"]);
    const [away] = (await prometheus.get("alerts")).alerts.filter(({ labels }) => labels.alertname === "CarillonRedisAway");
    assert.equal(away.labels.severity, "page");
    assert.match(away.annotations.runbook_url, /CarillonRedisAway\.md$/);
    await eventually(async () => (await prometheus.query("ALERTS{alertname='CarillonRedisAway', alertstate='firing'}")).length === 1, "the alert as a series");
    await eventually(async () => (await prometheus.query("count(min by (instance) (carillon_redis_connected) == 0)"))[0]?.value === 3, "all three to miss it");
    await prometheus.judged();
    assert.deepEqual(await firing(), ["CarillonRedisAway"]);

    await cluster.redis.restartEmpty();
    await cluster.readiness(true);
    await fires(["CarillonLogLost"]);
  });
});
