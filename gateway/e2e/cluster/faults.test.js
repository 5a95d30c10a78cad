// Redis fails in each way that it can. Clients stay connected, publishes are answered honestly, and nobody is told "recovered"
// who missed something.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { closeClients, connect, fence } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { launchGateway, startGateway } from "../harness/gateway.js";
import { assertAllRecovered, assertExact, startLoad } from "../harness/load.js";
import { closeProxies, startProxy } from "../harness/proxy.js";
import { Redis, startRedis } from "../harness/redis.js";
import { freePort } from "../harness/ports.js";
import { openNamespace } from "../harness/rules.js";
import { elapse, eventually, within } from "../harness/wait.js";

const config = { namespaces: [openNamespace("/", true)] };
const LOAD = { clients: 90, polling: 9, pace: 30 };

let cluster;
before(async () => (cluster = await startCluster(config)));
after(() => cluster?.stop());
afterEach(() => {
  closeClients();
  closeProxies();
});

/** A client of node 1 that has received something and is away now. */
async function absent() {
  const proxy = await startProxy(cluster.nodes[0].port);
  const client = await connect({ url: proxy.url, path: cluster.path }, { recovery: true });
  await fence(cluster, client);
  const { id } = client;
  await client.cut();
  return { client, id, move: (index) => (proxy.target = cluster.nodes[index].port) };
}

describe("Redis pauses", () => {
  it("for ten seconds under load: clients stay, nothing is lost, publishes are answered honestly", { timeout: 90_000 }, async () => {
    const load = await startLoad(cluster, LOAD);
    const witness = await connect(cluster, { recovery: true, user: "witness" });
    await load.more(100);
    cluster.redis.pause();
    let number = 0;
    const outcomes = new Map();
    const asking = [];
    const ask = () => {
      const n = ++number;
      const answer = cluster.next.call("POST", "/v1/publish", { target: { users: ["witness"] }, event: "single", args: [n] });
      asking.push(answer.then(({ status }) => outcomes.set(n, status)));
    };
    let unready = 0;
    try {
      for (let second = 0; second < 10; second++) {
        for (let n = 0; n < 3; n++) ask();
        await elapse(1000);
        const answers = await Promise.all(cluster.nodes.map((node) => node.call("GET", "/readyz")));
        unready += answers.filter(({ status }) => status === 503).length;
      }
    } finally {
      cluster.redis.resume();
    }
    await within(Promise.all(asking), "each publish to be answered", 60_000);
    await cluster.readiness(true);
    await cluster.balanced(3);
    await load.more(50);
    await cluster.publishSurely("end", [], { target: { users: ["witness"] } });
    await witness.event("end");
    const singles = witness.all("single");
    const byStatus = (status) => [...outcomes].filter(([, answered]) => answered === status).map(([n]) => n);
    const received = (list) => list.filter((n) => singles.includes(n)).length;
    const [ok, refused, unknown] = [200, 503, 504].map(byStatus);
    console.log(
      `redis paused, single publishes: ${number} sent; answered 200: ${ok.length} (received ${received(ok)}), 503: ${refused.length} (received ${received(refused)}), ` +
        `504: ${unknown.length} (received ${received(unknown)}); doubled ${singles.length - new Set(singles).size}; nodes unready in ${unready} of 30 looks`,
    );
    const counts = await load.finish("redis paused for 10 s");
    assert.equal(ok.length + refused.length + unknown.length, number, `each was answered: ${[...outcomes.values()]}`);
    assert.deepEqual([received(ok), received(refused), singles.length - new Set(singles).size], [ok.length, 0, 0]);
    assert.ok(refused.length + unknown.length > 0, "some could not be answered with success");
    assert.ok(unready > 0, "the nodes said that they were not ready");
    assert.equal(counts.disconnects, 0, "no client was disconnected");
    assert.equal(witness.connects.entries.length, 1);
    assertAllRecovered(load, counts);
  });
});

