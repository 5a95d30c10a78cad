// Who has gone is told to the backend: once each, not for one who comes back in time, and also when his node was killed. The tests
// run at once, because they wait for the end of sessions.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startBackend } from "../harness/backend.js";
import { closeClients, connect, transports } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { startGateway } from "../harness/gateway.js";
import { closeProxies, startProxy } from "../harness/proxy.js";
import { Signer } from "../harness/tokens.js";
import { eventually, next } from "../harness/wait.js";

const signer = new Signer("HS256");
const settings = (backend, frail) => ({
  engine: { ping_interval: "300ms", ping_timeout: "700ms" },
  recovery: { window: "2s", refresh: "200ms" },
  upstream: backend.settings,
  namespaces: [
    { name: "/", auth: { ...signer.settings, token: ["auth.token"], leeway: "0s" }, upstream: { disconnect: true } },
    { name: "/frail", auth: { ...signer.settings, token: ["auth.token"] }, upstream: { url: frail.url, disconnect: true } },
    { name: "/untold", events: [{ event: "x", action: "upstream" }] },
  ],
});

after(() => {
  closeClients();
  closeProxies();
});

for (const [where, start] of Object.entries({ "one node": startGateway, "the cluster": startCluster })) {
  describe(`who has gone, on ${where}`, () => {
    let backend, frail, gateway, nodes, home;
    before(async () => {
      [backend, frail] = [await startBackend(), await startBackend()];
      gateway = await start(settings(backend, frail));
      nodes = gateway.nodes ?? [gateway];
      home = nodes.at(-1); // the one that nothing happens to
    });
    after(async () => {
      await gateway?.stop();
      await backend?.stop();
      await frail?.stop();
    });

    const enter = async (user, { claims, node = home, ...options } = {}) => {
      const token = signer.token({ sub: user, role: `role of ${user}`, ...claims });
      return Object.assign(await connect(node, { recovery: true, auth: { token }, ...options }), { user });
    };
    /** The same behind a proxy, so that it can come back by another node. */
    const movable = async (user, node) => {
      const proxy = await startProxy(node.port);
      const client = await connect({ url: proxy.url, path: gateway.path }, { recovery: true, auth: { token: signer.token({ sub: user }) } });
      return Object.assign(client, { user, proxy });
    };
    const told = ({ user }) => backend.of("disconnect").filter((call) => call.user === user);
    const gone = (client) => eventually(() => told(client).length > 0, () => `${client.user} to be told of; there was ${backend.of("disconnect").map(({ user }) => user)}`, 30_000);
    /** Somebody who is lost after all the others: when he is told of, whoever went before has been. */
    let sentinels = 0;
    const settle = async () => {
      const sentinel = await enter(`sentinel ${++sentinels} of ${where}`);
      await sentinel.cut();
      await gone(sentinel);
    };
    const assertOnce = (clients, reason) => {
      for (const client of clients) assert.deepEqual(told(client).map((call) => call.reason), [reason], client.user);
    };
    const assertNever = (clients) => {
      for (const client of clients) assert.deepEqual(told(client), [], client.user);
    };

    describe("by whatever end", { concurrency: true }, () => {
      it("each is told once, with the reason; who comes back was never gone", async () => {
        const names = ["leaver", "thrown", "closed", "lost", "poller", "token over", "back", "back often", "stayer"];
        const [leaver, thrown, closed, lost, poller, over, back, often, stayer] = await Promise.all(
          names.map((name) => enter(`${name} of ${where}`, { ...(name === "poller" ? transports.polling : {}), ...(name === "token over" ? { claims: { exp: Math.floor(Date.now() / 1000) + 3 } } : {}) })),
        );
        const lostId = lost.id;
        over.socket.io.reconnection(false);
        (await connect(home, { namespace: "/untold", recovery: true })).socket.disconnect();
        leaver.socket.disconnect();
        await gateway.ok("POST", "/v1/disconnect", { target: { sockets: [thrown.id] } });
        await gateway.ok("POST", "/v1/disconnect", { target: { sockets: [closed.id] }, close: true });
        closed.socket.io.reconnection(false);
        await Promise.all([lost.cut(), poller.cut(), back.cut()]);
        assert.equal((await back.back()).recovered, true);
        for (let round = 0; round < 3; round++) {
          await often.cut();
          assert.equal((await often.back()).recovered, true);
        }
        await Promise.all([leaver, thrown, closed, lost, poller, over].map(gone));
        await settle();
        assertOnce([leaver], "client");
        assertOnce([thrown, closed], "backend");
        assertOnce([lost, poller, over], "expired");
        assertNever([back, often, stayer]);
        assert.deepEqual(backend.of("disconnect").filter(({ namespace }) => namespace === "/untold"), []);
        const { headers, id, time, claims, ...call } = told(lost)[0];
        assert.deepEqual(call, { type: "disconnect", namespace: "/", socket: lostId, user: lost.user, reason: "expired" });
        assert.equal(claims.role, `role of ${lost.user}`);
        assert.match(id, /^[\w-]{20}$/);
        // those who came back go in the end, and are told of then
        back.socket.disconnect();
        await gone(back);
        assertOnce([back], "client");
      });

      it("a backend that is away is told when it is back, of each once", async () => {
        const clients = await Promise.all([1, 2, 3].map((n) => enter(`away ${n} of ${where}`, { namespace: "/frail" })));
        const accepted = [];
        let failures = 0;
        frail.answer = (call) => {
          if (failures < 4) return (failures += 1) && 503;
          accepted.push(call);
          return undefined;
        };
        for (const { socket } of clients) socket.disconnect();
        const told = (client) => accepted.filter(({ user }) => user === client.user);
        await eventually(() => clients.every((client) => told(client).length > 0), "all to be told", 30_000);
        await frail.die();
        const later = await enter(`later of ${where}`, { namespace: "/frail" });
        later.socket.disconnect();
        await frail.revive();
        await eventually(() => told(later).length > 0, "the last to be told", 30_000);
        await settle();
        for (const client of [...clients, later]) {
          assert.equal(told(client).length, 1, client.user);
          assert.equal(new Set(frail.of("disconnect").filter(({ user }) => user === client.user).map(({ id }) => id)).size, 1, "always under the same id");
        }
      });
    });

    describe("when nodes go", { concurrency: true, skip: where === "one node" && "there is no other node" }, () => {
      it("a node that was killed: those who stay away are told of once, those who come back are not", async () => {
        const [staying, coming] = [await Promise.all([1, 2, 3, 4, 5, 6].map((n) => enter(`orphan ${n}`, { node: nodes[0] }))), await Promise.all([1, 2, 3, 4].map((n) => movable(`survivor ${n}`, nodes[0])))];
        for (const client of staying) client.socket.io.reconnection(false);
        const [left, ids] = [coming.map(({ socket }) => next(socket, "disconnect")), coming.map(({ id }) => id)];
        for (const { proxy } of coming) proxy.refuse();
        await nodes[0].kill();
        await Promise.all(left);
        for (const { proxy } of coming) {
          proxy.target = home.port;
          proxy.accept();
        }
        const returns = await Promise.all(coming.map((client) => client.connected()));
        assert.deepEqual(returns, ids.map((id) => ({ id, recovered: true })));
        await Promise.all(staying.map(gone));
        await gateway.start(0);
        await settle();
        assertOnce(staying, "expired");
        assertNever(coming);
        console.log(`notices: a node was killed with ${staying.length + coming.length} clients; ${staying.length} told of once each, ${coming.length} came back and were not`);
      });

      it("a node that is stopped: its clients go to another, and nobody is told of", async () => {
        const clients = await Promise.all([1, 2, 3].map((n) => movable(`moved ${n}`, nodes[1])));
        for (const { proxy } of clients) proxy.target = home.port;
        await nodes[1].stop();
        for (const client of clients) assert.equal((await client.connected()).recovered, true);
        await settle();
        assertNever(clients);
      });
    });
  });
}
