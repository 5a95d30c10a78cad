// Spans as a real OpenTelemetry Collector gets them: one for a message on each node that has members, in the trace of the
// publish; and a receiver that is away or hangs, which nobody notices but the metrics.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { startBackend } from "../harness/backend.js";
import { closeClients, connect, fence } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { listen, startCollector } from "../harness/collector.js";
import { reference, startGateway, temporaryFolder } from "../harness/gateway.js";
import { openNamespace } from "../harness/rules.js";
import { eventually, within } from "../harness/wait.js";

const options = { skip: reference && "about what the gateway has beside the protocol" };
afterEach(closeClients);

let collector;
before(async () => {
  if (!reference) collector = await startCollector();
});
after(() => collector?.stop());

/** A caller's span, and the headers that tell of it. */
function caller({ sampled = true } = {}) {
  const [trace, id] = [randomBytes(16).toString("hex"), randomBytes(8).toString("hex")];
  return { trace, id, headers: { traceparent: `00-${trace}-${id}-${sampled ? "01" : "00"}`, tracestate: "shop=7" } };
}

describe("tracing, on three nodes", options, () => {
  let cluster, members;
  before(async () => {
    cluster = await startCluster({ tracing: { endpoint: collector.url, sample: 0 }, namespaces: [openNamespace("/", true)], workers: 2 });
  });
  after(() => cluster?.stop());

  beforeEach(async () => {
    // two in the room on the first node, at both of its workers, one on the second, nobody on the third
    members = await Promise.all([0, 0, 1].map((node) => connect(cluster.nodes[node], { recovery: true })));
    for (const member of members) assert.deepEqual(await member.emit("join", "a secret room"), { ok: true });
  });

  /** All that ended before this is with the collector then, of each node. */
  async function settled() {
    const others = await Promise.all(cluster.nodes.map((node) => connect(node, { recovery: true })));
    const { trace, headers } = caller();
    for (const node of cluster.nodes) await node.publish("last", [], {}, headers);
    await eventually(() => collector.of(trace, "fan_out").length === 9 && collector.of(trace, "publish").length === 3, "the last spans");
    for (const other of others) other.close();
  }

  const instance = (span) => span.resource["service.instance.id"];

  it("a publish is one trace: the caller's span, the publish, and one fan-out on each node with members", async () => {
    const { trace, id, headers } = caller();
    await cluster.nodes[2].publish("news", ["a secret text"], { target: { rooms: ["a secret room"] } }, headers);
    await Promise.all(members.map((member) => member.event("news")));
    const publish = await collector.find(trace, "publish");
    await eventually(() => collector.of(trace, "fan_out").length === 2, "two fan-outs");
    await settled();
    const spans = collector.of(trace);
    assert.equal(spans.length, 3, "neither on a node without members, nor for each recipient");
    assert.deepEqual([publish.parent, publish.kind, publish.failed], [id, "server", false]);
    assert.deepEqual(publish.attributes, { "carillon.items": 1, "http.response.status_code": 200 });
    const fanOuts = collector.of(trace, "fan_out").sort((a, b) => b.attributes["carillon.deliveries"] - a.attributes["carillon.deliveries"]);
    assert.deepEqual(fanOuts.map(({ parent, kind }) => [parent, kind]), [[publish.id, "consumer"], [publish.id, "consumer"]]);
    const counts = fanOuts.map(({ attributes }) => attributes);
    const common = { "carillon.namespace": "/", "carillon.rooms": 1 };
    assert.deepEqual(counts, [{ ...common, "carillon.workers": 2, "carillon.deliveries": 2 }, { ...common, "carillon.workers": 1, "carillon.deliveries": 1 }]);
    assert.equal(new Set(spans.map(instance)).size, 3, "three nodes");
    assert.ok(spans.every(({ resource }) => resource["service.name"] === "carillon" && resource["service.version"]));
    assert.doesNotMatch(JSON.stringify(spans), /secret|person/);
    console.log(`one publish: ${spans.map(({ name, resource }) => `${name} of ${resource["service.instance.id"]}`).join(", ")}`);
  });

  it("a batch is one publish, and a fan-out for each item and node; rooms of several nodes too", async () => {
    const { trace, headers } = caller();
    const items = [["a secret room"], ["a secret room", "another"]].map((rooms) => ({ target: { rooms }, event: "item", args: [] }));
    await cluster.nodes[1].ok("POST", "/v1/publish/batch", { items }, headers);
    await settled();
    const counts = (name, attribute) => collector.of(trace, name).map(({ attributes }) => attributes[attribute]).sort();
    assert.deepEqual(counts("publish", "carillon.items"), [2]);
    assert.deepEqual(counts("fan_out", "carillon.rooms"), [1, 1, 2, 2], "a node that hears of it without members has none");
    assert.deepEqual(counts("fan_out", "carillon.deliveries"), [1, 1, 2, 2]);
  });

  it("what asks for acknowledgements, and what is volatile, is in its trace too", async () => {
    const { trace, headers } = caller();
    for (const member of members) member.socket.on("ask", (answer) => answer("yes"));
    const answer = await cluster.nodes[2].publish("ask", [], { target: { rooms: ["a secret room"] }, ack: { timeout_ms: 15_000 } }, headers);
    assert.equal(answer.acks.length, 3);
    await cluster.nodes[2].publish("now", [], { target: { rooms: ["a secret room"] }, volatile: true }, headers);
    await settled();
    assert.deepEqual(collector.of(trace).map(({ name }) => name).sort(), ["fan_out", "fan_out", "fan_out", "fan_out", "publish", "publish"]);
  });

  it("what the caller does not sample makes none, nor what brings no or a bad traceparent", async () => {
    const before = collector.spans.entries.length;
    const unsampled = caller({ sampled: false });
    const bad = { traceparent: unsampled.headers.traceparent.replace("00-", "ff-") };
    for (const headers of [unsampled.headers, {}, bad]) await cluster.nodes[2].publish("quiet", [], { target: { rooms: ["a secret room"] } }, headers);
    await settled();
    assert.equal(collector.spans.entries.length - before, 12, "those of the marker only");
    assert.deepEqual(collector.of(unsampled.trace), []);
  });

  it("a recovery makes none", async () => {
    const client = await connect(cluster.nodes[1], { recovery: true });
    await fence(cluster, client);
    const { id } = client;
    await client.cut();
    const { trace, headers } = caller();
    await cluster.nodes[2].publish("missed", [], { target: { rooms: ["a secret room"], sockets: [id] } }, headers);
    await settled();
    const before = collector.of(trace).length;
    assert.equal((await client.back()).recovered, true);
    await client.event("missed");
    await settled();
    assert.equal(collector.of(trace).length, before);
    assert.equal(before, 3);
  });
});

