// A real OpenTelemetry Collector, and what it has received. It takes OTLP as protobuf, and passes spans on as JSON to a server
// of this process: what a test sees has been read by somebody else's decoder.
//
// `collector/install` builds it; CARILLON_COLLECTOR is where it is.

import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "./gateway.js";
import { freePort } from "./ports.js";
import { Part } from "./process.js";
import { eventually, Recorder } from "./wait.js";

const repository = fileURLToPath(new URL("../../..", import.meta.url));
const binary = resolve(repository, process.env.CARILLON_COLLECTOR ?? "target/tools/bin/collector");

/** The numbers of enum SpanKind. */
const KINDS = { 1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer" };

const plain = (attributes = []) => Object.fromEntries(attributes.map(({ key, value }) => [key, value.intValue === undefined ? Object.values(value)[0] : Number(value.intValue)]));

/** An HTTP server on a port of its own; `answer(request, body, response)`. */
export async function listen(answer) {
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    answer(request, Buffer.concat(chunks), response);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const close = () => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  };
  return { url: `http://127.0.0.1:${server.address().port}`, close };
}

class Collector {
  /** { name, kind, trace, id, parent, failed, attributes, resource } of each span. */
  spans = new Recorder();

  async start() {
    assert.ok(existsSync(binary), `no collector at ${binary}; gateway/e2e/collector/install builds it`);
    this.sink = await listen((_, body, response) => {
      for (const { resource, scopeSpans } of JSON.parse(body).resourceSpans ?? []) {
        for (const span of scopeSpans.flatMap(({ spans }) => spans)) this.#note(span, plain(resource.attributes));
      }
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
    const port = await freePort();
    this.url = `http://127.0.0.1:${port}`;
    const file = join(temporaryFolder(), "collector.yaml");
    const settings = {
      receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${port}` } } } },
      exporters: { otlp_http: { endpoint: this.sink.url, encoding: "json", compression: "none", sending_queue: { enabled: false } } },
      service: { telemetry: { metrics: { level: "none" } }, pipelines: { traces: { receivers: ["otlp"], exporters: ["otlp_http"] } } },
    };
    writeFileSync(file, JSON.stringify(settings)); // which is YAML too
    this.part = new Part(binary, ["--config", `file:${file}`]);
    await eventually(async () => {
      this.part.assertAlive();
      return fetch(this.url).then(() => true, () => false);
    }, "the collector to listen");
    return this;
  }

  #note({ name, kind, traceId, spanId, parentSpanId, status, attributes }, resource) {
    const span = { name, kind: KINDS[kind], trace: traceId, id: spanId, parent: parentSpanId ?? "", failed: status?.code === 2 };
    this.spans.push({ ...span, attributes: plain(attributes), resource });
  }

  /** The spans of a trace so far, of this name if one is given. */
  of(trace, name) {
    return this.spans.entries.filter((span) => span.trace === trace && (name === undefined || span.name === name));
  }

  find(trace, name, test = () => true) {
    return this.spans.find((span) => span.trace === trace && span.name === name && test(span), `a span ${name} of ${trace}`);
  }

  async stop() {
    await this.part?.end();
    await this.sink?.close();
  }
}

export async function startCollector() {
  const collector = new Collector();
  return collector.start().catch(async (error) => {
    await collector.stop();
    throw error;
  });
}
