// A running gateway as an operator meets it: health, metrics, keys, origins, the client's script, the drain.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, afterEach, before, describe, it } from "node:test";
import { Client, closeClients, connect, fence, transports } from "../harness/client.js";
import { clientDist, reference, startGateway } from "../harness/gateway.js";
import { openNamespace } from "../harness/rules.js";
import { Wire } from "../harness/wire.js";
import { eventually, next, within } from "../harness/wait.js";

const options = { skip: reference && "about what the gateway has beside the protocol" };
const namespaces = [openNamespace("/", true)];
afterEach(closeClients);

describe("the internal listener", options, () => {
  let gateway;
  before(async () => (gateway = await startGateway({ namespaces })));
  after(() => gateway?.stop());

  it("is healthy and ready", async () => {
    for (const path of ["/healthz", "/readyz"]) assert.equal((await gateway.call("GET", path)).status, 200, path);
  });

  it("has metrics that count", async () => {
    const read = async () => {
      const { status, headers, body } = await gateway.call("GET", "/metrics");
      assert.equal(status, 200);
      assert.match(headers.get("content-type"), /^(text\/plain|application\/openmetrics-text)/);
      const samples = body.split("\n").filter((line) => line && !line.startsWith("#"));
      for (const line of samples) assert.match(line, /^[a-z_:][a-z0-9_:]*(\{.*\})? [-+0-9.eEinfNa]+( \d+)?$/i);
      assert.ok(samples.every((line) => !/user:|person-/.test(line)), "no user or room in a label");
      return Object.fromEntries(samples.filter((line) => line.startsWith("carillon_")).map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]));
    };
    const first = await read();
    assert.ok(Object.keys(first).length > 0, "there are carillon_ metrics");
    const client = await connect(gateway, { recovery: true });
    await fence(gateway, client);
    const second = await read();
    const grown = Object.keys(second).filter((name) => second[name] > (first[name] ?? 0));
    assert.ok(grown.some((name) => /connection/.test(name)), `a connection shows: ${grown}`);
    assert.ok(grown.some((name) => /publish/.test(name)), `a publish shows: ${grown}`);
    assert.ok(grown.some((name) => /deliver|sent|outbound/.test(name)), `a delivery shows: ${grown}`);
  });

  it("describes its API", async () => {
    const { status, body } = await gateway.call("GET", "/openapi.json");
    assert.equal(status, 200);
    assert.match(body.openapi, /^3\./);
    for (const [path, method] of [["/v1/publish", "post"], ["/v1/publish/batch", "post"], ["/v1/join", "post"], ["/v1/leave", "post"], ["/v1/disconnect", "post"], ["/v1/sockets", "get"], ["/v1/count", "get"]])
      assert.ok(body.paths[path]?.[method], `${method} ${path}`);
    const references = JSON.stringify(body).match(/"#\/[^"]+"/g) ?? [];
    for (const reference of references) {
      const found = reference.slice(3, -1).split("/").reduce((value, key) => value?.[key], body);
      assert.ok(found, `${reference} leads nowhere`);
    }
  });

  it("answers what it does not know with 404 and 405, as JSON under /v1", async () => {
    const unknown = await gateway.call("GET", "/v1/nothing");
    assert.deepEqual([unknown.status, typeof unknown.body.error?.code], [404, "string"]);
    assert.equal((await gateway.call("GET", "/v1/publish")).status, 405);
  });

  it("refuses a body that is too large with 413", async () => {
    const answer = await gateway.call("POST", "/v1/publish", { target: "all", event: "x", args: ["x".repeat(64 * 1024 * 1024)] }).catch((error) => error);
    if (answer instanceof Error) assert.match(String(answer.cause), /EPIPE|ECONNRESET|other side closed/);
    else assert.equal(answer.status, 413);
    assert.equal((await gateway.call("GET", "/healthz")).status, 200);
  });

  it("is not reachable through the public one", async () => {
    for (const path of ["/v1/count", "/v1/sockets", "/metrics", "/openapi.json", "/", "/socket.io/../v1/count"]) assert.equal((await fetch(gateway.url + path)).status, 404, path);
    assert.equal((await fetch(`${gateway.url}/v1/publish`, { method: "POST", body: "{}" })).status, 404);
  });
});

