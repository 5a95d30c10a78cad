// Rooms, users and sockets as targets; join and leave by the client and by the backend; what the publish API answers.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { closeClients, connect, fence, transports } from "../harness/client.js";
import { beyondReference, startGateway } from "../harness/gateway.js";
import { openNamespace } from "../harness/rules.js";
import { eventually, next } from "../harness/wait.js";

let gateway;
before(async () => {
  gateway = await startGateway({ namespaces: [openNamespace("/", true), openNamespace("/plain", false)] });
});
after(() => gateway.stop());
afterEach(closeClients);

const join = (options) => connect(gateway, { recovery: true, ...options });

/** Publishes, and says which of the clients got it. */
async function reached(clients, options) {
  const answer = await gateway.publish("reach", [], options);
  for (const client of clients) await fence(gateway, client);
  const got = clients.map((client) => client.all("reach").length);
  for (const client of clients) client.events.entries.length = 0;
  return { got, answer };
}

describe("targets", () => {
  it("every kind of target reaches exactly those meant, and each once", async () => {
    const [a, b, c] = await Promise.all([join({ user: "ann" }), join({ user: "bob" }), join({ user: "bob", ...transports.polling })]);
    await Promise.all([a.emit("join", "red"), b.emit("join", "red"), b.emit("join", "blue"), c.emit("join", "blue")]);
    const table = [
      ["all", "all", {}, [1, 1, 1]],
      ["a room from on_connect", { rooms: ["news"] }, {}, [1, 1, 1]],
      ["a room", { rooms: ["red"] }, {}, [1, 1, 0]],
      ["two rooms, with a member of both", { rooms: ["red", "blue"] }, {}, [1, 1, 1]],
      ["a room without members", { rooms: ["green"] }, {}, [0, 0, 0]],
      ["a user", { users: ["ann"] }, {}, [1, 0, 0]],
      ["a user with two sockets", { users: ["bob"] }, {}, [0, 1, 1]],
      ["a socket", { sockets: [c.id] }, {}, [0, 0, 1]],
      ["a room, a user and a socket at once", { rooms: ["red"], users: ["bob"], sockets: [b.id] }, {}, [1, 1, 1]],
      ["all but a room", "all", { rooms: ["red"] }, [0, 0, 1]],
      ["all but a socket", "all", { sockets: [a.id] }, [0, 1, 1]],
      ["a room but another room", { rooms: ["red"] }, { rooms: ["blue"] }, [1, 0, 0]],
      ["two rooms but a room and a socket", { rooms: ["red", "blue"] }, { rooms: ["green"], sockets: [b.id] }, [1, 0, 1]],
      ["an unknown socket", { sockets: ["A".repeat(20)] }, {}, [0, 0, 0]],
    ];
    for (const [title, target, except, expected] of table) {
      const { got, answer } = await reached([a, b, c], { target, except });
      assert.deepEqual(got, expected, title);
      assert.equal(answer.logged, true, title);
      assert.equal(answer.duplicate, false, title);
      assert.equal(typeof answer.id, "string", title);
    }
  });

  it("a client cannot name itself into the room of a user or of a socket", async () => {
    const [victim, thief] = await Promise.all([join({ user: "victim" }), join({ user: "thief" })]);
    for (const room of ["user:victim", victim.id, `socket:${victim.id}`, `room:${victim.id}`, "u:victim", "s:" + victim.id, "/", ""]) await thief.emit("join", room);
    for (const target of [{ users: ["victim"] }, { sockets: [victim.id] }]) {
      assert.deepEqual((await reached([victim, thief], { target })).got, [1, 0], JSON.stringify(target));
    }
  });

  it("namespaces do not share rooms", async () => {
    const [main, plain] = await Promise.all([join(), connect(gateway, { namespace: "/plain" })]);
    await Promise.all([main.emit("join", "shared"), plain.emit("join", "shared")]);
    await gateway.room("shared", "reach");
    await gateway.publish("only-plain", [], { namespace: "/plain", target: { rooms: ["shared"] } });
    await Promise.all([fence(gateway, main), fence(gateway, plain, "/plain")]);
    assert.deepEqual(main.received.map(([event]) => event), ["reach", "fence"]);
    assert.deepEqual(plain.received.map(([event]) => event), ["only-plain", "fence"]);
  });

  it("volatile reaches those connected, and says that it was not logged", async () => {
    const client = await join();
    await fence(gateway, client); // its connection is idle
    client.events.entries.length = 0;
    const { got, answer } = await reached([client], { volatile: true });
    assert.deepEqual(got, [1]);
    assert.equal(answer.logged, false);
  });
});

