// A run must notice what goes wrong. Clients are broken on purpose, and what k6 counts is held against what was broken; then
// things outside go wrong, and settings.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { startGateway, temporaryFolder } from "../../gateway/e2e/harness/gateway.js";
import { freePort } from "../../gateway/e2e/harness/ports.js";
import { eventually } from "../../gateway/e2e/harness/wait.js";
import { Signer } from "../../gateway/e2e/harness/tokens.js";
import { gatewaySettings, launch, secret, tell } from "./run.js";

const THRESHOLDS = 99; // k6's exit code for them
const ABORTED = 108; // and for a run that ended itself
const SCRIPT = 107; // and for a script that cannot begin
const short = { SOCKETS: 20, RAMP: "300ms", DURATION: "1200ms", RATE: 50, GRACE: "1s", DELAY: "200ms" };

const patient = { ...gatewaySettings, engine: {} }; // nobody goes away by himself

let gateway;
before(async () => (gateway = await startGateway(patient)));
after(() => gateway?.stop());

async function load(scenario, settings = {}, target = { url: gateway.url, nodes: [gateway] }) {
  const result = await launch(scenario, target, { ...short, ...settings });
  if (result.counts.sent !== undefined) tell(`${scenario} ${JSON.stringify(settings)}`, result);
  return result;
}

describe("clients broken on purpose", () => {
  for (const [fault, counter] of [["drop", "lost"], ["double", "duplicate"], ["swap", "out_of_order"]]) {
    for (const [scenario, more] of [["fanout", { VUS: 2 }], ["reconnect-storm", { CUT_EVERY: "1s" }], ["churn", { CHURN: 5 }]]) {
      it(`${fault}: ${scenario} counts these as ${counter}, and nothing else`, async () => {
        const { code, counts, failed } = await load(scenario, { ...more, FAULT: fault });
        assert.equal(code, THRESHOLDS);
        assert.ok(counts.faults > 0, "there were some");
        assert.deepEqual(failed, [counter]);
        // one that leaves, or has just come, may have dropped what it was not due
        const spare = fault === "drop" && scenario === "churn" ? 2 * (counts.connected - 20) : 0;
        assert.ok(counts[counter] <= counts.faults && counts[counter] >= counts.faults - spare, `${counts.faults} faults`);
      });
    }
  }

  it("forget: every reconnect begins a new session, and is counted as not recovered", async () => {
    const { code, counts, failed } = await load("reconnect-storm", { FAULT: "forget" });
    assert.equal(code, THRESHOLDS);
    assert.ok(failed.includes("not_recovered") && failed.includes("recovered"), failed.join());
    assert.ok(counts.not_recovered >= 20 && counts.recovered === 0);
    assert.equal(counts.lost, 0, "the clients were told");
  });

  it("forget: so many new sessions pass when they are allowed", async () => {
    const { failed } = await load("reconnect-storm", { FAULT: "forget", NEW_SESSIONS: 1000 });
    assert.deepEqual(failed, ["recovered", "replayed"]);
  });

  it("silent: a run without messages fails", async () => {
    const { code, failed } = await load("fanout", { FAULT: "silent" });
    assert.equal(code, THRESHOLDS);
    assert.deepEqual(failed, ["received", "sent"]);
  });
});

