// A server built on stock socketioxide beside two gateways: its adapter makes it one more node.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { closeClients, connect } from "../harness/client.js";
import { binary, startGateway } from "../harness/gateway.js";
import { Part } from "../harness/process.js";
import { startRedis } from "../harness/redis.js";
import { openNamespace } from "../harness/rules.js";
import { eventually, next } from "../harness/wait.js";

const example = process.env.CARILLON_E2E_SOCKETIOXIDE ?? join(dirname(binary), "examples/socketioxide-server");

let redis, gateways, backend;

class Backend {
  path = "/socket.io/";

  async start() {
    assert.ok(existsSync(example), `no example at ${example}: cargo build -p adapter-redis --features socketioxide --examples`);
    this.part = new Part(example, [], { env: { REDIS_URL: redis.url } });
    const line = await eventually(() => {
      this.part.assertAlive();
      return this.part.output.find((line) => line.startsWith("listening on "));
    }, "the socketioxide server to listen");
    this.url = `http://${line.split(" ").pop()}`;
    return this;
  }
}

before(async () => {
  redis = await startRedis();
  const config = { redis: { url: redis.url, unready_after: "2s" }, namespaces: [openNamespace("/", true), openNamespace("/plain", false)] };
  gateways = await Promise.all([startGateway(config), startGateway(config)]);
  backend = await new Backend().start();
});
after(async () => {
  await backend?.part.end();
  for (const gateway of gateways ?? []) await gateway.stop();
  await redis?.stop();
});
afterEach(closeClients);

/** A client on each gateway, and two on the socketioxide server; all in "news". */
async function clients(namespace = "/") {
  const recovery = namespace === "/";
  const own = () => connect(backend, { namespace });
  const all = await Promise.all([connect(gateways[0], { namespace, recovery, user: "g0" }), connect(gateways[1], { namespace, recovery, user: "g1" }), own(), own()]);
  for (const client of all.slice(2)) assert.equal(await client.emit("enter", "news"), "ok");
  return all;
}

const command = async (client, ...args) => assert.equal(await client.emit(...args), "ok");

/** How the gateways' API knows a socket. */
const idOf = (client) => (client.id.length === 20 ? client.id : `${client.id}----`);

/** Until each has all that was published before. */
async function settle(all, namespace = "/") {
  const mark = `mark ${Math.random()}`;
  for (const client of all) await gateways[0].publish(mark, [], { namespace, target: { sockets: [idOf(client)] } });
  for (const client of all) await client.event(mark);
}

/** How often each has got an event since it was last asked. */
async function got(all, event, namespace) {
  await settle(all, namespace);
  const counts = all.map((client) => client.all(event).length);
  for (const client of all) client.events.entries.length = 0;
  return counts;
}

const numbers = (count) => Array.from({ length: count }, (_, n) => n);

/** Received as [source, number], against what each source has sent. */
function tally(title, sent, received) {
  const seen = received.map(String);
  const lost = sent.filter((entry) => !seen.includes(String(entry))).length;
  const doubled = seen.length - new Set(seen).size;
  let reordered = 0;
  const last = new Map();
  for (const [source, number] of received) {
    if (number < (last.get(source) ?? -1)) reordered += 1;
    last.set(source, number);
  }
  console.log(`${title}: sent ${sent.length}, received ${received.length}, lost ${lost}, doubled ${doubled}, reordered ${reordered}`);
  assert.deepEqual({ received: received.length, lost, doubled, reordered }, { received: sent.length, lost: 0, doubled: 0, reordered: 0 });
}

const entries = (client) => client.events.entries.filter(({ event }) => ["own", "g0", "g1"].includes(event)).map(({ event, args }) => [event, args[0]]);