describe("join and leave", () => {
  for (const [transport, options] of Object.entries(transports)) {
    it(`${transport}: by the client, live when acknowledged`, async () => {
      const client = await join(options);
      const inRoom = async () => (await reached([client], { target: { rooms: ["lobby"] } })).got[0];
      assert.equal(await inRoom(), 0);
      assert.deepEqual(await client.emit("join", "lobby"), { ok: true });
      assert.equal(await inRoom(), 1);
      assert.deepEqual(await client.emit("join", "lobby"), { ok: true }, "twice is no error");
      assert.equal(await inRoom(), 1);
      assert.deepEqual(await client.emit("leave", "lobby"), { ok: true });
      assert.equal(await inRoom(), 0);
      assert.deepEqual(await client.emit("leave", "lobby"), { ok: true }, "twice is no error");
    });
  }

  it("by the backend, for a user, a socket, a room and all", async () => {
    const [a, b] = await Promise.all([join({ user: "carl" }), join({ user: "dora" })]);
    const inRoom = async (room) => (await reached([a, b], { target: { rooms: [room] } })).got;
    const steps = [
      ["join", { users: ["carl"] }, "one", 1, [1, 0]],
      ["join", { sockets: [b.id] }, "two", 1, [0, 1]],
      ["join", { rooms: ["one"] }, "two", 1, [1, 1]],
      ["leave", { rooms: ["two"] }, "two", 2, [0, 0]],
      ["join", "all", "three", 2, [1, 1]],
      ["leave", { users: ["dora"] }, "three", 1, [1, 0]],
    ];
    for (const [action, target, room, sockets, members] of steps) {
      const answer = await gateway.ok("POST", `/v1/${action}`, { namespace: "/", target, rooms: [room] });
      assert.equal(answer.sockets, sockets, `${action} ${room}`);
      assert.deepEqual(await inRoom(room), members, `${action} ${room}`);
    }
  });

  it("sockets and count list who is where", async () => {
    const [a, b] = await Promise.all([join({ user: "eve" }), join({ user: "fred" })]);
    await a.emit("join", "list");
    assert.equal(await gateway.count("namespace=/&room=list"), 1);
    assert.equal(await gateway.count("namespace=/&user=fred"), 1);
    assert.equal(await gateway.count("namespace=/"), 2);
    const { sockets, partial } = await gateway.ok("GET", "/v1/sockets?namespace=/&room=list");
    assert.equal(partial, false);
    assert.deepEqual(sockets.map(({ id, rooms, user }) => ({ id, rooms: rooms.sort(), user })), [{ id: a.id, rooms: ["list", "news"], user: "eve" }]);
    b.close();
    await eventually(async () => (await gateway.count("namespace=/")) === 1, "the other to be gone");
  });
});

describe("relay", () => {
  it("reaches the room, the sender too or not as the rule says", async () => {
    const [a, b] = await Promise.all([join(), join()]);
    await Promise.all([a.emit("join", "chat"), b.emit("join", "chat")]);
    a.socket.emit("say", "chat", "to all");
    a.socket.emit("tell", "chat", "to others");
    await b.event("told");
    await fence(gateway, a);
    assert.deepEqual(b.received, [["said", "chat", "to all"], ["told", "chat", "to others"]]);
    assert.deepEqual(a.received.slice(0, -1), [["said", "chat", "to all"]]);
  });

  it("ignore does nothing", async () => {
    const client = await join();
    client.socket.emit("hush", 1);
    assert.equal(await client.emit("answer"), 42);
    assert.deepEqual(client.received, []);
  });
});

