// Revocation by user, token id and time of issue: at once on all nodes, at recovery, and for whoever comes later.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Client, closeClients, connect, fence } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { startGateway } from "../harness/gateway.js";
import { Signer } from "../harness/tokens.js";
import { eventually, next } from "../harness/wait.js";

const signer = new Signer("HS256");
const config = {
  namespaces: [
    { name: "/", auth: signer.settings, on_connect: { join: ["news"] } },
    { name: "/other", auth: signer.settings },
    { name: "/timed", auth: signer.settings, on_connect: { join: ["news"] } },
    { name: "/trusting", auth: { ...signer.settings, on_recovery: "trust" } },
    { name: "/named", auth: { ...signer.settings, revoked_event: "thrown-out" } },
  ],
};
const now = () => Math.floor(Date.now() / 1000);
/** A token of some seconds ago: what is revoked now was issued before. */
const token = (claims) => signer.token({ iat: now() - 10, ...claims });

for (const [where, start] of Object.entries({ "one node": startGateway, "the cluster": startCluster })) {
  describe(`revocation on ${where}`, () => {
    let gateway, nodes;
    before(async () => {
      gateway = await start(config);
      nodes = gateway.nodes ?? [gateway];
    });
    after(() => gateway?.stop());
    afterEach(closeClients);

    const enter = (bearer, { node = nodes[0], ...options } = {}) => connect(node, { recovery: true, auth: { token: bearer }, ...options });
    /** One client on each node. */
    const everywhere = (bearer, options) => Promise.all(nodes.map((node) => enter(bearer, { node, ...options })));
    const revoke = (what, node = nodes.at(-1)) => node.ok("POST", "/v1/revoke", what);

    const outcome = (bearer, { node = nodes[0], namespace } = {}) => new Client(node.url, { namespace, auth: { token: bearer } }).attempt();

    /** Those are thrown out: told so, disconnected, and refused when they come back as they are. */
    async function assertThrownOut(clients, act, event = "token-revoked") {
      const ends = clients.map(({ socket }) => next(socket, "disconnect"));
      const answer = await act();
      await Promise.all(ends);
      for (const client of clients) assert.equal(client.all(event).length, 1, event);
      return answer;
    }

    const table = [
      ["by user", "/", (user) => ({ user }), (user) => ({ sub: user })],
      ["by token id", "/", (user) => ({ token_id: `id of ${user}` }), (user) => ({ sub: user, jti: `id of ${user}` })],
      ["by user and time of issue", "/", (user) => ({ user, issued_before: now() - 60 }), (user) => ({ sub: user, iat: now() - 120 })],
      ["by time of issue", "/timed", () => ({ all: true, issued_before: now() - 60 }), (user) => ({ sub: user, iat: now() - 120 })],
    ];
    for (const [title, namespace, what, claims] of table) {
      it(`${title} throws out who is connected, on every node, and nobody else`, async () => {
        const user = `ann, ${title}, on ${where}`;
        const [own, foreign] = [token(claims(user)), token({ sub: `bob, ${title}`, jti: "another" })];
        const [victims, others] = [await everywhere(own, { namespace }), await everywhere(foreign, { namespace })];
        await assertThrownOut(victims, () => revoke({ namespace, ttl_s: 600, ...what(user) }));
        for (const node of nodes) assert.equal(await outcome(own, { node, namespace }), "token_revoked");
        for (const other of others) {
          await fence(gateway, other, namespace);
          assert.deepEqual([other.socket.connected, other.connects.entries.length], [true, 1]);
        }
        assert.equal(await outcome(own, { namespace: "/other" }), "connected", "another namespace has its own");
        assert.equal(await outcome(token({ sub: `${user}, the other` }), { namespace }), "connected", "who comes later");
      });
    }

    it("in every namespace, where none is named", async () => {
      const user = `zoe on ${where}`;
      const own = token({ sub: user });
      const victims = [await enter(own), await enter(own, { namespace: "/other" }), await enter(own, { node: nodes.at(-1) })];
      await assertThrownOut(victims, () => revoke({ user, ttl_s: 600 }));
      for (const namespace of ["/", "/other", "/timed", "/trusting"]) assert.equal(await outcome(own, { namespace }), "token_revoked", namespace);
    });

    it("is kept as long as it is asked to be", async () => {
      const user = `yan on ${where}`;
      await revoke({ user, ttl_s: 2 });
      assert.equal(await outcome(token({ sub: user })), "token_revoked");
      await eventually(async () => (await outcome(token({ sub: user }))) === "connected", "it to be forgotten");
    });

    it("at recovery: who was away is not taken back, with the old token; with a later one he is", async () => {
      const user = `carol on ${where}`;
      const old = token({ sub: user, iat: now() - 120 });
      const clients = await Promise.all([enter(old), enter(old)]);
      for (const client of clients) await client.cut();
      await revoke({ user, issued_before: now() - 60, ttl_s: 600 });
      assert.equal(await clients[0].retry(), "token_revoked");
      clients[1].socket.auth = { token: signer.token({ sub: user }) };
      await clients[1].back();
      await gateway.publish("personal", [1], { target: { users: [user] } });
      await clients[1].event("personal");
    });

    it("at recovery that trusts the session: who was revoked meanwhile is not trusted", async () => {
      const user = `dora on ${where}`;
      const client = await enter(token({ sub: user }), { namespace: "/trusting" });
      await client.cut();
      await revoke({ user, namespace: "/trusting", ttl_s: 600 });
      assert.equal(await client.retry(), "token_revoked");
    });

    it("its event has the name of the configuration", async () => {
      const user = `eve on ${where}`;
      const client = await enter(token({ sub: user }), { namespace: "/named" });
      await assertThrownOut([client], () => revoke({ user, namespace: "/named", ttl_s: 600 }), "thrown-out");
    });

    it("a refresh in band does not get around it", async () => {
      const user = `finn on ${where}`;
      const client = await enter(token({ sub: user }));
      await revoke({ token_id: `stolen by ${user}`, ttl_s: 600 });
      const { ok, error } = await client.emit("refresh-token", token({ sub: user, jti: `stolen by ${user}` }));
      assert.deepEqual([ok, error?.code], [false, "token_revoked"]);
      await fence(gateway, client);
    });

    it("refuses a request that does not say what is meant", async () => {
      for (const body of [{}, { user: "x", token_id: "y" }, { user: "" }, { all: false }, { user: "x", namespace: "/nowhere" }, { user: "x", until: "tomorrow" }, { user: "x", ttl_s: -1 }, { usr: "x" }, { user: 5 }]) {
        const { status } = await nodes[0].call("POST", "/v1/revoke", body);
        assert.ok(status === 400 || status === 404 || status === 422, `${JSON.stringify(body)}: ${status}`);
      }
    });

    if (where === "the cluster") {
      it("is known to a node that was away when it was said, and to one that starts later", async () => {
        const user = "gus";
        const own = token({ sub: user });
        await gateway.nodes[1].kill();
        await revoke({ user, ttl_s: 600 }, gateway.nodes[0]);
        const back = await gateway.start(1);
        assert.equal(await outcome(own, { node: back }), "token_revoked");
      });
    }
  });
}