describe("what the socketioxide server emits", () => {
  it("reaches members on gateways and its own, in one order with what gateways publish", async () => {
    const all = await clients();
    const count = 200;
    await Promise.all([
      command(all[2], "emit many", { rooms: ["news"] }, "own", count),
      ...gateways.map(async (gateway, index) => {
        for (const number of numbers(count / 2)) await gateway.room("news", `g${index}`, number);
      }),
    ]);
    await settle(all);
    const sent = [["own", count], ["g0", count / 2], ["g1", count / 2]].flatMap(([source, many]) => numbers(many).map((number) => [source, number]));
    for (const [index, title] of ["gateway 1", "gateway 2", "socketioxide", "socketioxide"].entries()) {
      tally(`order, a client on ${title}`, sent, entries(all[index]));
      assert.deepEqual(entries(all[index]), entries(all[0]), "another order than on gateway 1");
    }
    assert.deepEqual(all.map((client) => client.events.entries.find(({ event }) => event === "own").args), Array(4).fill([0, "多"]), "no offset, no other argument");
  });

  it("is recovered by a client that was cut from its gateway, exactly", async () => {
    const [cut, stays, own] = await clients();
    await command(own, "emit many", { rooms: ["news"] }, "own", 1);
    await settle([cut, stays]);
    cut.events.entries.length = 0;
    const { id } = cut;
    await cut.cut();
    const sent = [];
    for (const round of numbers(10)) {
      await command(own, "emit", { rooms: ["news"] }, "own", round);
      await gateways[1].room("news", "g1", round);
      await command(own, "emit", { rooms: ["user:g0", "nobody"] }, "own", `to the user ${round}`);
      sent.push(["own", round], ["g1", round], ["own", `to the user ${round}`]);
      await command(own, "emit", { rooms: ["news"], except: ["user:g0"] }, "own", "not for g0");
      await command(own, "emit volatile", { rooms: ["news"] }, "own", "volatile");
    }
    const { recovered } = await cut.back();
    assert.equal(recovered, true);
    assert.equal(cut.id, id);
    await settle([cut]);
    console.log(`recovery: missed ${sent.length}, replayed ${entries(cut).length}, recovered ${recovered}`);
    assert.deepEqual(entries(cut), sent);
  });

  it("goes to exactly those meant", async () => {
    const all = await clients();
    const [g0, g1, , own] = all;
    await g0.emit("join", "red");
    await own.emit("enter", "red");
    await own.emit("enter", "user:o");
    const table = [
      ["all", {}, [1, 1, 1, 1]],
      ["a room", { rooms: ["red"] }, [1, 0, 0, 1]],
      ["two rooms", { rooms: ["red", "news"] }, [1, 1, 1, 1]],
      ["a user on a gateway", { rooms: ["user:g1"] }, [0, 1, 0, 0]],
      ["an own user", { rooms: ["user:o"] }, [0, 0, 0, 1]],
      ["a socket on a gateway", { rooms: [`socket:${g1.id}`] }, [0, 1, 0, 0]],
      ["an own socket", { rooms: [`socket:${own.id}`] }, [0, 0, 0, 1]],
      ["a room and an own socket in it", { rooms: ["red", `socket:${own.id}`] }, [1, 0, 0, 1]],
      ["all but a room", { except: ["red"] }, [0, 1, 1, 0]],
      ["a room but a user", { rooms: ["news"], except: ["user:g0"] }, [0, 1, 1, 1]],
      ["a room but sockets", { rooms: ["news"], except: [`socket:${g0.id}`, `socket:${own.id}`] }, [0, 1, 1, 0]],
      ["others", { others: true }, [1, 1, 0, 1]],
      ["others in a room", { others: true, rooms: ["news"] }, [1, 1, 0, 1]],
      ["others in a room but an own socket", { others: true, rooms: ["news"], except: [`socket:${own.id}`] }, [1, 1, 0, 0]],
      ["a room without members", { rooms: ["green"] }, [0, 0, 0, 0]],
    ];
    for (const [title, target, expected] of table) {
      await command(all[2], "emit", target, "meant", 1);
      assert.deepEqual(await got(all, "meant"), expected, title);
    }
    console.log(`targets: ${table.length} emits to 4 clients on 3 nodes, as expected`);
  });

  it("may be binary, volatile, and to a namespace without recovery", async () => {
    const all = await clients();
    const data = Buffer.from([0, 1, 0xff]);
    await command(all[2], "emit file", { rooms: ["news"] }, "file", { name: "声.bin", data });
    for (const client of all) assert.deepEqual((await client.event("file")).args, [{ name: "声.bin", data }]);
    await command(all[2], "emit volatile", { rooms: ["news"] }, "volatile", 1);
    assert.deepEqual(await got(all, "volatile"), [1, 1, 1, 1]);

    const plain = await clients("/plain");
    await command(plain[2], "emit", { rooms: ["news"] }, "plain", 1);
    await settle(plain, "/plain");
    for (const client of plain) assert.deepEqual(client.received.filter(([event]) => event === "plain"), [["plain", 1]]);
    assert.deepEqual(await got(all, "plain"), [0, 0, 0, 0]);
  });

  it("to a room that no node knows is an error that says so", async () => {
    const [, , own] = await clients();
    const refused = (room) => own.emit("emit", { rooms: [room] }, "never", 1);
    assert.match((await refused("a\nb")).error, /control characters/);
    assert.match((await refused("x".repeat(257))).error, /at most 256 bytes/);
    assert.match((await refused("socket:short")).error, /the id of a socket/);
  });
});

