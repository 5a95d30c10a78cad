// A path with placeholders: `/{tenant}/{room}/socket.io/` says where a client belongs.

import assert from "node:assert/strict";
import http from "node:http";
import { after, afterEach, before, describe, it } from "node:test";
import { Client, closeClients, connect, transports } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { startGateway } from "../harness/gateway.js";

const config = {
  public: { path: "/{tenant}/{room}/socket.io/" },
  namespaces: [{ name: "/", on_connect: { join: ["tenant:{path.tenant}", "room:{path.tenant}:{path.room}"] }, events: [{ event: "tell", action: "relay", to: "room", room: "room:{path.tenant}:{args.0}", as: "told" }] }],
};

for (const [where, start] of Object.entries({ "one node": startGateway, "the cluster": startCluster })) {
  describe(`rooms by the path on ${where}`, () => {
    let gateway;
    before(async () => (gateway = await start(config)));
    after(() => gateway?.stop());
    afterEach(closeClients);

    const at = (path, options) => connect(gateway, { recovery: true, ...options, path: `/${path}/socket.io/` });
    /** The status for this very path, which `fetch` would tidy up. */
    const exactly = (path) => new Promise((done, fail) => http.get(gateway.url, { path, agent: false }, (response) => done(response.resume().statusCode)).once("error", fail));
    const inside = (room) => gateway.count(`namespace=/&room=${encodeURIComponent(room)}`);

    for (const [transport, options] of Object.entries(transports)) {
      it(`are joined over ${transport}`, async () => {
        const client = await at("acme/one", options);
        const { sockets } = await gateway.ok("GET", "/v1/sockets?namespace=/");
        assert.deepEqual(sockets.map(({ id, rooms }) => [id, rooms.sort()]), [[client.id, ["room:acme:one", "tenant:acme"]]]);
        // the second poll and the upgrade name the session, and need the path as well
        assert.deepEqual(await client.emit("tell", "one", "hello"), { ok: true });
        assert.deepEqual((await client.event("told")).args, ["one", "hello"]);
        client.close();
      });
    }

    it("are the client's own after it comes back", async () => {
      const [client, other] = [await at("acme/one"), await at("other/one")];
      const { id } = client;
      await client.cut();
      await other.emit("tell", "one", "not for acme");
      await gateway.room("room:acme:one", "told", "one", "missed");
      assert.deepEqual(await client.back(), { id, recovered: true });
      assert.deepEqual((await client.event("told")).args, ["one", "missed"]);
      assert.equal(client.all("told").length, 1);
    });

    it("cannot be others by a trick", async () => {
      for (const path of ["acme/a%3Ab", "acme%3Aone/x", "acme/a%0Ab", "acme/%00", `acme/${"x".repeat(3000)}`, "acme/%ff", "acme/a%", "acme/a%2Fb", "acme/世界"]) {
        const client = new Client(gateway.url, { path: `/${path}/socket.io/`, reconnection: false });
        assert.notEqual(await client.attempt(), "connected", path.slice(0, 20));
      }
      for (const path of ["acme", "acme/", "acme//one", "acme/one/two", "", "acme/one/x/../..", "socket.io"]) {
        const response = await fetch(`${gateway.url}/${path}/socket.io/?EIO=4&transport=polling`);
        assert.ok([400, 404].includes(response.status), `${path}: ${response.status}`);
        await response.text();
      }
      assert.deepEqual([await inside("room:acme:one"), await inside("tenant:acme")], [0, 0]);
      for (const path of ["acme/..", "./one", "../.."]) assert.equal(await exactly(`/${path}/socket.io/?EIO=4&transport=polling`), 404, path);
      await at("acme/a.b-c_d~e");
      assert.equal(await inside("room:acme:a.b-c_d~e"), 1);
    });
  });
}
