// Three gateway nodes on one Redis, behind HAProxy by round robin without affinity, each a process of its own.
//
// A cluster can be used where the tests expect a gateway: clients go through the balancer, calls of the API to one node after
// the other. A node that was killed or stopped is started again on its old ports by `start(index)`.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { Gateway, startGateway } from "./gateway.js";
import { freePort } from "./ports.js";
import { Part } from "./process.js";
import { startRedis } from "./redis.js";
import { eventually } from "./wait.js";

const balancerSettings = fileURLToPath(new URL("../../../deploy/balancer/haproxy.cfg", import.meta.url));

/** HAProxy before three nodes; `url` is its address. */
class Balancer {
  async start(ports) {
    [this.port, this.admin] = [await freePort(), await freePort()];
    const env = { BALANCER: `127.0.0.1:${this.port}`, BALANCER_ADMIN: `127.0.0.1:${this.admin}` };
    ports.forEach(({ public: open, internal }, index) => {
      env[`NODE${index + 1}`] = `127.0.0.1:${open}`;
      env[`READY${index + 1}`] = `127.0.0.1:${internal}`;
    });
    this.part = new Part("haproxy", ["-db", "-f", balancerSettings], { env });
    this.url = `http://127.0.0.1:${this.port}`;
    return this;
  }

  /** The nodes that it sends new sessions to, as "node1". */
  async serving(backend = "handshakes") {
    this.part.assertAlive();
    const answer = await fetch(`http://127.0.0.1:${this.admin}/stats;csv`).catch(() => undefined);
    const rows = ((await answer?.text()) ?? "").split("\n").map((row) => row.split(","));
    const status = rows[0].indexOf("status");
    return rows.filter(([name, server, ...more]) => name === backend && /^node/.test(server) && /^UP/.test([name, server, ...more][status])).map(([, server]) => server);
  }

  stop() {
    return this.part.end();
  }
}

class Cluster {
  nodes = [];
  #turn = 0;

  constructor(redis, config, options) {
    Object.assign(this, { redis, config, options, path: config.public?.path ?? "/socket.io/" });
  }

  async startAll() {
    this.ports = [];
    for (let index = 0; index < 3; index++) this.ports.push({ public: await freePort(), internal: await freePort() });
    await Promise.all(this.ports.map((_, index) => this.start(index)));
    this.balancer = await new Balancer().start(this.ports);
    this.url = this.balancer.url;
    this.ws = this.url.replace("http", "ws");
    await this.balanced(3);
    return this;
  }

  /** What every node of this cluster is configured with, and where this one listens. */
  settings(index) {
    const { public: open, internal } = this.ports[index];
    const { config, redis } = this;
    return {
      ...config,
      redis: { url: redis.url, unready_after: "2s", ...config.redis },
      public: { ...config.public, listen: `127.0.0.1:${open}` },
      internal: { ...config.internal, listen: `127.0.0.1:${internal}` },
    };
  }

  /** Starts this node, on the ports that it had before. */
  async start(index) {
    this.nodes[index] = await startGateway(this.settings(index), this.options);
    return this.nodes[index];
  }

  get alive() {
    return this.nodes.filter((node) => node && !node.stopped);
  }

  /** Another node each time, of those that run. */
  get next() {
    const { alive } = this;
    return alive[this.#turn++ % alive.length];
  }

  call(...args) {
    return this.next.call(...args);
  }

  ok(...args) {
    return Gateway.prototype.ok.apply(this, args);
  }

  publish(...args) {
    return Gateway.prototype.publish.apply(this, args);
  }

  /**
   * Publishes as a careful backend does: under a key, and again on another node until one says that it is logged. Nodes that
   * drain or are gone are tried too. Returns what the other answers were: "lost" (the connection), or a status.
   */
  async publishSurely(event, args, options = {}) {
    const key = { "idempotency-key": randomUUID() };
    const failures = [];
    await eventually(async () => {
      const node = this.nodes[this.#turn++ % this.nodes.length];
      const answer = await node.call("POST", "/v1/publish", { target: "all", event, args, ...options }, key).catch(() => ({ status: "lost" }));
      if (answer.status === 200) return assert.equal(answer.body.logged, true) ?? true;
      assert.ok(["lost", 503, 504].includes(answer.status), `publish: ${answer.status} ${JSON.stringify(answer.body)}`);
      failures.push(answer.status);
      return false;
    }, () => `${event} ${args} to be accepted; there was ${failures}`, 60_000);
    return failures;
  }

  room(...args) {
    return Gateway.prototype.room.apply(this, args);
  }

  count(query) {
    return Gateway.prototype.count.call(this, query);
  }

  /** Until the balancer sends new sessions to exactly so many nodes, and what belongs to a session to so many. */
  balanced(handshakes, sessions = handshakes) {
    const count = async (backend) => (await this.balancer.serving(backend)).length;
    return eventually(async () => (await count("handshakes")) === handshakes && (await count("sessions")) === sessions, `the balancer to see ${handshakes} nodes that are ready, ${sessions} that listen`);
  }

  /** Until each node that runs says so at /readyz, or that it is not. */
  async readiness(ready) {
    for (const node of this.alive) await eventually(async () => ((await node.call("GET", "/readyz")).status === 200) === ready, `a node to be ${ready ? "ready" : "unready"}`);
  }

  /** Which node holds this Engine.IO session: an id names its node in characters 1 to 3. */
  async ownerOf(sid) {
    this.tags ??= new Map();
    for (const node of this.alive) if (!this.tags.has(node)) this.tags.set(node, await tagOf(node));
    return this.nodes.findIndex((node) => this.tags.get(node) === sid.slice(1, 4));
  }

  async stop() {
    const results = await Promise.allSettled(this.alive.map((node) => node.stop()));
    await this.balancer?.stop();
    await this.redis.stop();
    for (const { reason } of results) if (reason) throw reason;
  }
}

async function tagOf(node) {
  const response = await fetch(`${node.url}${node.path}?EIO=4&transport=polling`);
  return JSON.parse((await response.text()).slice(1)).sid.slice(1, 4);
}

/** Redis, if none is given, three nodes with this configuration (`options` as for one gateway), and the balancer. */
export async function startCluster(config = {}, redis, options) {
  return new Cluster(redis ?? (await startRedis()), config, options).startAll();
}
