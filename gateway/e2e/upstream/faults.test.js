// Backends that are slow, die, answer garbage or too much: their clients get an error, and a thousand others are unharmed.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { startBackend } from "../harness/backend.js";
import { startBystanders } from "../harness/bystanders.js";
import { closeClients, connect } from "../harness/client.js";
import { startGateway } from "../harness/gateway.js";
import { elapse, eventually } from "../harness/wait.js";

const CLIENTS = 40;
const garbage = [
  ["no JSON", (response) => response.writeHead(200).end("oops")],
  ["half of one", (response) => response.writeHead(200).end('{"ack":[1')],
  ["a list", (response) => response.writeHead(200).end("[1]")],
  ["text", (response) => response.writeHead(200).end('"ok"')],
  ["fields of other types", (response) => response.writeHead(200).end('{"ack":{"0":1}}')],
  ["a room that cannot be", (response) => response.writeHead(200).end('{"join":[""]}')],
  ["an event that cannot be", (response) => response.writeHead(200).end('{"emit":[{"event":"disconnect"}]}')],
  ["a good emit beside a bad one", (response) => response.writeHead(200).end('{"emit":[{"event":"leaked"},{"event":5}]}')],
  ["no UTF-8", (response) => response.writeHead(200).end(Buffer.from([0xff, 0xfe, 0x22]))],
  ["nested too deep", (response) => response.writeHead(200).end(`{"ack":[${"[".repeat(5000)}${"]".repeat(5000)}]}`)],
];
const statuses = [400, 404, 500, 502, 503, 301];

/** Each has a backend of its own. What it answers to a client: the code of the error. */
const behaviours = {
  slow: async () => {
    await elapse(100);
    return { ack: ["late"] };
  },
  hanging: () => false,
  dying: (_, response) => response.destroy() && false,
  halving: (_, response) => {
    response.writeHead(200, { "content-length": "1000" });
    response.write('{"ack":[');
    setTimeout(() => response.destroy(), 5);
    return false;
  },
  dripping: (_, response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write(" "), 20);
    response.once("close", () => clearInterval(timer));
    return false;
  },
  flooding: (_, response) => {
    response.writeHead(200);
    const fill = () => {
      while (!response.destroyed && response.write("x".repeat(65_536)));
      if (!response.destroyed) response.once("drain", fill);
    };
    fill();
    return false;
  },
  announcing: (_, response) => response.writeHead(200, { "content-length": "1000000000" }).end("{}") && false,
  gibbering: ({ args: [n] }, response) => garbage[n % garbage.length][1](response) && false,
  refusing: ({ args: [n] }) => statuses[n % statuses.length],
};
const expected = {
  hanging: ["upstream_timeout"],
  dying: ["upstream_unavailable"],
  halving: ["upstream_unavailable", "upstream_bad_answer"],
  dripping: ["upstream_timeout"],
  flooding: ["upstream_bad_answer", "upstream_timeout"],
  announcing: ["upstream_bad_answer", "upstream_unavailable"],
  gibbering: ["upstream_bad_answer"],
  refusing: ["upstream_error"],
};

