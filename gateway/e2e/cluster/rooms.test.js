// Three nodes act as one: whoever publishes where, the members on every node get it once.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { closeClients, connect, fence, transports } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { openNamespace } from "../harness/rules.js";
import { eventually, next, within } from "../harness/wait.js";

let cluster;
before(async () => (cluster = await startCluster({ namespaces: [openNamespace("/", true), openNamespace("/plain", false)] })));
after(() => cluster?.stop());
afterEach(closeClients);

/** One client on each node, of users n0 to n2. */
const onEach = (options) => Promise.all(cluster.nodes.map((node, index) => connect(node, { recovery: true, user: `n${index}`, ...options })));

/** Publishes by this node, and says which of the clients got it how often. */
async function reached(publisher, clients, options) {
  const answer = await publisher.publish("reach", [], options);
  for (const client of clients) await fence(publisher, client);
  const got = clients.map((client) => client.all("reach").length);
  for (const client of clients) client.events.entries.length = 0;
  return { got, answer };
}

describe("publish", () => {
  it("by any node, to every kind of target, reaches exactly those meant on all nodes, each once", async () => {
    const clients = await onEach();
    const [a, b, c] = clients;
    await Promise.all([a.emit("join", "red"), b.emit("join", "red"), b.emit("join", "blue"), c.emit("join", "blue")]);
    const table = [
      ["all", "all", {}, [1, 1, 1]],
      ["a room from on_connect", { rooms: ["news"] }, {}, [1, 1, 1]],
      ["a room", { rooms: ["red"] }, {}, [1, 1, 0]],
      ["two rooms, with a member of both", { rooms: ["red", "blue"] }, {}, [1, 1, 1]],
      ["a room without members", { rooms: ["green"] }, {}, [0, 0, 0]],
      ["a user", { users: ["n2"] }, {}, [0, 0, 1]],
      ["a socket", { sockets: [b.id] }, {}, [0, 1, 0]],
      ["a room, a user and a socket at once", { rooms: ["red"], users: ["n1"], sockets: [b.id] }, {}, [1, 1, 0]],
      ["all but a room", "all", { rooms: ["red"] }, [0, 0, 1]],
      ["all but a socket", "all", { sockets: [a.id] }, [0, 1, 1]],
      ["a room but another room", { rooms: ["red"] }, { rooms: ["blue"] }, [1, 0, 0]],
      ["two rooms but a room and a socket", { rooms: ["red", "blue"] }, { rooms: ["green"], sockets: [b.id] }, [1, 0, 1]],
    ];
    let sent = 0, received = 0;
    for (const [index, publisher] of cluster.nodes.entries()) {
      for (const [title, target, except, expected] of table) {
        const { got, answer } = await reached(publisher, clients, { target, except });
        assert.deepEqual(got, expected, `${title}, by node ${index + 1}`);
        assert.deepEqual([answer.logged, answer.duplicate], [true, false], title);
        sent += 1;
        received += got.reduce((sum, n) => sum + n);
      }
    }
    console.log(`targets: sent ${sent} by 3 nodes, received ${received} by 3 clients on 3 nodes, as expected`);
  });

  it("volatile reaches those connected on all nodes, and is not logged", async () => {
    const clients = await onEach();
    for (const client of clients) await fence(cluster, client);
    for (const publisher of cluster.nodes) {
      const answer = await publisher.publish("volatile", [], { volatile: true });
      assert.equal(answer.logged, false);
    }
    for (const client of clients) await eventually(() => client.all("volatile").length === 3, "all three volatile events");
  });

  it("one order for all, whichever nodes publish", async () => {
    const clients = await onEach();
    const count = 60;
    const publishing = cluster.nodes.map(async (node, p) => {
      for (let n = 0; n < count; n++) await node.publish("order", [p * 1000 + n], { target: { rooms: ["news"] } });
    });
    await Promise.all(publishing);
    for (const client of clients) await fence(cluster, client);
    const views = clients.map((client) => client.all("order"));
    const disagreements = views.filter((view) => view.join() !== views[0].join()).length;
    const reordered = [0, 1, 2].flatMap((p) => views[0].filter((n) => Math.floor(n / 1000) === p)).filter((n, i, all) => i > 0 && n < all[i - 1]).length;
    console.log(`order: sent ${3 * count} by 3 nodes at once, received ${views.map(({ length }) => length)}, clients that saw another order ${disagreements}, reordered ${reordered}`);
    assert.deepEqual(views.map(({ length }) => length), [3 * count, 3 * count, 3 * count]);
    assert.deepEqual({ disagreements, reordered }, { disagreements: 0, reordered: 0 });
  });

  it("a batch keeps its order on all nodes", async () => {
    const clients = await onEach();
    const items = Array.from({ length: 200 }, (_, n) => ({ target: { rooms: ["news"] }, event: "batch", args: [n] }));
    const { results } = await cluster.ok("POST", "/v1/publish/batch", { items });
    assert.ok(results.every(({ status }) => status === 200));
    for (const client of clients) await fence(cluster, client);
    for (const client of clients) assert.deepEqual(client.all("batch"), items.map(({ args: [n] }) => n));
  });

  it("without recovery too", async () => {
    const clients = await Promise.all(cluster.nodes.map((node) => connect(node, { namespace: "/plain" })));
    await Promise.all(clients.map((client) => client.emit("join", "red")));
    for (const node of cluster.nodes) await node.publish("plain", [], { namespace: "/plain", target: { rooms: ["red"] } });
    for (const client of clients) await fence(cluster, client, "/plain");
    assert.deepEqual(clients.map((client) => client.all("plain").length), [3, 3, 3]);
  });

  it("a room after its last member left a node, and another came", async () => {
    const [a] = await onEach();
    for (let round = 0; round < 5; round++) {
      await a.emit("join", "now and then");
      assert.deepEqual((await reached(cluster.nodes[1], [a], { target: { rooms: ["now and then"] } })).got, [1], `round ${round}`);
      await a.emit("leave", "now and then");
      assert.deepEqual((await reached(cluster.nodes[2], [a], { target: { rooms: ["now and then"] } })).got, [0], `round ${round}`);
    }
  });
});

