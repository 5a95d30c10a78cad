// A client that loses its connection to one node comes back by another: recovered means the same id, the same rooms, and exactly
// what was missed.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { closeClients, connect, fence, transports } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { closeProxies, startProxy } from "../harness/proxy.js";
import { openNamespace } from "../harness/rules.js";
import { eventually, next, within } from "../harness/wait.js";
import { Wire } from "../harness/wire.js";

let cluster;
before(async () => (cluster = await startCluster({ namespaces: [openNamespace("/", true)] })));
after(() => cluster?.stop());
afterEach(() => {
  closeClients();
  closeProxies();
});

const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

async function publishNumbers(from, to, target = { rooms: ["news"] }) {
  for (const n of numbers(from, to)) await cluster.publish("n", [n], { target });
}

/** A client at node 1, by a proxy that can send it elsewhere. */
async function movable(options) {
  const proxy = await startProxy(cluster.nodes[0].port);
  const client = await connect({ url: proxy.url, path: cluster.path }, { recovery: true, ...options });
  await fence(cluster, client);
  return { proxy, client, id: client.id, move: (index) => (proxy.target = cluster.nodes[index].port) };
}

async function assertRecoveredAt(index, client, id, connected) {
  const { recovered, id: now } = await connected;
  assert.equal(recovered, true, "recovered");
  assert.equal(now, id, "the same id");
  assert.equal(await cluster.ownerOf(client.engine.id), index, `at node ${index + 1}`);
}

for (const [transport, options] of Object.entries(transports)) {
  describe(`recovery on another node over ${transport}`, () => {
    it("brings the id, the rooms and what was missed, in order", async () => {
      const { client, id, move } = await movable(options);
      await client.emit("join", "red");
      await publishNumbers(1, 3);
      await fence(cluster, client);
      await client.cut();
      move(1);
      await publishNumbers(4, 6);
      await publishNumbers(7, 8, { rooms: ["red"] });
      await publishNumbers(9, 9, { users: [client.user] });
      await publishNumbers(10, 10, { sockets: [id] });
      await publishNumbers(11, 11, "all");
      await publishNumbers(12, 12, { rooms: ["red", "news"], users: [client.user], sockets: [id] });
      await publishNumbers(99, 99, { rooms: ["blue"] });
      await assertRecoveredAt(1, client, id, client.back());
      await publishNumbers(13, 14, { rooms: ["red"] });
      await fence(cluster, client);
      assert.deepEqual(client.all("n"), numbers(1, 14));
    });

    it("again and again, around the nodes", async () => {
      const { client, id, move } = await movable(options);
      for (let round = 0; round < 6; round++) {
        const index = (round + 1) % 3;
        await client.cut();
        move(index);
        await publishNumbers(round * 3 + 1, round * 3 + 3);
        await assertRecoveredAt(index, client, id, client.back());
      }
      await fence(cluster, client);
      assert.deepEqual(client.all("n"), numbers(1, 18));
      assert.equal(await cluster.count(`namespace=/&user=${client.user}`), 1);
    });

    it("when the TCP connection is destroyed under load", async () => {
      const { proxy, client, id, move } = await movable(options);
      const publishing = publishNumbers(1, 200);
      for (const index of [1, 2, 0]) {
        const seen = client.all("n").length;
        await eventually(() => client.all("n").length > seen + 20, "some messages");
        const left = next(client.socket, "disconnect");
        move(index);
        proxy.refuse();
        proxy.cut();
        await left;
        proxy.accept();
        await assertRecoveredAt(index, client, id, client.connected());
      }
      await publishing;
      await fence(cluster, client);
      assert.deepEqual(client.all("n"), numbers(1, 200));
    });

    it("before the old node noticed: the old connection is closed there, and hears nothing more", async () => {
      const { proxy, client, id, move } = await movable(options);
      const left = next(client.socket, "disconnect");
      const engine = client.engine.id;
      proxy.refuse();
      const { closed } = proxy.orphan();
      await left;
      await publishNumbers(1, 5); // goes into the old connection, and is lost there
      assert.equal(await cluster.count(`namespace=/&user=${client.user}`), 1, "the old node has not noticed");
      move(1);
      proxy.accept();
      await assertRecoveredAt(1, client, id, client.connected());
      if (transport !== "polling") await within(closed, "the old node to close the old connection");
      await publishNumbers(6, 7);
      await fence(cluster, client);
      assert.deepEqual(client.all("n"), numbers(1, 7));
      await eventually(async () => (await cluster.count(`namespace=/&user=${client.user}`)) === 1, "one socket to be listed");
      await eventually(async () => {
        const response = await fetch(`${cluster.nodes[0].url}${cluster.path}?EIO=4&transport=polling&sid=${engine}`, { method: "POST", body: "3" });
        return response.status === 400 && (await response.json()).code === 1;
      }, "the old Engine.IO session to be gone");
    });
  });
}

