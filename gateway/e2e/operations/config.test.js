// Configuration as an operator meets it: what is wrong is refused, and said helpfully.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runCarillon, reference, startGateway } from "../harness/gateway.js";
import { openNamespace } from "../harness/rules.js";

const options = { skip: reference && "about the gateway's own command line" };
const key = { name: "backend", sha256: "0".repeat(64), scopes: ["publish"] };

describe("check-config", options, () => {
  const check = (text, env) => runCarillon(["check-config", "--config", "FILE"], { text, env });

  it("accepts an empty file, and a full one", async () => {
    for (const text of ["", '[public]\nlisten = "127.0.0.1:8080"\n[engine]\nping_interval = "300ms"\n[[namespaces]]\nname = "/"\nrecovery = true\n']) {
      const { code, output } = await check(text);
      assert.equal(code, 0, output);
    }
  });

  const wrong = [
    ["an unknown key", '[engine]\nping_intervall = "25s"', [/ping_intervall/, /ping_interval\b/]],
    ["an unknown section", "[recover]\nwindow = '2m'", [/recover/, /recovery/]],
    ["an unknown key in a namespace", '[[namespaces]]\nname = "/"\nrecoverey = true', [/recoverey/, /recovery\b/]],
    ["an unknown key in a rule", '[[namespaces]]\nname = "/"\n[[namespaces.events]]\nevent = "x"\naction = "join"\nrom = "a"', [/rom/, /room/]],
    ["an unknown action", '[[namespaces]]\nname = "/"\n[[namespaces.events]]\nevent = "x"\naction = "jion"', [/jion/, /join/]],
    ["a duration without a unit", "[engine]\nping_interval = 25", [/ping_interval/]],
    ["a duration of another unit", '[engine]\nping_interval = "25 parsecs"', [/ping_interval|25 parsecs/]],
    ["an address that is none", '[public]\nlisten = "nowhere"', [/listen|nowhere/]],
    ["an unknown transport", '[public]\ntransports = ["carrier-pigeon"]', [/carrier-pigeon/]],
    ["two namespaces of one name", '[[namespaces]]\nname = "/"\n[[namespaces]]\nname = "/"', [/namespace/]],
    ["a namespace without its slash", '[[namespaces]]\nname = "chat"', [/chat/]],
    ["a template that is not closed", '[[namespaces]]\nname = "/"\n[namespaces.on_connect]\njoin = ["user:{auth.user"]', [/auth\.user/]],
    ["a template of an unknown source", '[[namespaces]]\nname = "/"\n[namespaces.on_connect]\njoin = ["user:{autj.user}"]', [/autj/]],
    ["an API key whose hash is no hash", '[[internal.api_keys]]\nname = "b"\nsha256 = "zz"\nscopes = ["publish"]', [/sha256/]],
    ["an unknown scope", `[[internal.api_keys]]\nname = "b"\nsha256 = "${key.sha256}"\nscopes = ["pubish"]`, [/pubish/, /publish/]],
    ["the internal listener beyond loopback without keys", '[internal]\nlisten = "0.0.0.0:9100"', [/api_keys/]],
    ["no TOML", "[[[", [/./]],
  ];
  for (const [title, text, said] of wrong) {
    it(`refuses ${title}`, async () => {
      const { code, output } = await check(`${text}\n`);
      assert.notEqual(code, 0, output);
      for (const pattern of said) assert.match(output, pattern);
      assert.doesNotMatch(output, /panicked/);
    });
  }

  it("refuses an unknown key from the environment", async () => {
    const { code, output } = await check("", { CARILLON_PUBLIC__LISTN: "127.0.0.1:0" });
    assert.notEqual(code, 0, output);
    assert.match(output, /listn/i);
    assert.match(output, /listen/i);
  });

  it("refuses a file that is not there", async () => {
    const { code, output } = await runCarillon(["check-config", "--config", "/nowhere/carillon.toml"], {});
    assert.notEqual(code, 0);
    assert.match(output, /nowhere/);
  });
});

describe("serve", options, () => {
  it("takes its settings from the environment before those of the file", async () => {
    const env = { CARILLON_ENGINE__PING_INTERVAL: "1234ms", CARILLON_ENGINE__MAX_PAYLOAD: "4321" };
    const gateway = await startGateway({ engine: { ping_interval: "5s" } }, { env });
    const handshake = JSON.parse((await (await fetch(`${gateway.url}/socket.io/?EIO=4&transport=polling`)).text()).slice(1));
    assert.deepEqual([handshake.pingInterval, handshake.maxPayload], [1234, 4321]);
    await gateway.stop();
  });

  it("does not start with an unknown key, nor beyond loopback without an API key", async () => {
    for (const text of ["[pubic]\n", '[public]\nlisten = "127.0.0.1:0"\n[internal]\nlisten = "0.0.0.0:0"\n']) {
      const { code, output } = await runCarillon(["serve", "--config", "FILE"], { text });
      assert.notEqual(code, 0, output);
      assert.doesNotMatch(output, /"ready"/);
      assert.doesNotMatch(output, /panicked/);
    }
  });

  it("starts beyond loopback with an API key", async () => {
    const gateway = await startGateway({ internal: { listen: "0.0.0.0:0", api_keys: [key] }, namespaces: [openNamespace("/", true)] });
    assert.equal((await gateway.call("GET", "/v1/count")).status, 401);
    await gateway.stop();
  });

  it("says that a port is taken, and ends", async () => {
    const first = await startGateway();
    const { code, output } = await runCarillon(["serve", "--config", "FILE"], { config: { public: { listen: `127.0.0.1:${first.port}` }, internal: { listen: "127.0.0.1:0" } } });
    assert.notEqual(code, 0);
    assert.match(output, new RegExp(String(first.port)));
    assert.doesNotMatch(output, /panicked/);
    await first.stop();
  });
});

describe("the command line", options, () => {
  it("explains itself", async () => {
    const { code, output } = await runCarillon(["--help"]);
    assert.equal(code, 0);
    for (const command of ["serve", "check-config", "config-docs", "publish", "token"]) assert.match(output, new RegExp(`^\\s+${command}\\b`, "m"));
  });

  it("prints the reference of its configuration", async () => {
    const { code, output } = await runCarillon(["config-docs"]);
    assert.equal(code, 0);
    const keys = ["workers", "demo", "listen", "transports", "allowed_origins", "trusted_proxies", "client_dir", "ping_interval", "max_payload", "max_connections", "outbound_queue", "api_keys", "window", "max_entries_per_room", "replay_max_bytes", "ready_delay", "level", "namespaces", "on_connect"];
    for (const name of keys) assert.match(output, new RegExp(`\\b${name}\\b`));
  });

  it("refuses an unknown command", async () => {
    assert.notEqual((await runCarillon(["sevre"])).code, 0);
  });
});