describe("acknowledgements", () => {
  it("are collected over all nodes", async () => {
    const clients = await onEach();
    clients.forEach((client, index) => client.socket.on("ask", (acknowledge) => acknowledge(`yes ${index}`)));
    for (const node of cluster.nodes) {
      const answer = await node.publish("ask", [], { ack: { timeout_ms: 10_000 } });
      assert.deepEqual([answer.expected, answer.complete, answer.logged], [3, true, false]);
      const answers = Object.fromEntries(answer.acks.map(({ socket, args }) => [socket, args]));
      assert.deepEqual(answers, Object.fromEntries(clients.map(({ id }, index) => [id, [`yes ${index}`]])));
    }
  });

  it("one that is missing on another node is said to be", async () => {
    const [quick, , silent] = await onEach();
    quick.socket.on("ask", (acknowledge) => acknowledge("yes"));
    const target = { users: ["n0", "n2"] };
    const answer = await cluster.nodes[1].publish("ask", [], { target, ack: { timeout_ms: 1000 } });
    assert.deepEqual(answer.acks, [{ socket: quick.id, args: ["yes"] }]);
    assert.deepEqual([answer.expected, answer.complete], [2, false]);
    assert.deepEqual(silent.received, [["ask"]]);
  });

  it("nobody to acknowledge is complete", async () => {
    await onEach();
    const answer = await cluster.publish("ask", [], { target: { rooms: ["empty"] }, ack: { timeout_ms: 10_000 } });
    assert.deepEqual(answer, { logged: false, expected: 0, acks: [], complete: true });
  });
});

describe("the backend", () => {
  it("joins and leaves sockets on other nodes", async () => {
    const clients = await onEach();
    const [a, b, c] = clients;
    const inRoom = async (room) => (await reached(cluster.next, clients, { target: { rooms: [room] } })).got;
    const steps = [
      ["join", { users: ["n0"] }, "one", 1, [1, 0, 0]],
      ["join", { sockets: [c.id] }, "two", 1, [0, 0, 1]],
      ["join", { rooms: ["one"] }, "two", 1, [1, 0, 1]],
      ["leave", { rooms: ["two"] }, "two", 2, [0, 0, 0]],
      ["join", "all", "three", 3, [1, 1, 1]],
      ["leave", { users: ["n1"] }, "three", 1, [1, 0, 1]],
      ["leave", { sockets: [a.id, b.id] }, "three", 2, [0, 0, 1]],
    ];
    for (const [action, target, room, sockets, members] of steps) {
      const answer = await cluster.ok("POST", `/v1/${action}`, { namespace: "/", target, rooms: [room] });
      assert.deepEqual(answer, { sockets }, `${action} ${room}`);
      assert.deepEqual(await inRoom(room), members, `${action} ${room}`);
    }
  });

  it("disconnects a user on another node, and the client stays away", async () => {
    const [gone, stays] = await onEach();
    const left = next(gone.socket, "disconnect");
    const answer = await cluster.nodes[2].ok("POST", "/v1/disconnect", { namespace: "/", target: { users: ["n0"] } });
    assert.deepEqual(answer, { sockets: 1 });
    assert.equal((await left)[0], "io server disconnect");
    await fence(cluster, stays);
    assert.equal(gone.socket.active, false);
    assert.equal(stays.socket.connected, true);
  });

  it("lists and counts over all nodes, whichever it asks", async () => {
    const clients = await onEach();
    await clients[1].emit("join", "list");
    for (const node of cluster.nodes) {
      assert.deepEqual(await node.ok("GET", "/v1/count?namespace=/&room=list"), { count: 1, partial: false });
      assert.deepEqual(await node.ok("GET", "/v1/count?namespace=/&user=n2"), { count: 1, partial: false });
      const { sockets, partial } = await node.ok("GET", "/v1/sockets?namespace=/&room=news");
      assert.equal(partial, false);
      const users = sockets.map(({ id, user }) => [id, user]).sort();
      assert.deepEqual(users, clients.map(({ id, user }) => [id, user]).sort());
    }
    clients[2].close();
    await eventually(async () => (await cluster.nodes[0].count("namespace=/&room=news")) === 2, "the third to be gone");
  });

  it("is told that a list is partial while a node does not answer", async () => {
    await onEach();
    const [asked, , silent] = cluster.nodes;
    silent.child.kill("SIGSTOP");
    try {
      const { count, partial } = await within(asked.ok("GET", "/v1/count?namespace=/&room=news"), "an answer without the third node");
      assert.deepEqual({ count, partial }, { count: 2, partial: true });
    } finally {
      silent.child.kill("SIGCONT");
    }
    await eventually(async () => !(await asked.ok("GET", "/v1/count?namespace=/&room=news")).partial, "the node to answer again");
  });
});