describe("tracing of what clients do", options, () => {
  const roots = (name) => collector.spans.entries.filter((span) => span.name === name && span.parent === "");

  it("an event goes on to the backend, and to what the backend's answer sends", async () => {
    const backend = await startBackend(({ event, type }) => (type === "event" ? { ack: ["done"], emit: [{ target: { rooms: ["news"] }, event: "answered", args: [event] }] } : undefined));
    const space = openNamespace("/", true);
    const namespaces = [{ ...space, upstream: { connect: true }, events: [...space.events, { event: "order", action: "upstream" }] }];
    const gateway = await startGateway({ upstream: backend.settings, namespaces, tracing: { endpoint: collector.url, sample: 1, service_name: "edge" } }, { env: { OTEL_RESOURCE_ATTRIBUTES: "service.instance.id=pod-7,deployment.environment=test" } });
    const client = await connect(gateway, { recovery: true });
    assert.equal(await client.emit("order", "a secret order"), "done");
    await client.event("answered");
    const call = await backend.find("event");
    const [, trace, parent] = call.headers.traceparent.split("-");
    const request = await collector.find(trace, "upstream");
    assert.equal(request.id, parent, "the backend's parent is the request");
    const event = await collector.find(trace, "event");
    const fanOut = await collector.find(trace, "fan_out");
    assert.deepEqual([request.parent, fanOut.parent, event.parent], [event.id, event.id, ""]);
    assert.deepEqual([event.kind, request.kind], ["server", "client"]);
    assert.deepEqual(event.attributes, { "carillon.namespace": "/", "carillon.event": "order" });
    assert.deepEqual(request.attributes, { "carillon.type": "event", "carillon.backend": new URL(backend.url).host + "/carillon", "carillon.outcome": "ok" });
    assert.equal(collector.of(trace).length, 3);
    assert.deepEqual([event.resource["service.name"], event.resource["service.instance.id"], event.resource["deployment.environment"]], ["edge", "pod-7", "test"]);

    const told = await backend.find("connect");
    const connected = await collector.find(told.headers.traceparent.split("-")[1], "connect");
    assert.deepEqual([connected.parent, connected.failed], ["", false]);

    // what brings nothing begins a trace of its own
    const before = roots("publish").length;
    for (let n = 0; n < 5; n++) await gateway.room("news", "n", n);
    await eventually(() => roots("publish").length === before + 5, "five roots");
    for (const { trace: own, id } of roots("publish").slice(before)) assert.equal((await collector.find(own, "fan_out")).parent, id);

    // one that is refused says why
    assert.equal((await client.emit("join")).ok, false);
    const refused = await collector.spans.find(({ name, attributes }) => name === "event" && attributes["carillon.event"] === "join", "the refused event");
    assert.deepEqual([refused.failed, refused.attributes["carillon.refused"]], [true, "invalid"]);
    // of the client's events none is in the log
    assert.ok(gateway.output.every((line) => !/fan_out|traceparent/.test(line)));
    assert.doesNotMatch(JSON.stringify(collector.spans.entries), /a secret|person/);

    // what has not been exported yet is, at the end
    await gateway.publish("at the very end");
    const late = roots("publish").length;
    await gateway.stop();
    await eventually(() => roots("publish").length > late || roots("publish").length === before + 6, "the last span");
    assert.equal(roots("publish").length, before + 6);
    await backend.stop();
  });

  it("off, nothing is traced, nor is anything passed on", async () => {
    const backend = await startBackend(() => ({ ack: [] }));
    const namespaces = [{ name: "/", events: [{ event: "order", action: "upstream" }] }];
    const gateway = await startGateway({ upstream: backend.settings, namespaces });
    const { headers, trace } = caller();
    const client = await connect(gateway, { recovery: true });
    await gateway.publish("n", [1], {}, headers);
    await client.event("n");
    await client.emit("order");
    assert.equal((await backend.find("event")).headers.traceparent, undefined);
    assert.doesNotMatch(await gateway.ok("GET", "/metrics"), /carillon_spans/);
    await gateway.stop();
    await backend.stop();
    assert.deepEqual(collector.of(trace), []);
  });
});