describe("what gateways publish", () => {
  it("reaches exactly those meant on the socketioxide server", async () => {
    const all = await clients();
    const [g0, , , own] = all;
    await own.emit("enter", "user:o");
    await own.emit("enter", "red");
    const table = [
      ["all", {}, [1, 1, 1, 1]],
      [{ rooms: ["news"] }, {}, [1, 1, 1, 1]],
      [{ users: ["o"] }, {}, [0, 0, 0, 1]],
      [{ rooms: ["user:o"] }, {}, [0, 0, 0, 0]],
      [{ rooms: [`socket:${own.id}`] }, {}, [0, 0, 0, 0]],
      [{ sockets: [idOf(own)] }, {}, [0, 0, 0, 1]],
      [{ rooms: ["news"], sockets: [idOf(own)], users: ["o"] }, {}, [1, 1, 1, 1]],
      ["all", { sockets: [idOf(own), g0.id] }, [0, 1, 1, 0]],
      ["all", { rooms: ["red"], sockets: [idOf(all[2])] }, [1, 1, 0, 0]],
      [{ rooms: ["news"] }, { rooms: ["red"] }, [1, 1, 1, 0]],
    ];
    for (const [index, gateway] of gateways.entries()) {
      for (const [target, except, expected] of table) {
        await gateway.publish("meant", [1], { target, except });
        assert.deepEqual(await got(all, "meant"), expected, `${JSON.stringify(target)} except ${JSON.stringify(except)}, by gateway ${index + 1}`);
      }
    }
    console.log(`targets: ${2 * table.length} publishes to 4 clients on 3 nodes, as expected`);
  });

  it("may be binary and in any script", async () => {
    const [, , own] = await clients();
    await gateways[0].publish("数据", ["é", { file: { $binary: "AAH/" } }, 1.5], { target: { rooms: ["news"] } });
    const { args } = await own.event("数据");
    assert.deepEqual(args, ["é", { file: Buffer.from([0, 1, 0xff]) }, 1.5]);
  });

  it("is relayed for clients of gateways, who cannot name users or sockets", async () => {
    const [g0, , own, other] = await clients();
    await other.emit("enter", "user:o");
    g0.socket.emit("say", "news", "hello");
    assert.deepEqual((await own.event("said")).args, ["news", "hello"]);
    await settle([other]);
    other.events.entries.length = 0;
    g0.socket.emit("say", "user:o", "hidden");
    g0.socket.emit("say", `socket:${other.id}`, "hidden");
    await g0.emit("join", "red");
    await settle([other]);
    assert.deepEqual(other.all("said"), []);
  });
});

describe("acknowledgements", () => {
  it("are collected over gateways and the socketioxide server, whoever asks", async () => {
    const all = await clients();
    const data = Buffer.from([7]);
    all.forEach((client, index) => client.socket.on("ask", (question, acknowledge) => acknowledge(index === 0 ? { data } : `${question} ${index}`)));
    const answer = await gateways[1].publish("ask", ["yes"], { ack: { timeout_ms: 10_000 } });
    assert.deepEqual([answer.expected, answer.complete], [4, true]);
    const expected = [[{ data: { $binary: "Bw==" } }], ["yes 1"], ["yes 2"], ["yes 3"]];
    assert.deepEqual(Object.fromEntries(answer.acks.map(({ socket, args }) => [socket, args])), Object.fromEntries(all.map((client, index) => [idOf(client), expected[index]])));

    const answers = await all[2].emit("ask", { rooms: ["news"], except: ["user:g0"] }, "ask", "why");
    assert.deepEqual(Object.fromEntries(answers), Object.fromEntries([1, 2, 3].map((index) => [all[index].id.slice(0, 16), `why ${index}`])));
  });

  it("one that is missing on the socketioxide server is said to be", async () => {
    const all = await clients();
    all.slice(0, 3).forEach((client) => client.socket.on("ask", (acknowledge) => acknowledge("yes")));
    const answer = await gateways[0].publish("ask", [], { ack: { timeout_ms: 1000 } });
    assert.deepEqual([answer.expected, answer.acks.length, answer.complete], [4, 3, false]);
  });
});