describe("recovery on another node", () => {
  it("of a thousand missed messages", async () => {
    const { client, id, move } = await movable();
    await client.cut();
    const items = numbers(1, 1000).map((n) => ({ target: { rooms: ["news"] }, event: "n", args: [n] }));
    await cluster.ok("POST", "/v1/publish/batch", { items });
    move(2);
    await assertRecoveredAt(2, client, id, client.back());
    await fence(cluster, client);
    assert.deepEqual(client.all("n"), numbers(1, 1000));
  });

  it("of nothing missed, and before any event was received", async () => {
    const proxy = await startProxy(cluster.nodes[0].port);
    const client = await connect({ url: proxy.url, path: cluster.path }, { recovery: true });
    const { id } = client;
    assert.equal(client.socket._lastOffset, undefined);
    await client.cut();
    proxy.target = cluster.nodes[1].port;
    await assertRecoveredAt(1, client, id, client.back());
    await client.cut();
    await publishNumbers(1, 1);
    proxy.target = cluster.nodes[2].port;
    await assertRecoveredAt(2, client, id, client.back());
    await fence(cluster, client);
    assert.deepEqual(client.all("n"), [1]);
  });

  it("when the old node is paused and wakes later: it closes what it held, and its late writes change nothing", async () => {
    const { proxy, client, id, move } = await movable();
    const [old] = cluster.nodes;
    old.child.kill("SIGSTOP");
    try {
      const left = next(client.socket, "disconnect");
      proxy.refuse();
      proxy.orphan();
      await left;
      for (const n of [1, 2, 3]) await cluster.nodes[1].publish("n", [n], { target: { rooms: ["news"] } });
      move(1);
      proxy.accept();
      await assertRecoveredAt(1, client, id, client.connected());
    } finally {
      old.child.kill("SIGCONT");
    }
    await eventually(async () => (await old.count(`namespace=/&user=${client.user}`)) === 1, "the old node to be with the others");
    await publishNumbers(4, 5);
    await fence(cluster, client);
    await client.cut();
    await publishNumbers(6, 6);
    move(2);
    await assertRecoveredAt(2, client, id, client.back());
    await fence(cluster, client);
    assert.deepEqual(client.all("n"), numbers(1, 6));
  });

  it("one pid taken at three nodes at once has one holder, and no message is lost or doubled there", async () => {
    const connected = (packet) => JSON.parse(packet.slice(2));
    const socket = await new Wire(cluster.nodes[0]).websocket();
    socket.send('40{"user":"thrice"}');
    const { pid, sid } = connected(await socket.take());
    socket.end();
    await publishNumbers(1, 2, { users: ["thrice"] });
    const rivals = await Promise.all(cluster.nodes.map((node) => new Wire(node).websocket()));
    for (const rival of rivals) rival.send(`40{"user":"thrice","pid":"${pid}"}`);
    const states = () => rivals.map(({ ws }) => ws.readyState === ws.OPEN);
    await eventually(() => states().filter(Boolean).length === 1, "all but one to be closed");
    const winner = rivals[states().indexOf(true)];
    await winner.messages.find((packet) => packet.includes('["n",2'), "the missed");
    const [, reply, ...missed] = winner.messages.entries;
    assert.deepEqual(connected(reply), { sid, pid });
    assert.deepEqual(missed.map((packet) => JSON.parse(packet.slice(2)).slice(0, 2)), [["n", 1], ["n", 2]]);
    for (const rival of rivals) rival.end();
  });

  it("is refused after the client's own disconnect", async () => {
    const { client, id, move } = await movable();
    client.socket.disconnect();
    await eventually(async () => (await cluster.count(`namespace=/&user=${client.user}`)) === 0, "the session to end");
    await publishNumbers(99, 99);
    move(1);
    const { recovered, id: now } = await client.back();
    assert.equal(recovered, false);
    assert.notEqual(now, id);
    await fence(cluster, client);
    assert.deepEqual(client.all("n"), []);
  });
});

describe("the backend's changes while the client is away", () => {
  /** Away from node 1; the change is told to node 3; back at node 2. */
  const away = async (change, more = async () => {}) => {
    const { client, id, move } = await movable();
    await client.emit("join", "left-while-away");
    await fence(cluster, client);
    await client.cut();
    await more(client);
    const answer = await change({ namespace: "/", target: { users: [client.user] } });
    move(1);
    return { client, id, answer };
  };
  const ask = (path, body) => cluster.nodes[2].ok("POST", path, body);

  it("a join counts from then on", async () => {
    const { client, id } = await away(async (body) => {
      await publishNumbers(99, 99, { rooms: ["joined-while-away"] });
      await ask("/v1/join", { ...body, rooms: ["joined-while-away"] });
      await publishNumbers(1, 2, { rooms: ["joined-while-away"] });
    });
    await assertRecoveredAt(1, client, id, client.back());
    await publishNumbers(3, 3, { rooms: ["joined-while-away"] });
    await fence(cluster, client);
    assert.deepEqual(client.all("n"), [1, 2, 3]);
  });

  it("a leave counts from then on", async () => {
    const { client, id } = await away(async (body) => {
      await publishNumbers(1, 2, { rooms: ["left-while-away"] });
      await ask("/v1/leave", { ...body, rooms: ["left-while-away"] });
      await publishNumbers(99, 99, { rooms: ["left-while-away"] });
    });
    await assertRecoveredAt(1, client, id, client.back());
    await publishNumbers(99, 99, { rooms: ["left-while-away"] });
    await fence(cluster, client);
    assert.deepEqual(client.all("n"), [1, 2]);
  });

  it("a disconnect ends the absent session", async () => {
    const { client, id } = await away((body) => ask("/v1/disconnect", body));
    const { recovered, id: now } = await client.back();
    assert.equal(recovered, false);
    assert.notEqual(now, id);
  });

  it("by the id of the socket too", async () => {
    const { client, id, move } = await movable();
    await client.cut();
    await ask("/v1/join", { namespace: "/", target: { sockets: [id] }, rooms: ["by-id"] });
    await publishNumbers(1, 1, { rooms: ["by-id"] });
    move(1);
    await assertRecoveredAt(1, client, id, client.back());
    await fence(cluster, client);
    assert.deepEqual(client.all("n"), [1]);
    await client.cut();
    await ask("/v1/disconnect", { namespace: "/", target: { sockets: [id] } });
    move(2);
    assert.equal((await client.back()).recovered, false);
  });
});