describe("what goes wrong outside", () => {
  it("nobody restarted a node", async () => {
    const { code, failed } = await load("rolling-restart");
    assert.equal(code, THRESHOLDS);
    assert.deepEqual(failed, ["reconnects", "recovered"]);
  });

  it("a node that lost its sessions", async () => {
    const [open, internal] = [await freePort(), await freePort()];
    const config = { ...patient, public: { listen: `127.0.0.1:${open}` }, internal: { listen: `127.0.0.1:${internal}` } };
    const first = await startGateway(config);
    const running = load("rolling-restart", { DURATION: "2m", GRACE: "10s" }, { url: first.url, nodes: [first] });
    const there = (gateway) => eventually(async () => (await gateway.count()) === 20, "all clients to be there");
    await there(first);
    await first.kill();
    const second = await startGateway(config);
    try {
      await there(second);
      await second.publish("load-end");
      const { code, counts, failed } = await running;
      assert.equal(code, THRESHOLDS);
      // what was under way when it was killed is published again, and may come twice
      assert.deepEqual(failed.filter((name) => name !== "duplicate"), ["not_recovered", "recovered"]);
      assert.deepEqual([counts.reconnects, counts.not_recovered, counts.lost], [20, 20, 0], "the clients were told");
    } finally {
      await second.stop();
    }
  });

  it("nobody listens", async () => {
    const { code, counts, failed } = await load("fanout", {}, { url: `http://127.0.0.1:${await freePort()}`, nodes: [gateway] });
    assert.equal(code, THRESHOLDS);
    assert.deepEqual(failed, ["connected", "received", "unconnected"]);
    assert.equal(counts.unconnected, 20);
    assert.ok(counts.connect_failed >= 20);
  });

  it("tokens that the gateway does not take", async () => {
    const { code, counts } = await load("personal", { NAMESPACE: "/tokens", JWT_SECRET: `not ${secret}` });
    assert.equal(code, THRESHOLDS);
    assert.deepEqual([counts.refused, counts.unconnected, counts.connected], [20, 20, 0]);
  });

  it("deliveries that take longer than allowed", async () => {
    const { code, failed } = await load("fanout", { DELIVERY_P99: "0ms" });
    assert.equal(code, THRESHOLDS);
    assert.deepEqual(failed, ["delivery"]);
  });

  it("a publish that is refused for good ends the run", async () => {
    const { code, output } = await load("fanout", { SIZE: 9_000_000 });
    assert.equal(code, ABORTED, output);
    assert.match(output, /publish: 413/);
  });

  it("fewer tokens than clients: the VU does not finish", async () => {
    const file = join(temporaryFolder(), "tokens");
    const signer = Object.assign(new Signer("HS256"), { secret });
    writeFileSync(file, [0, 1, 2].map((n) => `${signer.token({ sub: `user-${n}` })}\n`).join(""));
    const settings = { NAMESPACE: "/tokens", TOKENS: file };
    const few = await load("personal", settings);
    assert.equal(few.code, THRESHOLDS);
    assert.ok(few.failed.includes("finished"));
    assert.match(few.output, /TOKENS: 3 tokens are too few/);
    const enough = await load("personal", { ...settings, SOCKETS: 3 });
    assert.equal(enough.code, 0, enough.output);
    assert.equal(enough.counts.received, enough.counts.sent);
  });
});

describe("settings", () => {
  for (const [scenario, settings, message] of [
    ["fan-out", {}, /SCENARIO: expected one of connect-ramp, fanout, .* found "fan-out"/],
    ["fanout", { DURATION: "10" }, /DURATION: expected a duration such as .* found "10"/],
    ["fanout", { RATE: "many" }, /RATE: expected a number, found "many"/],
    ["fanout", { ROOMS: 2, JOINS: 3 }, /JOINS: a client cannot be in 3 of 2 rooms/],
    ["fanout", { FAULT: "drops" }, /FAULT: expected one of drop, .* found "drops"/],
    ["fanout", { SOCKETS: "1.5" }, /SOCKETS: expected 1, 2, 3, …, found "1.5"/],
    ["churn", { CHURN: "0" }, /CHURN: must be more than 0/],
    ["personal", { JWT_SECRET: secret, JWT_CLAIMS: "admin" }, /JWT_CLAIMS: expected a JSON object, found admin/],
    ["fanout", { SIZE: "-1" }, /SIZE: expected a number, found "-1"/],
    ["fanout", { JWT_SECRET: secret, JWT_ALGORITHM: "RS256" }, /JWT_ALGORITHM: expected one of HS256, HS384, HS512, found "RS256"/],
  ]) {
    it(`${scenario} ${JSON.stringify(settings)} is refused`, async () => {
      const { code, output } = await load(scenario, settings);
      assert.equal(code, SCRIPT, output);
      assert.match(output, message);
    });
  }
});