describe("a receiver of spans", options, () => {
  const outcome = (gateway, label) => gateway.metric("carillon_spans_total", `outcome="${label}"`);
  const MESSAGES = 6000;

  /** Publishes, and the client gets all; a span for each, which is more than may wait. */
  async function deliversAll(gateway) {
    const client = await connect(gateway, { recovery: true });
    for (let n = 0; n < MESSAGES; n += 500) {
      const items = Array.from({ length: 500 }, (_, k) => ({ target: "all", event: "n", args: [n + k] }));
      const { results } = await gateway.ok("POST", "/v1/publish/batch", { items });
      assert.ok(results.every(({ logged }) => logged));
    }
    await client.events.find(() => client.all("n").length === MESSAGES, "all messages");
    assert.deepEqual(client.all("n"), Array.from({ length: MESSAGES }, (_, n) => n));
  }

  for (const [what, answer] of [["hangs", () => {}], ["fails", (_, __, response) => response.writeHead(503).end()], ["is away", undefined]]) {
    it(`that ${what} keeps neither messages back nor the end, and is counted`, async () => {
      const receiver = await listen(answer ?? (() => {}));
      if (!answer) await receiver.close();
      const gateway = await startGateway({ namespaces: [openNamespace("/", true)], tracing: { endpoint: receiver.url, sample: 1 } });
      await deliversAll(gateway);
      const read = () => Promise.all(["exported", "dropped", "failed"].map((label) => outcome(gateway, label)));
      const counts = await eventually(async () => {
        const counts = await read();
        return counts[1] + counts[2] > 0 && counts;
      }, "spans to be lost");
      assert.equal(counts[0], 0);
      await gateway.stop();
      const said = gateway.output.filter((line) => line.includes("spans were not taken"));
      assert.ok(said.length <= 1, `${said.length} lines`);
      if (answer) await receiver.close();
      console.log(`a receiver that ${what}: ${MESSAGES} delivered, ${counts[1]} spans dropped, ${counts[2]} failed, ${said.length} lines of log`);
    });
  }

  it("is shown the headers of the file, and those of the environment", async () => {
    let seen;
    const request = new Promise((done) => (seen = done));
    const receiver = await listen(({ method, url, headers }, body, response) => {
      seen({ method, url, headers, body });
      response.writeHead(200).end();
    });
    const file = join(temporaryFolder(), "headers");
    writeFileSync(file, "authorization: Bearer of the file\n");
    const gateway = await startGateway({ tracing: { endpoint: `${receiver.url}/other/path`, sample: 1, headers_file: file } }, { env: { OTEL_EXPORTER_OTLP_HEADERS: "x-tenant=seven" } });
    await gateway.publish("n");
    const { method, url, headers, body } = await within(request, "an export");
    assert.deepEqual([method, url, headers["content-type"], headers.authorization, headers["x-tenant"]], ["POST", "/other/path", "application/x-protobuf", "Bearer of the file", "seven"]);
    assert.ok(body.length > 0);
    await eventually(async () => (await outcome(gateway, "exported")) > 0, "the export to be counted");
    await gateway.stop();
    await receiver.close();
    assert.ok(gateway.output.every((line) => !line.includes("of the file")));
  });
});
