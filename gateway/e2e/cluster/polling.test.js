// No affinity: long-polling, and its upgrade, through a balancer that sends each request to the next node.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { closeClients, connect, fence, msgpack, transports } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { openNamespace } from "../harness/rules.js";
import { eventually, next } from "../harness/wait.js";
import { Wire } from "../harness/wire.js";

let cluster;
before(async () => (cluster = await startCluster({ namespaces: [openNamespace("/", true)] })));
after(() => cluster?.stop());
afterEach(closeClients);

/** As they are when nobody sets them: polling first. */
const { polling, upgrade } = transports;
const parsers = { json: {}, msgpack: { parser: msgpack } };
const large = "名🔔".repeat(20_000);

for (const [title, options] of Object.entries({ polling, upgrade })) {
  for (const [parser, more] of Object.entries(parsers)) {
    describe(`${title} with ${parser} through round robin`, () => {
      const join = () => connect(cluster, { recovery: true, ...options, ...more });

      it("twelve clients: each receives all, in order, and is answered", async () => {
        const clients = await Promise.all(Array.from({ length: 12 }, join));
        for (let n = 0; n < 30; n++) await cluster.publish("n", [n, { $binary: "AQID" }], { target: { rooms: ["news"] } });
        const answers = await Promise.all(clients.map((client, index) => client.emit("message-with-ack", index, large, Buffer.from([index]))));
        assert.deepEqual(answers, clients.map((_, index) => index));
        for (const client of clients) await fence(cluster, client);
        const numbers = Array.from({ length: 30 }, (_, n) => n);
        const complete = clients.filter((client) => client.all("n").join() === numbers.join()).length;
        const owners = await Promise.all(clients.map(({ engine }) => cluster.ownerOf(engine.id)));
        const reconnects = clients.reduce((sum, { connects }) => sum + connects.entries.length - 1, 0);
        console.log(`${title} ${parser}: 12 clients on nodes ${owners.map((n) => n + 1)}, sent 30, complete and in order ${complete}, reconnects ${reconnects}`);
        assert.deepEqual({ complete, reconnects }, { complete: 12, reconnects: 0 });
        assert.equal(new Set(owners).size, 3, "the clients are on all nodes");
        assert.ok(clients.every(({ engine }) => engine.transport.name === (title === "polling" ? "polling" : "websocket")));
      });
    });
  }
}

describe("on the wire", () => {
  it("a session works by each of the nodes, and is unknown when it has ended", async () => {
    const [owner, second, third] = cluster.nodes;
    const session = await new Wire(owner).polling();
    for (const node of [second, third, owner]) {
      session.wire = new Wire(node);
      await session.send("40" + JSON.stringify({ user: "wire" }), "41");
      const answered = await session.receive(1);
      assert.match(answered[0], /^40\{/);
    }
    session.wire = new Wire(second);
    await session.send("1");
    await eventually(async () => {
      const response = await new Wire(third).request(session.query);
      return response.status === 400 && (await response.json()).code === 1;
    }, "the session to be unknown at another node");
  });

  it("a WebSocket upgrade by another node than the session's", async () => {
    const session = await new Wire(cluster.nodes[0]).polling();
    const socket = new Wire(cluster.nodes[1]).openWebSocket({ EIO: "4", transport: "websocket", sid: session.sid });
    await socket.opened;
    socket.send("2probe");
    assert.equal(await socket.take(), "3probe");
    socket.send("5");
    socket.send('40{"user":"upgraded"}');
    assert.match(await socket.take(), /^40\{/);
    await cluster.publish("x", [1], { target: { users: ["upgraded"] } });
    assert.match(await socket.take(), /^42\["x",1,/);
    socket.end();
    await eventually(async () => (await cluster.count("namespace=/&user=upgraded")) === 0, "the owner to notice the end");
  });

  for (const [title, sid] of [
    ["of a node that there is not", "A___AAAAAAAAAAAAAAAA"],
    ["that is too short", "A"],
    ["that is no id", "../../v1/publish"],
    ["that is very long", "A".repeat(4000)],
  ]) {
    it(`a session ${title} is unknown at once, by GET, POST and WebSocket`, async () => {
      for (const node of cluster.nodes) {
        const wire = new Wire(node);
        for (const init of [{}, { method: "POST", body: "3" }]) {
          const response = await wire.request({ EIO: "4", transport: "polling", sid }, init);
          assert.equal(response.status, 400);
          assert.deepEqual(await response.json(), { code: 1, message: "Session ID unknown" });
        }
        assert.equal(await wire.openWebSocket({ EIO: "4", transport: "websocket", sid }).closed(), 400);
      }
    });
  }
});

describe("a node is killed", () => {
  it("its polling session is unknown to the others, which say so, and the client recovers on one of them", async () => {
    const client = await connect({ url: cluster.url, path: cluster.path }, { recovery: true, ...polling });
    await fence(cluster, client);
    const { id } = client;
    const sid = client.engine.id;
    const owner = await cluster.ownerOf(sid);
    const survivors = [0, 1, 2].filter((index) => index !== owner).map((index) => cluster.nodes[index]);
    const left = next(client.socket, "disconnect");
    await cluster.nodes[owner].kill();
    for (let n = 0; n < 5; n++) await cluster.publish("n", [n], { target: { users: [client.user] } });
    await left;
    const { recovered, id: now } = await client.connected();
    assert.deepEqual([recovered, now], [true, id]);
    for (const survivor of survivors) {
      const response = await fetch(`${survivor.url}${cluster.path}?EIO=4&transport=polling&sid=${sid}`, { method: "POST", body: "3" });
      assert.equal(response.status, 400, "at once, not by a timeout");
      assert.deepEqual(await response.json(), { code: 1, message: "Session ID unknown" });
    }
    await fence(cluster, client);
    assert.deepEqual(client.all("n"), [0, 1, 2, 3, 4]);
    assert.notEqual(await cluster.ownerOf(client.engine.id), owner);
    console.log(`polling, node killed: sent 5, received ${client.all("n").length}, recovered ${recovered}`);
    await cluster.start(owner);
    await cluster.balanced(3);
  });
});