describe("API keys", options, () => {
  let gateway;
  const secrets = { publish: "key-of-publish", manage: "key-of-manage", read: "key-of-read", all: "key-of-all", rotated: "second-key-of-all" };
  before(async () => {
    const api_keys = Object.entries(secrets).map(([name, secret]) => ({
      name,
      sha256: createHash("sha256").update(secret).digest("hex"),
      scopes: name in { all: 1, rotated: 1 } ? ["publish", "manage", "read"] : [name],
    }));
    gateway = await startGateway({ namespaces, internal: { api_keys } });
  });
  after(() => gateway?.stop());

  const calls = {
    publish: [["POST", "/v1/publish", { target: "all", event: "x" }], ["POST", "/v1/publish/batch", { items: [{ target: "all", event: "x" }] }]],
    manage: [
      ["POST", "/v1/join", { namespace: "/", target: "all", rooms: ["a"] }],
      ["POST", "/v1/leave", { namespace: "/", target: "all", rooms: ["a"] }],
      ["POST", "/v1/disconnect", { namespace: "/", target: { users: ["nobody"] } }],
    ],
    read: [["GET", "/v1/sockets?namespace=/"], ["GET", "/v1/count?namespace=/"]],
  };
  for (const [scope, list] of Object.entries(calls)) {
    for (const [method, path, body] of list) {
      it(`${method} ${path.split("?")[0]} needs the scope ${scope}`, async () => {
        for (const [name, secret] of Object.entries(secrets)) {
          const answer = await gateway.call(method, path, body, { authorization: `Bearer ${secret}` });
          const allowed = name === scope || name === "all" || name === "rotated";
          assert.equal(answer.status, allowed ? 200 : 403, `${name}: ${JSON.stringify(answer.body)}`);
          if (!allowed) assert.equal(answer.body.error.code, "forbidden");
        }
      });
    }
  }

  for (const [title, headers] of [["no header", {}], ["a wrong key", { authorization: "Bearer wrong" }], ["an empty key", { authorization: "Bearer " }], ["another scheme", { authorization: `Basic ${secrets.all}` }], ["the hash in place of the key", { authorization: `Bearer ${createHash("sha256").update(secrets.all).digest("hex")}` }]]) {
    it(`401 with ${title}`, async () => {
      const answer = await gateway.call("POST", "/v1/publish", { target: "all", event: "x" }, headers);
      assert.deepEqual([answer.status, answer.body.error.code], [401, "unauthorized"]);
    });
  }

  it("health needs none; keys are not logged", async () => {
    for (const path of ["/healthz", "/readyz"]) assert.equal((await gateway.call("GET", path)).status, 200, path);
    for (const secret of Object.values(secrets)) assert.ok(!gateway.output.some((line) => line.includes(secret)));
  });
});

describe("origins", options, () => {
  const good = "http://good.example";
  let gateway, wire;
  before(async () => {
    gateway = await startGateway({ namespaces, public: { allowed_origins: [good] } });
    wire = new Wire(gateway);
  });
  after(() => gateway?.stop());
  const query = { EIO: "4", transport: "polling" };

  it("an allowed one is answered with CORS headers", async () => {
    const response = await wire.request(query, { headers: { origin: good } });
    assert.deepEqual([response.status, response.headers.get("access-control-allow-origin")], [200, good]);
    assert.match(response.headers.get("vary") ?? "", /origin/i);
  });

  it("its preflight too", async () => {
    const response = await wire.request(query, { method: "OPTIONS", headers: { origin: good, "access-control-request-method": "POST", "access-control-request-headers": "content-type" } });
    assert.ok(response.status === 200 || response.status === 204, `status ${response.status}`);
    assert.equal(response.headers.get("access-control-allow-origin"), good);
    assert.match(response.headers.get("access-control-allow-methods"), /POST/);
    assert.match(response.headers.get("access-control-allow-headers"), /content-type/i);
  });

  for (const origin of ["http://bad.example", "https://good.example", "http://good.example:81", "http://good.example.bad.example", "null"]) {
    it(`${origin} is refused over both transports`, async () => {
      const response = await wire.request(query, { headers: { origin } });
      assert.equal(response.status, 403);
      assert.equal(response.headers.get("access-control-allow-origin"), null);
      const socket = wire.openWebSocket({ EIO: "4", transport: "websocket" }, { headers: { origin } });
      assert.equal(await within(socket.refused, "the refusal"), 403);
    });
  }

  it("a client without an origin is no browser, and is allowed", async () => {
    assert.equal((await wire.request(query)).status, 200);
    (await wire.websocket()).end();
  });

  it("* allows any", async () => {
    const open = await startGateway({ namespaces });
    const response = await new Wire(open).request(query, { headers: { origin: "http://any.example" } });
    assert.equal(response.status, 200);
    assert.ok(["*", "http://any.example"].includes(response.headers.get("access-control-allow-origin")));
    await open.stop();
  });
});