describe("operations", () => {
  it("of a gateway concern sockets of the socketioxide server", async () => {
    const all = await clients();
    const own = all[3];
    const target = { sockets: [idOf(own)] };
    assert.deepEqual(await gateways[0].ok("POST", "/v1/join", { namespace: "/", target, rooms: ["red"] }), { sockets: 1 });
    await gateways[1].room("red", "meant", 1);
    assert.deepEqual(await got(all, "meant"), [0, 0, 0, 1]);
    const { sockets, partial } = await gateways[1].ok("GET", "/v1/sockets?namespace=/&room=news");
    assert.equal(partial, false);
    assert.deepEqual(sockets.map(({ id }) => id).sort(), all.map(idOf).sort());
    assert.equal(await gateways[1].count("namespace=/&room=red"), 1);
    assert.deepEqual(await gateways[0].ok("POST", "/v1/leave", { namespace: "/", target: { rooms: ["red"] }, rooms: ["red"] }), { sockets: 1 });
    assert.equal(await gateways[1].count("namespace=/&room=red"), 0);
    const left = next(own.socket, "disconnect");
    assert.deepEqual(await gateways[0].ok("POST", "/v1/disconnect", { namespace: "/", target }), { sockets: 1 });
    assert.equal((await left)[0], "io server disconnect");
  });

  it("of the socketioxide server concern sockets of gateways", async () => {
    const all = await clients();
    const [g0, g1, own, other] = all;
    const list = async (target) => (await own.emit("list", target)).sort();
    const ids = (...some) => some.map(({ id }) => id.slice(0, 16)).sort();
    assert.deepEqual(await list({ rooms: ["news"] }), ids(...all));
    assert.deepEqual(await list({ rooms: ["news"], except: ["user:g1"], others: true }), ids(g0, other));
    await command(own, "tell each", { rooms: ["news"] }, "each", 1);
    await settle(all);
    assert.deepEqual(await got(all, "each"), [1, 1, 1, 1]);

    await command(own, "join", { rooms: ["news"], except: ["user:g0"] }, "red");
    await gateways[0].room("red", "meant", 1);
    assert.deepEqual(await got(all, "meant"), [0, 1, 1, 1]);
    await command(own, "leave", { rooms: ["user:g1"] }, "red");
    assert.deepEqual(await list({ rooms: ["red"] }), ids(own, other));

    const left = next(g1.socket, "disconnect");
    await command(own, "end", { rooms: ["user:g1"] });
    assert.equal((await left)[0], "io server disconnect");
    assert.deepEqual(await list({ rooms: ["news"] }), ids(g0, own, other));
  });

  it("of the socketioxide server concern clients that are away", async () => {
    const [g0, , own] = await clients();
    await g0.cut();
    await command(own, "join", { rooms: ["user:g0"] }, "blue");
    await command(own, "emit", { rooms: ["blue"] }, "own", 1);
    assert.equal((await g0.back()).recovered, true);
    await settle([g0]);
    assert.deepEqual(entries(g0), [["own", 1]]);
  });
});

describe("the socketioxide server", () => {
  it("has namespaces with parameters", async () => {
    const [one, same] = [await connect(backend, { namespace: "/of/one" }), await connect(backend, { namespace: "/of/one" })];
    const other = await connect(backend, { namespace: "/of/another" });
    await command(one, "emit", {}, "own", 1);
    await command(other, "emit", {}, "own", 2);
    for (const client of [one, same, other]) await client.event("own");
    assert.deepEqual([one, same, other].map((client) => client.all("own")), [[1], [1], [2]]);
  });

  it("says that Redis is away, and is part of the cluster again when it is back", async () => {
    const all = await clients("/plain");
    redis.pause();
    const refused = await all[2].emit("emit", { rooms: ["news"] }, "lost", 1).finally(() => redis.resume());
    assert.match(refused.error, /unknown|unavailable/);
    await redis.restartEmpty();
    // what is emitted before the server hears again is missed by its own sockets
    await eventually(async () => {
      const accepted = (await all[2].emit("emit", { rooms: ["news"] }, "again", 1)) === "ok";
      return accepted && all.every((client) => client.all("again").length > 0);
    }, "an emit to be accepted, and to come to all");
    await eventually(async () => {
      const answer = await gateways[0].call("POST", "/v1/publish", { namespace: "/plain", target: "all", event: "back", args: [] });
      return answer.status === 200 && all[2].all("back").length > 0;
    }, "a publish to come");
  });

  it("is listed among the nodes, and leaves when it ends", async () => {
    const nodes = () => redis.command("HLEN", "{carillon}:nodes");
    await eventually(async () => (await nodes()) === "3", "three nodes");
    const another = await new Backend().start();
    assert.equal(await nodes(), "4");
    await another.part.end();
    assert.deepEqual(await another.part.exited, { code: 0, signal: null }, another.part.output.join("\n"));
    assert.equal(await nodes(), "3");
  });
});
