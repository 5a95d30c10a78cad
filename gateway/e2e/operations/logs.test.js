// What is logged: the life of each connection in one line, reasons by name, and never what is secret or whose.

import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { afterEach, describe, it } from "node:test";
import { SECRET, startBackend } from "../harness/backend.js";
import { Client, closeClients, connect } from "../harness/client.js";
import { startGateway } from "../harness/gateway.js";
import { openNamespace } from "../harness/rules.js";
import { Signer } from "../harness/tokens.js";
import { eventually } from "../harness/wait.js";

let backend;
afterEach(async () => {
  closeClients();
  await backend?.stop();
});

describe("the life of a connection is one line at debug", () => {
  it("as JSON, with how it ended", async () => {
    const gateway = await startGateway({ namespaces: [openNamespace("/", true)], log: { level: "info,carillon_gateway=debug" } });
    const [left, ended, polling, drained] = [await connect(gateway), await connect(gateway), await connect(gateway, { transports: ["polling"] }), await connect(gateway)];
    const engines = [left, ended, polling, drained].map(({ engine }) => engine.id);
    left.close();
    await gateway.ok("POST", "/v1/disconnect", { target: { sockets: [ended.id] }, close: true });
    polling.close();
    const lines = () => gateway.output.filter((line) => engines.some((id) => line.includes(id))).map((line) => JSON.parse(line));
    await eventually(() => lines().length === 3, "three lines");
    await gateway.stop();
    const expected = [["websocket", "client"], ["websocket", "backend"], ["polling", "client"], ["websocket", "draining"]];
    const found = engines.map((id) => lines().filter(({ connection }) => connection === id));
    assert.deepEqual(found.map((all) => all.map(({ transport, reason }) => [transport, reason])), expected.map((one) => [one]));
    for (const { message, level, client, protocol, namespaces, seconds } of found.flat())
      assert.deepEqual({ message, level, client, protocol, namespaces, young: seconds < 60 }, { message: "connection closed", level: "DEBUG", client: "127.0.0.1", protocol: "eio4", namespaces: namespaces === 0 ? 0 : 1, young: true });
    assert.equal(lines().length, engines.length);
  });

  it("and not at info", async () => {
    const gateway = await startGateway({ namespaces: [openNamespace("/", true)] });
    const client = await connect(gateway);
    const id = client.engine.id;
    client.close();
    await eventually(async () => (await gateway.metric("carillon_closes_total")) === 1, "the connection to be closed");
    await gateway.stop();
    assert.deepEqual(gateway.output.filter((line) => line.includes(id)), []);
  });
});

for (const format of ["json", "text"]) {
  it(`no token, key or payload is in ${format} at trace, of whichever part`, async () => {
    const marker = `payload-${randomUUID()}`;
    const [signer, key] = [new Signer("HS256"), `key-${randomUUID()}`];
    const good = { ack: [marker], emit: [{ target: "sender", event: "answered", args: [marker] }] };
    const bad = [{ ack: marker }, { [marker]: 1, emit: marker }, { emit: [{ event: "e", target: marker }] }, { emit: [{ event: "e", target: { [marker]: 1 } }] }, { join: [`${marker}\n`] }, { error: marker }, { status: 500, body: { marker } }];
    backend = await startBackend(({ args }) => bad[args[0]] ?? good);
    const events = [...openNamespace("/", true).events, { event: "ask", action: "upstream" }];
    const on_connect = { emit: [{ event: "welcome", args: [marker] }] };
    const gateway = await startGateway({
      log: { level: "trace", format },
      internal: { api_keys: [{ name: "backend", sha256: createHash("sha256").update(key).digest("hex"), scopes: ["publish", "manage", "read"] }] },
      upstream: backend.settings,
      namespaces: [{ ...openNamespace("/", true, { events, on_connect }), auth: { ...signer.settings, token: ["auth.token", "header", "cookie.auth"] } }],
    });
    gateway.headers = { authorization: `Bearer ${key}` };
    const tokens = [signer.token(), signer.token({ sub: "bob" }), signer.lasting(-10), new Signer("HS256").token()];
    for (const transports of [["websocket"], ["polling"]]) {
      const client = await connect(gateway, { transports, auth: { token: tokens[0] } });
      await client.emit("join", `room-${marker}`);
      await client.emit("say", `room-${marker}`, marker, Buffer.from(marker));
      assert.deepEqual(await client.emit("ask", marker), marker);
      for (const [n] of bad.entries()) assert.equal((await client.emit("ask", n)).ok, false);
      client.socket.emit("unknown", marker);
      await gateway.publish("news", [marker], { target: { rooms: [`room-${marker}`] } });
      await client.event("news");
      const headers = { cookie: `auth=${tokens[1]}`, authorization: `Bearer ${tokens[1]}` };
      await connect(gateway, { transports, extraHeaders: headers });
      for (const bad of tokens.slice(2)) await new Client(gateway.url, { transports, auth: { token: bad } }).attempt();
    }
    await gateway.call("POST", "/v1/publish", { target: marker, event: 1, args: [marker] });
    await gateway.call("POST", "/v1/publish", `{"${marker}`);
    await gateway.call("GET", "/v1/count", undefined, { authorization: `Bearer wrong-${key}` });
    closeClients();
    await gateway.stop();
    const secrets = { marker, key, signer: signer.secret, upstream: SECRET, ...Object.fromEntries(tokens.map((token, n) => [`token ${n}`, token.split(".")[2]])) };
    console.log(`${format}: ${gateway.output.length} lines at trace`);
    assert.ok(gateway.output.filter((line) => line.includes("connection closed")).length >= 8, "trace is on");
    for (const [what, secret] of Object.entries(secrets)) assert.deepEqual(gateway.output.filter((line) => line.includes(secret)).slice(0, 3), [], `the ${what} is logged`);
  });
}
