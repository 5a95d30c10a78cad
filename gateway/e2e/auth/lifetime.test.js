// Tokens that end while a client is connected or away: the warning, the refresh in band, and the way back. The tests run at once,
// because they wait for the end of tokens.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { closeClients, connect, fence } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { startGateway } from "../harness/gateway.js";
import { closeProxies, startProxy } from "../harness/proxy.js";
import { Signer, tampered } from "../harness/tokens.js";
import { eventually, next } from "../harness/wait.js";

const signer = new Signer("ES256");
const auth = { ...signer.settings, leeway: "0s", warn_before: "1s" };
const config = {
  namespaces: [
    { name: "/", auth, on_connect: { join: ["news"] }, events: [{ event: "echo", action: "acknowledge", with: "received" }] },
    { name: "/trusting", auth: { ...auth, on_recovery: "trust" }, on_connect: { join: ["news"] } },
    { name: "/renamed", auth: { ...auth, warn_event: "soon", expired_event: "over", refresh_event: "renew" } },
  ],
};

for (const [where, start] of Object.entries({ "one node": startGateway, "the cluster": startCluster })) {
  describe(`the life of a token on ${where}`, { concurrency: true }, () => {
    let gateway, nodes;
    before(async () => {
      gateway = await start(config);
      nodes = gateway.nodes ?? [gateway];
    });
    after(async () => {
      closeClients();
      closeProxies();
      await gateway?.stop();
    });

    /** A client at the first node, which can be sent to another. */
    async function movable(token, options) {
      const proxy = await startProxy(nodes[0].port);
      const client = await connect({ url: proxy.url, path: gateway.path }, { recovery: true, auth: { token }, ...options });
      return Object.assign(client, { move: (index) => (proxy.target = nodes.at(index).port) });
    }
    const refusal = async (client) => (await next(client.socket, "connect_error"))[0].data?.code;
    const expiry = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url")).exp;
    /** Until the clock is past the end of this token. */
    const over = (token) => eventually(() => Date.now() > expiry(token) * 1000 + 1100, "the token to be over");

    it("warns, then says that it is over and ends the connection; a fresh token recovers", async () => {
      const token = signer.lasting(3);
      const client = await movable(token);
      const { id } = client;
      const closed = next(client.socket, "disconnect");
      const { args: [warning] } = await client.event("token-expiring");
      assert.deepEqual(warning, { expires_at: expiry(token) });
      assert.ok(client.socket.connected, "still there");
      await client.event("token-expired");
      client.socket.io.reconnection(false);
      assert.notEqual((await closed)[0], "io server disconnect", "the transport ends, so that the client comes back");
      await gateway.publish("missed", [1], { target: { rooms: ["news"] } });
      client.socket.auth = { token: signer.lasting(600) };
      client.move(-1);
      assert.deepEqual(await client.back(), { id, recovered: true });
      await gateway.publish("missed", [2], { target: { rooms: ["news"] } });
      await fence(gateway, client);
      assert.deepEqual(client.all("missed"), [1, 2]);
      assert.equal(client.all("token-expiring").length, 1);
      assert.equal(client.all("token-expired").length, 1);
    });

    it("a client that comes back by itself with the stale token is told so, and stays away", async () => {
      const client = await movable(signer.lasting(2));
      assert.equal(await refusal(client), "token_expired");
      assert.equal(client.socket.active, false);
      assert.equal(client.connects.entries.length, 1);
    });

    it("a refresh in band keeps it connected", async () => {
      const token = signer.lasting(3);
      const client = await movable(token);
      await client.event("token-expiring");
      const fresh = signer.lasting(600);
      const answer = await client.emit("refresh-token", fresh);
      assert.equal(answer.ok, true, JSON.stringify(answer));
      await over(token);
      await fence(gateway, client);
      assert.equal(client.connects.entries.length, 1);
      assert.deepEqual(client.all("token-expired"), []);
      // and is kept with the session: another node knows it too
      const { id } = client;
      await client.cut();
      client.socket.auth = { token: fresh };
      client.move(-1);
      assert.deepEqual(await client.back(), { id, recovered: true });
    });

    it("a refresh with what is no fresh token of the same user is refused, and changes nothing", async () => {
      const token = signer.lasting(4);
      const client = await movable(token);
      const fresh = signer.lasting(600);
      const wrong = [
        [signer.lasting(600, { sub: "bob" }), undefined],
        [signer.lasting(-60, {}, -120), "token_expired"],
        [new Signer("ES256").lasting(600), "token_bad_signature"],
        [tampered(fresh, { role: "admin" }), "token_bad_signature"],
        ["", undefined],
        [{ token: fresh }, undefined],
        [null, undefined],
      ];
      for (const [value, code] of wrong) {
        const { ok, error } = await client.emit("refresh-token", value);
        assert.equal(ok, false, JSON.stringify(value));
        assert.equal(typeof error.message, "string");
        if (code) assert.equal(error.code, code);
      }
      assert.equal((await client.emit("refresh-token")).ok, false);
      await client.event("token-expired");
    });

    it("one that ended while the client was away is not taken back, a fresh one is, another user's is not", async () => {
      const token = signer.lasting(3);
      const [ann, stale, thief] = await Promise.all([movable(token), movable(token), movable(token)]);
      const ids = [ann, stale, thief].map(({ id }) => id);
      await Promise.all([ann.cut(), stale.cut(), thief.cut()]);
      await gateway.publish("gone by", [1], { target: { rooms: ["news"] } });
      await over(token);
      stale.socket.connect();
      assert.equal(await refusal(stale), "token_expired");
      ann.socket.auth = { token: signer.lasting(600) };
      assert.deepEqual(await ann.back(), { id: ids[0], recovered: true });
      thief.socket.auth = { token: signer.lasting(600, { sub: "mallory" }) };
      const { id, recovered } = await thief.back();
      assert.equal(recovered, false);
      assert.notEqual(id, ids[2]);
      await Promise.all([ann, thief].map((client) => fence(gateway, client)));
      assert.deepEqual(ann.all("gone by"), [1]);
      assert.deepEqual(thief.all("gone by"), []);
    });

    it("where recovery trusts, the session is enough", async () => {
      const client = await movable(signer.lasting(600), { namespace: "/trusting" });
      const { id } = client;
      await client.cut();
      client.socket.auth = {};
      client.move(-1);
      assert.deepEqual(await client.back(), { id, recovered: true });
      await gateway.publish("personal", [1], { namespace: "/trusting", target: { users: ["ann"] } });
      await client.event("personal");
    });

    it("the names of its events are the configuration's", async () => {
      const client = await movable(signer.lasting(3), { namespace: "/renamed" });
      await client.event("soon");
      assert.equal((await client.emit("refresh-token", signer.lasting(600))).error.code, "not_allowed");
      assert.equal((await client.emit("renew", signer.lasting(3))).ok, true);
      const closed = next(client.socket, "disconnect");
      client.socket.io.reconnection(false);
      await client.event("over");
      await closed;
      assert.deepEqual(client.all("token-expired"), []);
    });
  });
}
