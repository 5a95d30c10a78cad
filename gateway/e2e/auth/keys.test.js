// Keys from a JWKS: by file, by URL, rotated, and when they cannot be had. A set is read again after ten seconds at the earliest.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client, closeClients } from "../harness/client.js";
import { startGateway, temporaryFolder } from "../harness/gateway.js";
import { KeyServer, Signer } from "../harness/tokens.js";
import { elapse, eventually } from "../harness/wait.js";

const AGAIN_MS = 10_000;
const es = (kid) => new Signer("ES256", { kid });
const [first, second] = [es("first"), es("second")];
const mixed = [new Signer("RS256", { kid: "a" }), es("b"), new Signer("EdDSA", { kid: "c" }), new Signer("PS384", { kid: "d" })];
const useless = [500, 404, "no JSON", '{"keys":5}', '{"keys":[]}', "x".repeat(3_000_000)];

const servers = {};
let gateway, started;
before(async () => {
  const file = join(temporaryFolder(), "jwks.json");
  writeFileSync(file, JSON.stringify({ keys: mixed.map(({ jwk }) => jwk) }));
  for (const name of ["asked", "rotated", "late", ...useless.map((_, n) => `broken-${n}`)]) servers[name] = await new KeyServer(first).start();
  servers.late.broken = 503;
  const auth = (name) => ({ method: "jwt", algorithms: ["ES256"], jwks_url: servers[name].url, jwks_refresh: name === "asked" ? "1h" : "10s" });
  gateway = await startGateway({
    namespaces: [
      { name: "/file", auth: { method: "jwt", algorithms: mixed.map(({ algorithm }) => algorithm), jwks_file: file } },
      ...Object.keys(servers).map((name) => ({ name: `/${name}`, auth: auth(name) })),
    ],
  });
  started = Date.now() + 1000; // it was read about then
});
after(async () => {
  for (const server of Object.values(servers)) server.close();
  await gateway?.stop();
});
afterEach(closeClients);

async function outcome(name, token) {
  const client = new Client(gateway.url, { namespace: `/${name}`, auth: { token }, reconnection: false });
  const how = await client.attempt();
  client.close();
  return how;
}

it("a file holds keys of several algorithms, told apart by kid", async () => {
  for (const signer of mixed) assert.equal(await outcome("file", signer.token()), "connected", signer.algorithm);
  assert.equal(await outcome("file", es("z").token()), "token_unknown_key");
  assert.equal(await outcome("file", mixed[0].token({}, { kid: "../../../dev/null" })), "token_unknown_key");
  assert.equal(await outcome("file", es("b").token()), "token_bad_signature");
  assert.equal(await outcome("file", mixed[0].token({}, { kid: "d" })), "token_wrong_algorithm", "a key is for its algorithm");
});

describe("a URL", () => {
  it("that cannot be read at the start lets nobody in until it can, and nobody is told to stay away", async () => {
    assert.equal(await outcome("late", first.token()), "closed");
    const waiting = new Client(gateway.url, { namespace: "/late", auth: { token: first.token() } });
    servers.late.broken = undefined;
    await waiting.connected();
  });

  it("gives its keys before anything has changed", async () => {
    for (const name of Object.keys(servers)) assert.equal(await outcome(name, first.token()), "connected", name);
    assert.equal(await outcome("rotated", second.token()), "token_unknown_key");
    servers.asked.signers = [first, second];
    servers.rotated.signers = [second];
    useless.forEach((answer, n) => (servers[`broken-${n}`].broken = answer));
  });

  it("is asked for a key that is not known, but not as often as somebody makes one up", async () => {
    await elapse(started + AGAIN_MS - Date.now());
    const asked = servers.asked.requests;
    assert.equal(await outcome("asked", second.token()), "connected", "rotated, and known at once");
    for (let n = 0; n < 30; n++) assert.equal(await outcome("asked", first.token({}, { kid: `made up ${n}` })), "token_unknown_key");
    const times = servers.asked.requests - asked;
    console.log(`keys: asked ${times} times for 31 unknown keys`);
    assert.ok(times >= 1 && times <= 2, `it was asked ${times} times`);
    assert.equal(await outcome("asked", first.token()), "connected", "the old key holds while it is there");
  });

  it("takes a key away", async () => {
    await eventually(async () => (await outcome("rotated", first.token())) === "token_unknown_key", "the old key to be gone");
    assert.equal(await outcome("rotated", second.token()), "connected");
  });

  it("that breaks leaves the keys that there were", async () => {
    for (const [n, answer] of useless.entries()) {
      const name = `broken-${n}`;
      await eventually(() => servers[name].requests >= 2, "it to be asked again");
      assert.equal(await outcome(name, first.token()), "connected", String(answer).slice(0, 20));
    }
  });
});