describe("the client's script", options, () => {
  it("is served from the folder given, with caching, and nothing else is", async () => {
    const gateway = await startGateway({ namespaces, public: { client_dir: clientDist } });
    for (const file of ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"]) {
      const response = await fetch(`${gateway.url}/socket.io/${file}`);
      assert.equal(response.status, 200, file);
      assert.match(response.headers.get("content-type"), /javascript/);
      assert.match(response.headers.get("cache-control"), /max-age|no-cache/);
      assert.ok((await response.text()).includes("Socket.IO"), file);
      const again = await fetch(`${gateway.url}/socket.io/${file}`, { headers: { "if-none-match": response.headers.get("etag") } });
      assert.equal(again.status, 304, file);
    }
    for (const path of ["nothing.js", "..%2fpackage.json", "%2e%2e/package.json", "..%2f..%2f..%2f..%2fetc%2fpasswd"]) {
      const response = await fetch(`${gateway.url}/socket.io/${path}`);
      assert.ok(response.status === 404 || response.status === 400, `${path}: ${response.status}`);
      assert.doesNotMatch(await response.text(), /"name": "socket.io-client"|root:/);
    }
    await gateway.stop();
  });

  it("is not served by default", async () => {
    const gateway = await startGateway({ namespaces });
    const response = await fetch(`${gateway.url}/socket.io/socket.io.js`);
    assert.ok(response.status === 404 || response.status === 400, `status ${response.status}`);
    await gateway.stop();
  });
});

describe("the drain", options, () => {
  it("is unready first, then closes all connections in the form from which clients return, and exits with 0", async () => {
    const gateway = await startGateway({ namespaces, drain: { ready_delay: "1s", spread: "200ms", deadline: "10s" } });
    const clients = await Promise.all(Object.values(transports).map((transport) => connect(gateway, { recovery: true, ...transport })));
    const reasons = Promise.all(clients.map(({ socket }) => next(socket, "disconnect")));
    gateway.child.kill("SIGTERM");
    await eventually(async () => (await gateway.call("GET", "/readyz")).status === 503, "/readyz to say no");
    assert.equal((await gateway.call("GET", "/healthz")).status, 200, "still healthy");
    assert.deepEqual(clients.map(({ socket }) => socket.connected), [true, true, true], "the balancer has time to notice");
    await gateway.publish("last words", []);
    for (const [[reason]] of [await reasons]) assert.match(reason, /^transport (close|error)$/);
    assert.ok(clients.every(({ socket }) => socket.active), "all will try to come back");
    for (const client of clients) assert.deepEqual(client.received, [["last words"]]);
    const how = await within(gateway.exited, "the process to end");
    assert.deepEqual(how, { code: 0, signal: null }, gateway.output.slice(-10).join("\n"));
    gateway.stopped = true;
    gateway.assertNoPanic();
  });

  it("ends at its deadline although a client does not read", async () => {
    const gateway = await startGateway({ namespaces, drain: { spread: "50ms", deadline: "500ms" } });
    const socket = await new Wire(gateway).websocket();
    socket.ws.pause();
    await new Wire(gateway).polling();
    await gateway.stop();
    socket.end();
  });

  it("clients move to the next gateway; across a restart in memory that is a new session, said so", async () => {
    const first = await startGateway({ namespaces });
    const client = new Client(first.url, { recovery: true });
    const { id } = await client.connected();
    await fence(first, client);
    await first.stop();
    const second = await startGateway({ namespaces, public: { listen: `127.0.0.1:${first.port}` } });
    const { recovered, id: now } = await client.connected();
    assert.equal(recovered, false);
    assert.notEqual(now, id);
    await fence(second, client);
    closeClients();
    await second.stop();
  });

  it("killed outright, likewise", async () => {
    const first = await startGateway({ namespaces });
    const client = new Client(first.url, { recovery: true });
    await client.connected();
    await fence(first, client);
    await first.kill();
    const second = await startGateway({ namespaces, public: { listen: `127.0.0.1:${first.port}` } });
    assert.equal((await client.connected()).recovered, false);
    await fence(second, client);
    assert.deepEqual(client.received.map(([event]) => event), ["fence", "fence"]);
    closeClients();
    await second.stop();
  });
});
