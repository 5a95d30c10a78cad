// The ways to Redis: TLS, a user of its own with few rights, another database, Sentinel.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, it } from "node:test";
import { closeClients, connect, fence } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { launchGateway, startGateway, temporaryFolder } from "../harness/gateway.js";
import { freePort } from "../harness/ports.js";
import { Part, run } from "../harness/process.js";
import { Redis, startRedis } from "../harness/redis.js";
import { openNamespace } from "../harness/rules.js";
import { eventually } from "../harness/wait.js";

const namespaces = [openNamespace("/", true)];
const open = [];
const opened = (part) => (open.push(part), part);
afterEach(async () => {
  closeClients();
  for (const part of open.splice(0).reverse()) await part.stop();
});

const node = async (redis) => opened(await startGateway({ namespaces, redis }));

/** Two nodes on this Redis: published by the one, received and recovered at the other. */
async function assertServes(redis) {
  const [first, second] = [await node(redis), await node(redis)];
  const client = await connect(first, { recovery: true });
  await second.publish("n", [1], { target: { users: [client.user] } });
  await fence(second, client);
  const { id } = client;
  await client.cut();
  await second.publish("n", [2], { target: { users: [client.user] } });
  client.socket.io.uri = second.url;
  const { recovered } = await client.back();
  await fence(first, client);
  assert.deepEqual([recovered, client.id === id, client.all("n")], [true, true, [1, 2]]);
}

/** A node that cannot use this Redis says why, and is not ready or ends. */
async function assertRefused(redis, why) {
  const [listen, internal] = [await freePort(), await freePort()];
  const { output, exited, child } = launchGateway({ namespaces, redis, public: { listen: `127.0.0.1:${listen}` }, internal: { listen: `127.0.0.1:${internal}` } });
  let ended = false;
  exited.then(() => (ended = true));
  try {
    await eventually(async () => {
      if (!output.some((line) => why.test(line))) return false;
      return ended || (await fetch(`http://127.0.0.1:${internal}/readyz`).catch(() => undefined))?.status === 503;
    }, () => `a line that matches ${why}; there was ${output.join("\n")}`);
  } finally {
    child.kill("SIGKILL");
  }
}

async function certificates() {
  const folder = temporaryFolder();
  const file = (name) => join(folder, name);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  writeFileSync(file("names"), "subjectAltName=IP:127.0.0.1\n");
  await run("openssl", ["req", "-x509", ...key, "-keyout", file("ca.key"), "-out", file("ca.pem"), "-subj", "/CN=authority", "-days", "1"]);
  await run("openssl", ["req", ...key, "-keyout", file("key.pem"), "-out", file("request.pem"), "-subj", "/CN=redis"]);
  await run("openssl", ["x509", "-req", "-in", file("request.pem"), "-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-CAcreateserial", "-days", "1", "-out", file("cert.pem"), "-extfile", file("names")]);
  return { authority: file("ca.pem"), certificate: file("cert.pem"), key: file("key.pem") };
}

/** A Redis that speaks TLS only. */
async function startTls({ authority, certificate, key }, clients) {
  const port = await freePort();
  const args = ["--port", "0", "--tls-port", String(port), "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", authority, "--tls-auth-clients", clients];
  opened(await new Redis(port, { args, cli: ["--tls", "--cacert", authority, "--cert", certificate, "--key", key] }).start());
  return `rediss://127.0.0.1:${port}/0`;
}

it("TLS, with an authority of one's own", async () => {
  const files = await certificates();
  const url = await startTls(files, "no");
  await assertServes({ url, ca_file: files.authority });
  await assertRefused({ url }, /certificate|UnknownIssuer/i); // nobody vouches for it
});

it("TLS where Redis asks for the client's certificate", async () => {
  const files = await certificates();
  const url = await startTls(files, "yes");
  await assertServes({ url, ca_file: files.authority, cert_file: files.certificate, key_file: files.key });
  await assertRefused({ url, ca_file: files.authority }, /certificate/i);
});