describe("connections to Redis are killed under load", () => {
  for (const type of ["pubsub", "normal"]) {
    it(`CLIENT KILL TYPE ${type}, several times`, { timeout: 60_000 }, async () => {
      const load = await startLoad(cluster, LOAD);
      let killed = 0;
      for (let round = 0; round < 6; round++) {
        await load.more(50);
        killed += Number(await cluster.redis.command("CLIENT", "KILL", "TYPE", type));
      }
      await load.more(50);
      const counts = await load.finish(`CLIENT KILL TYPE ${type} (${killed} connections)`);
      assert.ok(killed >= 6, "there was something to kill");
      assert.equal(counts.disconnects, 0, "no client was disconnected");
      assertAllRecovered(load, counts);
    });
  }

  it("a subscriber over client-output-buffer-limit catches up", { timeout: 60_000 }, async () => {
    const limit = (value) => cluster.redis.command("CONFIG", "SET", "client-output-buffer-limit", value);
    const load = await startLoad(cluster, { ...LOAD, clients: 30, polling: 3 });
    const before = (await cluster.redis.command("CONFIG", "GET", "client-output-buffer-limit")).split("\n")[1];
    const watcher = await connect(cluster, { recovery: true, user: "watcher" });
    const dropped = () => cluster.redis.part.output.filter((line) => /overcoming of output buffer limits/.test(line)).length;
    const old = dropped();
    await limit("pubsub 131072 0 0");
    const filler = "x".repeat(4000);
    let sent = 0;
    for (let round = 0; round < 5; round++) {
      const items = Array.from({ length: 100 }, () => ({ target: { users: ["watcher"] }, event: "flood", args: [sent++, filler] }));
      const { results } = await cluster.ok("POST", "/v1/publish/batch", { items });
      assert.ok(results.every(({ status }) => status === 200), JSON.stringify(results.find(({ status }) => status !== 200)));
    }
    await limit(before);
    await load.more(50);
    await fence(cluster, watcher);
    const flood = watcher.all("flood");
    console.log(`output buffer limit: subscribers dropped ${dropped() - old}, sent ${sent}, received ${flood.length}`);
    const counts = await load.finish("output buffer limit");
    assert.ok(dropped() > old, "Redis dropped a subscriber");
    assert.deepEqual(flood, Array.from({ length: sent }, (_, n) => n));
    assert.equal(counts.disconnects, 0, "no client was disconnected");
    assertAllRecovered(load, counts);
  });
});

describe("Redis is not what it was", () => {
  const ways = {
    "killed and started empty": { change: () => cluster.redis.restartEmpty(), forgets: true },
    flushed: { change: () => cluster.redis.command("FLUSHALL"), forgets: true },
    "killed and started with its data": { change: () => cluster.redis.restartWithData(), forgets: false },
  };
  for (const [title, { change, forgets }] of Object.entries(ways)) {
    it(`${title} under load: clients stay or are told, and publishing works again`, { timeout: 90_000 }, async () => {
      const load = await startLoad(cluster, LOAD);
      const { client, id, move } = await absent();
      await load.more(100);
      await cluster.publishSurely("missed", [], { target: { users: [client.user] } });
      await change();
      await cluster.readiness(true);
      await load.more(100);
      move(1);
      const { recovered, id: now } = await client.back();
      if (forgets) assert.equal(recovered, false, "the client that was away is told that it starts anew");
      assert.equal(now === id, recovered);
      await fence(cluster, client);
      assert.equal(client.all("missed").length, recovered ? 1 : 0);
      await load.more(50);
      const counts = await load.finish(`redis ${title}`);
      assertExact(load, counts);
    });

    it(`${title}: sessions of the new life recover`, async () => {
      const { client, id, move } = await absent();
      await cluster.publishSurely("n", [1], { target: { users: [client.user] } });
      move(2);
      const { recovered, id: now } = await client.back();
      assert.deepEqual([recovered, now], [true, id]);
      await fence(cluster, client);
      assert.deepEqual(client.all("n"), [1]);
    });
  }

  it("a client that stayed connected recovers again once it has heard of the new life", async () => {
    const proxy = await startProxy(cluster.nodes[0].port);
    const client = await connect({ url: proxy.url, path: cluster.path }, { recovery: true });
    await fence(cluster, client);
    await cluster.redis.command("FLUSHALL");
    await cluster.publishSurely("n", [1], { target: { users: [client.user] } });
    await client.event("n");
    const { id } = client;
    const stored = async () => (await cluster.redis.command("KEYS", `*${client.socket._pid}*`)) !== "";
    await eventually(stored, "its node to write the session anew");
    await client.cut();
    await cluster.publishSurely("n", [2], { target: { users: [client.user] } });
    proxy.target = cluster.nodes[1].port;
    const { recovered } = await client.back();
    await fence(cluster, client);
    assert.deepEqual([recovered, client.id === id, client.all("n")], [true, true, [1, 2]]);
  });
});