describe("relays of clients", () => {
  for (const [transport, options] of Object.entries(transports)) {
    it(`${transport}: reach the members on other nodes in order, the sender as the rule says`, async () => {
      const clients = await onEach(options);
      await Promise.all(clients.map((client) => client.emit("join", "chat")));
      for (let n = 0; n < 50; n++) clients[0].socket.emit("say", "chat", n);
      clients[0].socket.emit("tell", "chat", "to others");
      await Promise.all(clients.slice(1).map((client) => client.event("told")));
      for (const client of clients) await fence(cluster, client);
      const numbers = Array.from({ length: 50 }, (_, n) => n);
      for (const client of clients) assert.deepEqual(client.events.entries.filter(({ event }) => event === "said").map(({ args }) => args[1]), numbers);
      assert.deepEqual(clients.map((client) => client.all("told").length), [0, 1, 1]);
    });
  }
});

describe("idempotency keys", () => {
  const body = { namespace: "/", target: "all", event: "once", args: [1] };

  it("hold on all nodes: sent once, a duplicate elsewhere, another body is a conflict", async () => {
    const clients = await onEach();
    const key = { "idempotency-key": "order-1" };
    const [first, second, third] = cluster.nodes;
    const answer = await first.ok("POST", "/v1/publish", body, key);
    assert.equal(answer.duplicate, false);
    assert.deepEqual(await second.ok("POST", "/v1/publish", body, key), { ...answer, duplicate: true });
    const conflict = await third.call("POST", "/v1/publish", { ...body, args: [2] }, key);
    assert.deepEqual([conflict.status, conflict.body.error?.code], [409, "idempotency_conflict"]);
    for (const client of clients) await fence(cluster, client);
    assert.deepEqual(clients.map((client) => client.all("once")), [[1], [1], [1]]);
  });

  it("ten equal publishes at once over all nodes are one", async () => {
    const clients = await onEach();
    const answers = await Promise.all(Array.from({ length: 10 }, () => cluster.ok("POST", "/v1/publish", { ...body, event: "race" }, { "idempotency-key": "race" })));
    assert.equal(answers.filter(({ duplicate }) => !duplicate).length, 1);
    assert.equal(new Set(answers.map(({ id }) => id)).size, 1);
    for (const client of clients) await fence(cluster, client);
    assert.deepEqual(clients.map((client) => client.all("race")), [[1], [1], [1]]);
  });
});

describe("two clusters on one Redis", () => {
  it("with different prefixes do not hear each other", async () => {
    const other = await startCluster({ ...cluster.config, redis: { prefix: "other" } }, { url: cluster.redis.url, stop() {} });
    try {
      const [mine, theirs] = await Promise.all([connect(cluster, { recovery: true, user: "same" }), connect(other, { recovery: true, user: "same" })]);
      await Promise.all([mine.emit("join", "red"), theirs.emit("join", "red")]);
      for (const target of ["all", { rooms: ["red"] }, { users: ["same"] }]) {
        await cluster.publish("here", [], { target });
        await other.publish("there", [], { target });
      }
      await fence(cluster, mine);
      await fence(other, theirs);
      const kinds = ({ received }) => received.map(([event]) => event);
      assert.deepEqual(kinds(mine), ["here", "here", "here", "fence"]);
      assert.deepEqual(kinds(theirs), ["there", "there", "there", "fence"]);
      assert.deepEqual([await cluster.count("namespace=/&user=same"), await other.count("namespace=/&user=same")], [1, 1]);
      const key = { "idempotency-key": "shared" };
      const answers = [await cluster.ok("POST", "/v1/publish", { target: "all", event: "x" }, key), await other.ok("POST", "/v1/publish", { target: "all", event: "x" }, key)];
      assert.deepEqual(answers.map(({ duplicate }) => duplicate), [false, false]);
      const sid = mine.engine.id;
      const response = await fetch(`${other.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`);
      assert.equal(response.status, 400, "a session of the one is unknown to the other");
    } finally {
      closeClients();
      await other.stop();
    }
  });
});