it("a user with a password and the keys of its prefix only", async () => {
  const redis = opened(await startRedis());
  await redis.command("ACL", "SETUSER", "gateway", "on", ">p%40ss", "~mine:*", "~{mine}*", "&mine:*", "&{mine}*", "+@all");
  const url = (password) => `redis://gateway:${password}@127.0.0.1:${redis.port}/0`;
  await assertServes({ url: url("p%2540ss"), prefix: "mine" });
  const keys = (await redis.command("KEYS", "*")).split("\n");
  assert.ok(keys.length > 0 && keys.every((name) => /^\{?mine/.test(name)), `every key begins with the prefix: ${keys}`);
  await assertRefused({ url: url("wrong"), prefix: "mine" }, /WRONGPASS|[Aa]uthentication|password/);
});

it("a password is not logged", async () => {
  const redis = opened(await startRedis());
  await redis.command("ACL", "SETUSER", "gateway", "on", ">very-secret", "~*", "&*", "+@all");
  const gateway = await node({ url: `redis://gateway:very-secret@127.0.0.1:${redis.port}/0` });
  await redis.kill();
  await eventually(async () => (await gateway.call("GET", "/readyz")).status === 503, "the node to notice");
  assert.deepEqual(gateway.output.filter((line) => line.includes("very-secret")), []);
  await redis.start();
  await redis.command("ACL", "SETUSER", "gateway", "on", ">very-secret", "~*", "&*", "+@all");
});

it("another database", async () => {
  const redis = opened(await startRedis());
  await assertServes({ url: `redis://127.0.0.1:${redis.port}/3` });
  assert.equal(await redis.command("-n", "0", "DBSIZE"), "0");
  assert.notEqual(await redis.command("-n", "3", "DBSIZE"), "0");
});

for (const signal of ["SIGKILL", "SIGSTOP"]) {
  it(`Sentinel: the nodes follow to the new master after ${signal}`, { timeout: 90_000 }, async () => {
    const master = opened(await startRedis());
    const replica = opened(await startRedis({ args: ["--replicaof", "127.0.0.1", String(master.port)] }));
    const port = await freePort();
    const file = join(temporaryFolder(), "sentinel.conf");
    writeFileSync(file, `port ${port}\nbind 127.0.0.1\nsentinel monitor carillon 127.0.0.1 ${master.port} 1\nsentinel down-after-milliseconds carillon 1000\nsentinel failover-timeout carillon 5000\n`);
    const sentinel = new Part("redis-server", [file, "--sentinel"]);
    open.push({ stop: () => sentinel.end() });
    const ask = (...words) => run("redis-cli", ["-p", String(port), ...words]);
    await eventually(async () => (await ask("SENTINEL", "replicas", "carillon").catch(() => "")).includes(String(replica.port)), "the sentinel to know the replica");
    await eventually(async () => (await replica.command("INFO", "replication")).includes("master_link_status:up"), "the replica to follow");

    const cluster = opened(await startCluster({ namespaces, redis: { sentinels: [`redis://127.0.0.1:${port}`], master: "carillon" } }, { url: master.url, stop() {} }));
    const clients = await Promise.all(cluster.nodes.map((gateway) => connect(gateway, { recovery: true })));
    for (let n = 0; n < 10; n++) await cluster.publishSurely("n", [n]);
    for (const client of clients) await fence(cluster, client);
    master.part.signal(signal);
    for (let n = 10; n < 20; n++) await cluster.publishSurely("n", [n]);
    await eventually(async () => (await replica.command("ROLE").catch(() => "")).startsWith("master"), "the replica to be the master");
    await cluster.readiness(true);
    for (const client of clients) await fence(cluster, client);
    const views = clients.map((client) => client.all("n"));
    const [doubled, told] = [views.filter((view) => new Set(view).size < view.length).length, clients.filter(({ connects }) => connects.entries.length > 1).length];
    console.log(`sentinel, ${signal}: sent 20, received ${views.map(({ length }) => length)}, doubled ${doubled}, clients that came anew ${told}`);
    for (const view of views) assert.deepEqual(view, Array.from({ length: 20 }, (_, n) => n));
    const [client] = clients;
    const { id } = client;
    await client.cut();
    await cluster.publishSurely("after", [1]);
    const back = await client.back();
    await client.event("after");
    assert.deepEqual([back.recovered, back.id], [true, id], "sessions of the new master recover");
  });
}