describe("a node with on_epoch_change = reconnect", () => {
  it("closes its clients when Redis has forgotten: each is told", async () => {
    const redis = await startRedis();
    const node = await startGateway({ ...config, redis: { url: redis.url, on_epoch_change: "reconnect" } });
    try {
      const clients = await Promise.all(Array.from({ length: 5 }, () => connect(node, { recovery: true })));
      for (const client of clients) await fence(node, client);
      await redis.command("FLUSHALL");
      for (const client of clients) assert.equal((await client.connected()).recovered, false);
      for (const client of clients) await fence(node, client);
    } finally {
      closeClients();
      await node.stop();
      await redis.stop();
    }
  });
});

describe("Redis is away", () => {
  it("nodes turn unready and refuse publishes, no new clients are sent to them, and all is well when it is back", { timeout: 60_000 }, async () => {
    const client = await connect(cluster, { recovery: true });
    await fence(cluster, client);
    await cluster.redis.kill();
    await cluster.readiness(false);
    const look = async (node) => {
      const { body } = await node.call("GET", "/readyz");
      assert.match(JSON.stringify(body), /adapter_unavailable|behind/);
      assert.equal((await node.call("GET", "/healthz")).status, 200, "alive all the same");
      const refused = await node.call("POST", "/v1/publish", { target: "all", event: "lost", args: [] });
      assert.deepEqual([refused.status, refused.body.error?.code], [503, "unavailable"]);
    };
    await Promise.all(cluster.nodes.map(look));
    await cluster.balanced(0, 3); // no new sessions; those that there are go on
    assert.equal(client.socket.connected, true);
    await cluster.redis.start();
    await cluster.readiness(true);
    await cluster.balanced(3);
    await cluster.publishSurely("again", []);
    await client.event("again");
    assert.deepEqual(client.all("lost"), []);
    assert.equal(client.connects.entries.length, 1);
  });

  it("when a node starts: it waits, unready, and serves once Redis is there", { timeout: 60_000 }, async () => {
    const redis = new Redis(await freePort());
    const [open, internal] = [await freePort(), await freePort()];
    const { ready, output, exited, child } = launchGateway({ ...config, redis: { url: redis.url }, public: { listen: `127.0.0.1:${open}` }, internal: { listen: `127.0.0.1:${internal}` } });
    let ended = false;
    exited.then(() => (ended = true));
    try {
      await eventually(async () => {
        assert.ok(!ended, `it has ended:\n${output.join("\n")}`);
        const answer = await fetch(`http://127.0.0.1:${internal}/readyz`).catch(() => undefined);
        return answer?.status === 503;
      }, "the node to say that it is not ready");
      assert.equal((await fetch(`http://127.0.0.1:${internal}/healthz`)).status, 200);
      await redis.start();
      const gateway = await within(ready, "the node to be ready");
      await eventually(async () => (await gateway.call("GET", "/readyz")).status === 200, "ready");
      const client = await connect(gateway, { recovery: true });
      await fence(gateway, client);
      closeClients();
      await gateway.stop();
    } finally {
      if (!ended) child.kill("SIGKILL");
      await redis.part?.end();
    }
  });
});

describe("a Redis that evicts", () => {
  it("is warned of; when it has evicted, recovery begins anew and the client is told", { timeout: 60_000 }, async () => {
    const { redis } = cluster;
    const logged = (pattern) => cluster.nodes.flatMap(({ output }) => output).filter((line) => pattern.test(line)).length;
    const anew = /redis has evicted keys|a new epoch of the log/;
    const client = await connect(cluster, { recovery: true });
    await fence(cluster, client);
    await client.cut();
    const before = logged(anew);
    const number = async (section, name) => Number((await redis.command("INFO", section)).match(new RegExp(`${name}:(\\d+)`))[1]);
    await redis.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", (await number("memory", "used_memory")) + 200_000);
    await redis.command("CLIENT", "KILL", "TYPE", "normal");
    await eventually(() => logged(/WARN.*set maxmemory-policy to noeviction/) > 0, "the warning");
    await eventually(async () => {
      // what a full Redis answers does not matter here
      await cluster.call("POST", "/v1/publish", { target: { rooms: ["filler"] }, event: "fill", args: ["x".repeat(10_000)] });
      return (await number("stats", "evicted_keys")) > 0;
    }, "something to be evicted");
    await redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1gb");
    await eventually(() => logged(anew) > before, "a node to notice");
    assert.equal((await client.back()).recovered, false);
    await fence(cluster, client);
  });
});
