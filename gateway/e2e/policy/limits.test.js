// How much a client may send, by connection and by user, in events and in bytes. What is over is refused, and nothing is closed.

import assert from "node:assert/strict";
import { after, afterEach, before, it } from "node:test";
import { closeClients, connect, fence } from "../harness/client.js";
import { startGateway } from "../harness/gateway.js";
import { Signer } from "../harness/tokens.js";
import { eventually } from "../harness/wait.js";

const signer = new Signer("HS256");
const events = [{ event: "echo", action: "acknowledge", with: "received" }, { event: "say", action: "relay", to: "all", as: "said" }];
const namespace = (name, limits) => ({ name, auth: { ...signer.settings, token: ["auth.token"] }, limits, events });
// one event or some bytes a second come back; what may come at once is what is counted
const limited = {
  "/events": { events_per_second: 1, event_burst: 10 },
  "/bytes": { bytes_per_second: 100, byte_burst: 10_000 },
  "/user-events": { user_events_per_second: 1, user_event_burst: 10 },
  "/user-bytes": { user_bytes_per_second: 100, user_byte_burst: 10_000 },
  "/free": {},
};

let gateway;
before(async () => (gateway = await startGateway({ namespaces: Object.entries(limited).map(([name, limits]) => namespace(name, limits)) })));
after(() => gateway?.stop());
afterEach(closeClients);

const enter = (name, sub) => connect(gateway, { namespace: name, recovery: true, auth: { token: signer.token({ sub }) } });

/** Sends all at once: how many were refused, each with this code. */
async function refusals(clients, count, code, payload = "x") {
  const answers = await Promise.all(Array.from({ length: count }, (_, n) => clients[n % clients.length].emit("echo", payload)));
  const refused = answers.filter((answer) => answer?.ok === false);
  for (const { error } of refused) {
    assert.equal(error.code, code);
    assert.equal(typeof error.message, "string");
  }
  assert.equal(answers.filter((answer) => answer === payload).length, count - refused.length, "the others are answered");
  return refused.length;
}
const counted = () => gateway.metric("carillon_events_refused_total", 'reason="rate_limited"');
/** Of forty, ten and what came back meanwhile pass. */
const assertMost = (refused) => assert.ok(refused >= 20 && refused <= 30, `${refused} of 40 refused`);

it("events of a connection: one has its own limit, not its user's others", async () => {
  const [first, second] = [await enter("/events", "ann"), await enter("/events", "ann")];
  const before = await counted();
  const refused = await refusals([first], 40, "rate_limited");
  assertMost(refused);
  assert.equal((await counted()) - before, refused, "each is counted");
  assert.equal(await refusals([second], 5, "rate_limited"), 0);
  await eventually(async () => (await first.emit("echo", "again")) === "again", "what comes back with time");
  assert.equal(first.connects.entries.length, 1);
});

it("bytes of a connection: a large event uses up what small ones would not", async () => {
  const client = await enter("/bytes", "bob");
  const refused = await refusals([client], 40, "rate_limited", "x".repeat(1000));
  assert.ok(refused >= 28 && refused <= 32, `${refused} of 40 refused`);
  await eventually(async () => (await client.emit("echo", "small")) === "small", "what comes back with time");
});

it("events of a user, of all his connections together", async () => {
  const [mine, others] = [[await enter("/user-events", "carol"), await enter("/user-events", "carol")], [await enter("/user-events", "dora")]];
  assertMost(await refusals(mine, 40, "user_rate_limited"));
  assert.equal(await refusals(others, 5, "user_rate_limited"), 0);
  // a new connection brings nothing new
  const again = await enter("/user-events", "carol");
  assert.ok((await refusals([again], 10, "user_rate_limited")) >= 5);
});

it("bytes of a user, of all his connections together", async () => {
  const mine = [await enter("/user-bytes", "eve"), await enter("/user-bytes", "eve")];
  const refused = await refusals(mine, 40, "user_rate_limited", "x".repeat(1000));
  assert.ok(refused >= 28 && refused <= 32, `${refused} of 40 refused`);
});

it("what is refused goes nowhere, without an acknowledgement too", async () => {
  const [sender, listener] = [await enter("/events", "finn"), await enter("/events", "gus")];
  for (let n = 0; n < 40; n++) sender.socket.emit("say", n);
  await sender.emit("echo", "fence");
  await fence(gateway, listener, "/events");
  const heard = listener.all("said");
  assert.ok(heard.length >= 10 && heard.length <= 20, `${heard.length} of 40 heard`);
  assert.deepEqual(heard.slice(0, 10), Array.from({ length: 10 }, (_, n) => n), "the first ones");
});

it("where there is no limit, none is kept", async () => {
  assert.equal(await refusals([await enter("/free", "hal")], 500, "none", "x".repeat(1000)), 0);
});
