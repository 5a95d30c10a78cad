// The table of docs/metrics.md and what a gateway serves are the same, and the figures move with what happens.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Client, closeClients, connect, fence } from "../harness/client.js";
import { reference, startGateway } from "../harness/gateway.js";
import { documented } from "../harness/metrics.js";
import { closeProxies, startProxy } from "../harness/proxy.js";
import { startRedis } from "../harness/redis.js";
import { openNamespace } from "../harness/rules.js";
import { eventually } from "../harness/wait.js";
import { Wire } from "../harness/wire.js";

const options = { skip: reference && "about what the gateway has beside the protocol" };
afterEach(() => {
  closeClients();
  closeProxies();
});

/** What a gateway serves, as `documented` has it: name to "type{labels}". */
async function served(gateway) {
  const text = await gateway.ok("GET", "/metrics");
  const types = [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)];
  return new Map(types.map(([, name, type]) => {
    const [, labels = ""] = text.match(new RegExp(`^${name}(?:_bucket)?(?:{([^}]*)})? `, "m")) ?? assert.fail(`no series of ${name}`);
    // `le` is the histogram's own; a build may know its revision
    const names = [...labels.matchAll(/(\w+)="/g)].map(([, label]) => label).filter((label) => !["le", "revision"].includes(label));
    return [name, `${type}{${names.sort()}}`];
  }));
}

/** What these metrics have grown by since; a name may end in `{` and text that the labels must hold. */
async function watch(gateway, ...names) {
  const read = () => Promise.all(names.map((name) => gateway.metric(...name.split("{"))));
  const first = await read();
  return async () => Object.fromEntries((await read()).map((value, index) => [names[index], value - first[index]]));
}

describe("metrics", options, () => {
  const namespaces = [{ ...openNamespace("/", true), upstream: { disconnect: true } }];
  const upstream = { url: "http://127.0.0.1:1/nobody", secret: "a secret of the tests, thirty-two bytes" };
  const tracing = { endpoint: "http://127.0.0.1:1", sample: 0 };
  let redis, gateway;
  before(async () => {
    redis = await startRedis();
    gateway = await startGateway({ namespaces, upstream, tracing, redis: { url: redis.url, unready_after: "2s" } });
  });
  after(async () => {
    await gateway?.stop();
    await redis?.stop();
  });

  it("are those of the table, with their types and labels", async () => {
    await gateway.publish("first", []);
    const [table, there] = [documented(), await served(gateway)];
    const differences = [...new Set([...table.keys(), ...there.keys()])].filter((name) => table.get(name) !== there.get(name));
    assert.deepEqual(differences.map((name) => [name, table.get(name) ?? "not in the table", there.get(name) ?? "not served"]), []);
    console.log(`metrics: ${there.size} served, ${table.size} in the table`);
  });

  it("without Redis are the same, less those of Redis", async () => {
    const alone = await startGateway({ namespaces, upstream, tracing });
    await alone.publish("first", []);
    const expected = [...documented().keys()].filter((name) => !name.startsWith("carillon_redis_"));
    assert.deepEqual([...(await served(alone)).keys()].sort(), expected.sort());
    await eventually(() => alone.metric("carillon_tick_lag_seconds_count"), "a tick to be heard");
    await alone.stop();
  });

  it("count connections by transport and protocol", async () => {
    const kinds = ["polling", "websocket"].map((transport) => `protocol="eio4",transport="${transport}"`);
    const grown = await watch(gateway, ...kinds.flatMap((kind) => [`carillon_connections{${kind}`, `carillon_handshakes_total{${kind}`]), 'carillon_closes_total{reason="client"');
    const clients = [await connect(gateway), await connect(gateway, { transports: ["polling"] }), await connect(gateway, { transports: ["polling", "websocket"] })];
    assert.deepEqual(Object.values(await grown()), [1, 2, 2, 1, 0]);
    for (const client of clients) client.close();
    await eventually(async () => Object.values(await grown())[4] === 3, "three closes");
    assert.deepEqual(Object.values(await grown()), [0, 2, 0, 1, 3]);
  });

  it("count what goes in and out, and how long it takes", async () => {
    const clients = await Promise.all([1, 2, 3].map(() => connect(gateway, { recovery: true })));
    const grown = await watch(gateway, "carillon_publishes_total", "carillon_deliveries_total", "carillon_events_received_total", "carillon_events_published_total", "carillon_fanout_duration_seconds_count", 'carillon_redis_command_duration_seconds_count{command="publish"');
    for (let n = 0; n < 5; n++) await gateway.publish("n", [n]);
    for (const client of clients) await client.events.find(({ event, args }) => event === "n" && args[0] === 4, "the last");
    clients[0].socket.emit("message", "back");
    await clients[0].event("message-back");
    const counts = await eventually(async () => {
      const counts = await grown();
      return counts.carillon_deliveries_total === 16 && counts;
    }, "sixteen deliveries");
    const { carillon_fanout_duration_seconds_count: batches, ...exact } = counts;
    assert.deepEqual(Object.values(exact), [5, 16, 1, 1, 6]);
    assert.ok(batches >= 6, `each is a batch of at least one worker: ${batches}`);
  });

  it("count recoveries, with what they replay", async () => {
    const client = await connect(gateway, { recovery: true });
    await fence(gateway, client);
    const grown = await watch(gateway, 'carillon_recoveries_total{result="recovered"', 'carillon_recoveries_total{result="unknown"', "carillon_recovery_replayed_messages_sum", "carillon_recovery_duration_seconds_count");
    await client.cut();
    for (let n = 0; n < 7; n++) await gateway.publish("n", [n]);
    assert.equal((await client.back()).recovered, true);
    await fence(gateway, client);
    assert.deepEqual(Object.values(await grown()), [1, 0, 7, 1]);
    const stranger = new Client(gateway.url, { auth: { pid: "x".repeat(20) } });
    await stranger.connected();
    assert.deepEqual(Object.values(await grown()), [1, 1, 7, 2]);
  });

  it("know what waits for clients to take it", async () => {
    const queued = () => gateway.metric("carillon_outbound_queue_bytes");
    const publish = (user) => gateway.publish("much", ["x".repeat(100_000)], { target: { users: [user] } });
    await eventually(async () => (await queued()) === 0, "nothing to wait");
    const session = await new Wire(gateway).polling();
    await session.send('40{"user":"between two requests"}');
    await session.receive(1);
    await publish("between two requests");
    await eventually(async () => (await queued()) > 100_000, "the event to wait for the next GET");
    await session.receive(1);
    await eventually(async () => (await queued()) === 0, "it to be taken");
    await session.send("1");

    const proxy = await startProxy(gateway.port);
    const slow = new Client(proxy.url, { user: "slow" });
    await slow.connected();
    proxy.stall();
    await eventually(async () => {
      await publish("slow");
      return (await queued()) > 100_000;
    }, "what the network takes no more to wait");
    proxy.cut();
    await eventually(async () => (await queued()) === 0, "nothing to wait for who has gone");
  });

  it("know the rooms that are heard", async () => {
    const before = await gateway.metric("carillon_redis_subscriptions");
    const client = await connect(gateway, { user: "one more" });
    const rooms = (await gateway.metric("carillon_redis_subscriptions")) - before;
    // its own room and its user's; those that all are in may have been heard before
    assert.ok(rooms >= 2 && rooms <= 4, `${rooms} rooms more`);
    client.close();
    await eventually(async () => (await gateway.metric("carillon_redis_subscriptions")) < before + rooms, "rooms to be left");
  });

  it("say how far behind it is, and so does readiness; it is alive all the while", async () => {
    const age = () => gateway.metric("carillon_position_age_seconds");
    await eventually(async () => (await age()) < 2, "the position to be young");
    assert.equal((await gateway.call("GET", "/readyz")).status, 200);
    const links = await watch(gateway, 'carillon_redis_connects_total{link="commands",result="connected"', 'carillon_redis_connects_total{link="subscriber",result="connected"');
    redis.pause();
    await eventually(async () => (await gateway.call("GET", "/readyz")).body.reasons?.includes("behind"), "it to say that it is behind");
    assert.ok((await age()) >= 2, `${await age()} s behind`);
    assert.equal((await gateway.call("GET", "/healthz")).status, 200);
    // both links notice that nothing comes
    await eventually(async () => (await gateway.metric("carillon_redis_connected")) === 0, "both links to be down");
    redis.resume();
    await eventually(async () => (await gateway.call("GET", "/readyz")).status === 200, "it to be ready again");
    assert.ok((await age()) < 2);
    assert.equal(await gateway.metric("carillon_redis_connected"), 2);
    const [commands, subscriber] = Object.values(await links());
    assert.ok(commands >= 1 && subscriber >= 1, `reconnects: ${commands} of commands, ${subscriber} of the subscriber`);
    assert.ok((await gateway.metric("carillon_redis_command_errors_total", 'error="unknown"')) >= 1);
    console.log(`links of redis: opened again ${commands} and ${subscriber} times`);
  });

  it("count a log that was lost, and what came from the log", async () => {
    const client = await connect(gateway, { recovery: true });
    await fence(gateway, client);
    const grown = await watch(gateway, "carillon_redis_new_epochs_total", "carillon_redis_catch_up_duration_seconds_count", "carillon_redis_catch_up_messages_total");
    // published while nobody hears it, unless the subscriber is back too soon
    let sent = 0;
    await eventually(async () => {
      const [subscriber] = (await redis.command("CLIENT", "LIST", "TYPE", "PUBSUB")).match(/(?<=^id=)\d+/m) ?? [];
      if (subscriber) await redis.command("CLIENT", "KILL", "ID", subscriber);
      assert.equal((await gateway.publish("missed", [++sent])).logged, true);
      await client.events.find(({ event, args }) => event === "missed" && args[0] === sent, `missed ${sent}`);
      return (await grown()).carillon_redis_catch_up_messages_total >= 1;
    }, "a message to come from the log");
    assert.deepEqual(client.all("missed"), Array.from({ length: sent }, (_, n) => n + 1));
    assert.ok((await grown()).carillon_redis_catch_up_duration_seconds_count >= 1);
    await redis.restartEmpty();
    await eventually(async () => (await grown()).carillon_redis_new_epochs_total === 1, "the loss to be noticed", 30_000);
    console.log(`redis: ${JSON.stringify(await grown())}`);
  });
});