describe("publish", () => {
  it("a batch answers per item and keeps the order", async () => {
    const client = await join();
    const items = Array.from({ length: 50 }, (_, n) => ({ namespace: "/", target: "all", event: "batch", args: [n] }));
    items.splice(10, 0, { namespace: "/none", target: "all", event: "batch" });
    items.splice(20, 0, { namespace: "/", event: "batch" });
    const { results } = await gateway.ok("POST", "/v1/publish/batch", { items });
    assert.equal(results.length, 52);
    assert.deepEqual([results[10].status, results[10].error.code], [404, "unknown_namespace"]);
    assert.deepEqual([results[20].status, results[20].error.code], [400, "invalid_request"]);
    const good = results.filter(({ status }) => status === 200);
    assert.equal(good.length, 50);
    assert.equal(new Set(good.map(({ id }) => id)).size, 50, "each its own id");
    await fence(gateway, client);
    assert.deepEqual(client.all("batch"), Array.from({ length: 50 }, (_, n) => n));
  });

  it("the same idempotency key publishes once, and another body under it is a conflict", async () => {
    const client = await join();
    const key = { "idempotency-key": "order-1" };
    const body = { namespace: "/", target: "all", event: "once", args: [1] };
    const first = await gateway.ok("POST", "/v1/publish", body, key);
    const second = await gateway.ok("POST", "/v1/publish", body, key);
    assert.equal(first.duplicate, false);
    assert.deepEqual(second, { ...first, duplicate: true });
    const conflict = await gateway.call("POST", "/v1/publish", { ...body, args: [2] }, key);
    assert.deepEqual([conflict.status, conflict.body.error.code], [409, "idempotency_conflict"]);
    const items = [1, 1].map(() => ({ ...body, event: "once-in-batch", idempotency_key: "order-2" }));
    const { results } = await gateway.ok("POST", "/v1/publish/batch", { items });
    assert.deepEqual(results.map(({ duplicate }) => duplicate), [false, true]);
    assert.equal(results[0].id, results[1].id);
    await fence(gateway, client);
    assert.deepEqual(client.all("once"), [1]);
    assert.deepEqual(client.all("once-in-batch"), [1]);
  });

  it("ten equal publishes at once under one key are one", async () => {
    const client = await join();
    const body = { namespace: "/", target: "all", event: "race", args: [1] };
    const answers = await Promise.all(Array.from({ length: 10 }, () => gateway.ok("POST", "/v1/publish", body, { "idempotency-key": "race" })));
    assert.equal(answers.filter(({ duplicate }) => !duplicate).length, 1);
    assert.equal(new Set(answers.map(({ id }) => id)).size, 1);
    await fence(gateway, client);
    assert.deepEqual(client.all("race"), [1]);
  });

  it("waits for acknowledgements only so long, and says what is missing", async () => {
    const [answering, silent] = await Promise.all([join({ user: "quick" }), join({ user: "slow" })]);
    answering.socket.on("ask", (acknowledge) => acknowledge("yes"));
    const answer = await gateway.publish("ask", [], { ack: { timeout_ms: 300 } });
    assert.deepEqual(answer.acks, [{ socket: answering.id, args: ["yes"] }]);
    assert.deepEqual([answer.expected, answer.complete, answer.logged], [2, false, false]);
    assert.deepEqual(silent.received, [["ask"]]);
  });

  it("nobody to acknowledge is complete at once", async () => {
    const answer = await gateway.publish("ask", [], { target: { rooms: ["empty"] }, ack: { timeout_ms: 60_000 } });
    assert.deepEqual(answer, { logged: false, expected: 0, acks: [], complete: true });
  });

  const invalid = [
    ["no event", { target: "all" }],
    ["no target", { event: "x" }],
    ["an empty target", { event: "x", target: {} }],
    ["an unknown kind of target", { event: "x", target: { everyone: true } }],
    ["a target of another word", { event: "x", target: "everyone" }],
    ["args that are no array", { event: "x", target: "all", args: "y" }],
    ["more than 100 rooms", { event: "x", target: { rooms: Array.from({ length: 101 }, (_, i) => `r${i}`) } }],
    ["an unknown field", { event: "x", target: "all", evnt: "y" }],
    ["binary that is not base64", { event: "x", target: "all", args: [{ $binary: "*" }] }],
    ["a reserved event name", { event: "connect", target: "all" }],
    ["volatile and acknowledgement with a negative timeout", { event: "x", target: "all", ack: { timeout_ms: -1 } }],
    ["no JSON", "{"],
    ["no object", "[]"],
  ];
  for (const [title, body] of invalid) {
    it(`refuses ${title}`, { skip: beyondReference("its API stand-in checks less") }, async () => {
      const answer = await gateway.call("POST", "/v1/publish", body);
      assert.equal(answer.status, 400, JSON.stringify(answer.body));
      assert.equal(answer.body.error.code, "invalid_request");
      assert.ok(answer.body.error.message.length > 0);
    });
  }

  it("refuses an unknown namespace with 404", async () => {
    const answer = await gateway.call("POST", "/v1/publish", { namespace: "/none", target: "all", event: "x" });
    assert.deepEqual([answer.status, answer.body.error.code], [404, "unknown_namespace"]);
  });
});

describe("disconnect", () => {
  for (const close of [false, true]) {
    it(`by the backend, close ${close}: the client is told and stays away`, async () => {
      const [gone, stays] = await Promise.all([join({ user: "gone" }), join({ user: "stays" })]);
      const left = next(gone.socket, "disconnect");
      assert.deepEqual(await gateway.ok("POST", "/v1/disconnect", { namespace: "/", target: { users: ["gone"] }, close }), { sockets: 1 });
      assert.equal((await left)[0], "io server disconnect");
      await fence(gateway, stays);
      assert.equal(gone.socket.active, false, "the stock client does not come back by itself");
      assert.equal(await gateway.count("namespace=/&user=gone"), 0);
    });
  }

  it("by the client: it is out of its rooms", async () => {
    const [gone, stays] = await Promise.all([join({ user: "left" }), join()]);
    await gone.emit("join", "exit");
    gone.socket.disconnect();
    await eventually(async () => (await gateway.count("namespace=/&user=left")) === 0, "it to be gone");
    assert.equal(await gateway.count("namespace=/&room=exit"), 0);
    await fence(gateway, stays);
  });
});