describe("backends that misbehave", () => {
  const backends = {};
  let gateway, bystanders;
  before(async () => {
    for (const [name, behave] of Object.entries(behaviours)) backends[name] = await startBackend(behave);
    backends.crowded = await startBackend(() => false);
    const events = [{ event: "ask", action: "upstream" }];
    gateway = await startGateway({
      upstream: { ...backends.slow.settings, timeout: "1s", max_answer: "64KiB", max_concurrent: 50, max_waiting: 30, failures: 1000, open_for: "300ms" },
      namespaces: [{ name: "/" }, ...Object.entries(backends).map(([name, { url }]) => ({ name: `/${name}`, upstream: { url }, events }))],
    });
    bystanders = await startBystanders(gateway);
  });
  after(async () => {
    bystanders?.close();
    await gateway?.stop();
    for (const backend of Object.values(backends)) await backend.stop();
  });
  afterEach(closeClients);

  const enter = (name, count = CLIENTS) => Promise.all(Array.from({ length: count }, () => connect(gateway, { namespace: `/${name}`, recovery: true })));
  const ask = (clients) => Promise.all(clients.map((client, n) => client.emit("ask", n)));
  const tally = (answers) => {
    const counts = {};
    for (const answer of answers) {
      const kind = answer?.error?.code ?? JSON.stringify(answer);
      counts[kind] = (counts[kind] ?? 0) + 1;
      if (answer?.error) assert.deepEqual([answer.ok, typeof answer.error.message], [false, "string"]);
    }
    return counts;
  };

  it("slowly: the answers come", async () => {
    const clients = await enter("slow");
    assert.deepEqual(tally(await ask(clients)), { '"late"': CLIENTS });
  });

  for (const [name, codes] of Object.entries(expected)) {
    it(`${name}: each client gets an error, and stays`, async () => {
      const clients = await enter(name);
      const counts = tally(await ask(clients));
      console.log(`${name}: ${JSON.stringify(counts)}`);
      for (const code of Object.keys(counts)) assert.ok(codes.includes(code), `${code} is none of ${codes}`);
      assert.ok(clients.every(({ socket, connects, received }) => socket.connected && connects.entries.length === 1 && received.length === 0), "nothing of such an answer is done");
      await eventually(() => backends[name].waiting === 0, "the connections to be given up");
    });
  }

  it("with all places taken: so many are sent, so many wait, the rest are refused at once", async () => {
    const clients = await enter("crowded", 100);
    const counts = tally(await ask(clients));
    console.log(`crowded: ${JSON.stringify(counts)}, ${backends.crowded.most} at once`);
    assert.deepEqual(counts, { upstream_timeout: 80, upstream_busy: 20 });
    assert.equal(backends.crowded.most, 50);
  });

  it("a thousand others have not noticed", async () => {
    await bystanders.more(10);
    await bystanders.finish("misbehaving backends");
  });
});

describe("the circuit", () => {
  let backend, gateway, bystanders;
  before(async () => {
    backend = await startBackend(() => ({ ack: ["alive"] }));
    gateway = await startGateway({
      upstream: { ...backend.settings, timeout: "1s", failures: 5, open_for: "300ms" },
      namespaces: [{ name: "/" }, { name: "/mortal", events: [{ event: "ask", action: "upstream" }] }],
    });
    bystanders = await startBystanders(gateway);
  });
  after(async () => {
    bystanders?.close();
    await gateway?.stop();
    await backend?.stop();
  });
  afterEach(closeClients);
  const open = () => gateway.metric("carillon_upstream_circuit_open");

  it("opens when the backend dies, closes when it lives again; no event is sent twice", async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => connect(gateway, { namespace: "/mortal", recovery: true })));
    const ask = () => Promise.all(clients.map((client) => client.emit("ask", "x")));
    assert.ok((await ask()).every((answer) => answer === "alive"));
    for (let round = 0; round < 3; round++) {
      const before = backend.calls.entries.length;
      await backend.die();
      for (const answer of await ask()) assert.equal(answer.error.code, "upstream_unavailable");
      await eventually(async () => (await open()) === 1, "the circuit to be open");
      assert.equal(backend.calls.entries.length, before);
      await backend.revive();
      await eventually(async () => (await clients[0].emit("ask", "x")) === "alive", "the backend to be asked again");
      await eventually(async () => (await open()) === 0, "the circuit to be closed");
      assert.ok((await ask()).every((answer) => answer === "alive"));
    }
    const ids = backend.of("event").map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length, "each event was sent once");
  });

  it("opens when the backend fails, and then leaves it alone", async () => {
    const client = await connect(gateway, { namespace: "/mortal", recovery: true });
    backend.answer = () => 500;
    const before = backend.calls.entries.length;
    const codes = [];
    for (let n = 0; n < 30; n++) codes.push((await client.emit("ask", n)).error.code);
    assert.deepEqual(codes.slice(0, 5), Array(5).fill("upstream_error"));
    assert.ok(codes.slice(5).includes("upstream_unavailable"));
    const sent = backend.calls.entries.length - before;
    assert.ok(sent < 15, `${sent} of 30 were sent`);
    backend.answer = () => ({ ack: ["alive"] });
    await eventually(async () => (await client.emit("ask", "x")) === "alive", "the backend to be asked again");
  });

  it("and a thousand others have not noticed", async () => {
    await bystanders.more(10);
    await bystanders.finish("a backend that dies three times");
  });
});
