// Who is in a room, and whether a user is online: by the internal API, and as events to the room. Also after a node was killed.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { closeClients, connect, fence } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { startGateway } from "../harness/gateway.js";
import { Signer } from "../harness/tokens.js";
import { eventually } from "../harness/wait.js";

const signer = new Signer("HS256");
const config = {
  engine: { ping_interval: "500ms", ping_timeout: "1s" },
  recovery: { window: "2s", refresh: "300ms" },
  namespaces: [
    {
      name: "/",
      auth: { ...signer.settings, token: ["auth.token"] },
      presence: { rooms: ["team:*", "hall"] },
      events: [{ event: "join", action: "join", room: "team:{args.0}" }, { event: "leave", action: "leave", room: "team:{args.0}" }, { event: "join-quiet", action: "join", room: "quiet:{args.0}" }],
    },
    { name: "/renamed", auth: { ...signer.settings, token: ["auth.token"] }, on_connect: { join: ["hall"] }, presence: { rooms: ["hall"], joined: "came", left: "" } },
  ],
};

for (const [where, start] of Object.entries({ "one node": startGateway, "the cluster": startCluster })) {
  describe(`presence on ${where}`, () => {
    let gateway, nodes;
    before(async () => {
      gateway = await start(config);
      nodes = gateway.nodes ?? [gateway];
    });
    after(() => gateway?.stop());
    afterEach(closeClients);

    let places = 0;
    const room = () => `${where === "one node" ? "a" : "b"}${++places}`;
    const enter = async (user, { team, node = nodes[0], ...options } = {}) => {
      const client = await connect(node, { recovery: true, auth: { token: signer.token({ sub: user }) }, ...options });
      if (team) assert.deepEqual(await client.emit("join", team), { ok: true });
      return Object.assign(client, { user });
    };
    /** Who is there, as { user: [state, …] }. */
    const present = async (query, node = gateway) => {
      const { total, sockets } = await node.ok("GET", `/v1/presence?namespace=/&${query}`);
      assert.equal(total, sockets.length);
      const people = {};
      for (const { user, state } of sockets) (people[user] ??= []).push(state);
      for (const states of Object.values(people)) states.sort();
      return people;
    };
    const eventuallyPresent = (query, expected, node) => eventually(async () => isDeepStrictEqual(await present(query, node), expected), () => `${query} to be ${JSON.stringify(expected)}`, 30_000);
    const news = (watcher) => watcher.received.filter(([event]) => event.startsWith("presence-"));

    it("lists a room and a user, on whichever nodes they are, from whichever is asked", async () => {
      const team = room();
      await enter("ann", { team });
      await enter("bob", { team, node: nodes.at(-1) });
      await enter("bob", { team, node: nodes.at(-2) });
      await enter("carol");
      for (const node of nodes) {
        assert.deepEqual(await present(`room=team:${team}`, node), { ann: ["connected"], bob: ["connected", "connected"] });
        assert.deepEqual(await present("user=bob", node), { bob: ["connected", "connected"] });
        assert.deepEqual(await present("user=carol", node), { carol: ["connected"] });
        assert.deepEqual(await present("user=nobody", node), {});
        assert.deepEqual(await present("room=team:nowhere", node), {});
      }
      const { total, sockets } = await gateway.ok("GET", `/v1/presence?namespace=/&room=team:${team}&limit=2`);
      assert.deepEqual([total, sockets.length], [3, 2]);
    });

    it("says who is away, until he is back or gone", async () => {
      const team = room();
      const [ann, bob] = [await enter("ann", { team }), await enter("bob", { team, node: nodes.at(-1) })];
      await bob.cut();
      await eventuallyPresent(`room=team:${team}`, { ann: ["connected"], bob: ["away"] });
      assert.equal((await bob.back()).recovered, true);
      await eventuallyPresent(`room=team:${team}`, { ann: ["connected"], bob: ["connected"] });
      await bob.cut();
      await eventuallyPresent(`room=team:${team}`, { ann: ["connected"] });
      ann.socket.disconnect();
      await eventuallyPresent(`room=team:${team}`, {});
    });

    it("tells the room who comes and goes: users, not sockets, and nobody who is back in time", async () => {
      const team = room();
      const watcher = await enter("watcher", { team });
      const [first, second] = [await enter("bob", { team }), await enter("bob", { team, node: nodes.at(-1) })];
      const carol = await enter("carol", { team, node: nodes.at(-1) });
      await carol.emit("leave", team);
      await first.emit("leave", team);
      await first.emit("join", team);
      first.socket.disconnect();
      await second.cut();
      assert.equal((await second.back()).recovered, true);
      second.socket.disconnect();
      const dora = await enter("dora", { team });
      await dora.cut();
      await watcher.events.find(({ event, args: [who] }) => event === "presence-left" && who?.user === "dora", "dora to be gone");
      const about = (user) => news(watcher).filter(([, who]) => who.user === user);
      const change = (kind, user) => [`presence-${kind}`, { room: `team:${team}`, user }];
      for (const user of ["bob", "carol", "dora"]) assert.deepEqual(about(user), [change("joined", user), change("left", user)], user);
      assert.ok(about("watcher").every(([event]) => event === "presence-joined"));
    });

    it("tells only the rooms that the configuration names, by the names that it gives", async () => {
      const quiet = room();
      const watcher = await enter("watcher");
      await watcher.emit("join-quiet", quiet);
      const bob = await enter("bob");
      await bob.emit("join-quiet", quiet);
      assert.deepEqual(await present(`room=quiet:${quiet}`), { bob: ["connected"], watcher: ["connected"] });
      bob.socket.disconnect();
      await eventuallyPresent(`room=quiet:${quiet}`, { watcher: ["connected"] });
      await fence(gateway, watcher);
      assert.deepEqual(news(watcher), []);
      const host = await enter("host", { namespace: "/renamed" });
      const guest = await enter("guest", { namespace: "/renamed" });
      await host.events.find(({ event, args: [who] }) => event === "came" && who.user === "guest", "the guest to be told of");
      guest.socket.disconnect();
      await eventually(async () => (await gateway.ok("GET", "/v1/presence?namespace=/renamed&room=hall")).total === 1, "the guest to be gone");
      await fence(gateway, host, "/renamed");
      assert.ok(host.received.every(([event]) => ["came", "fence"].includes(event)));
    });

    it("refuses a question that is none", async () => {
      for (const query of ["room=a&user=b", "room=", "room=x&limit=0", "room=x&limit=many", "rom=x", "room=x&namespace=/nowhere"]) {
        const { status } = await nodes[0].call("GET", `/v1/presence?${query}`);
        assert.ok(status === 400 || status === 404, `${query}: ${status}`);
      }
    });

    if (where === "the cluster") {
      it("is correct after a node was killed", async () => {
        const team = room();
        const watcher = await enter("watcher", { team, node: nodes[1] });
        const [only, both, elsewhere] = [await enter("only", { team }), await enter("both", { team }), await enter("both", { team, node: nodes[2] })];
        for (const { socket } of [only, both]) socket.io.reconnection(false);
        await nodes[0].kill();
        await eventuallyPresent(`room=team:${team}`, { both: ["connected"], watcher: ["connected"] }, nodes[1]);
        await watcher.events.find(({ event, args: [who] }) => event === "presence-left" && who.user === "only", "the one who is gone");
        await fence(nodes[1], watcher);
        assert.deepEqual(news(watcher).filter(([, { user }]) => user === "both"), [["presence-joined", { room: `team:${team}`, user: "both" }]]);
        assert.equal(news(watcher).filter(([event, { user }]) => event === "presence-left" && user === "only").length, 1);
        assert.ok(elsewhere.socket.connected);
        assert.deepEqual(await present("user=only", nodes[2]), {});
        nodes[0] = await gateway.start(0);
        assert.deepEqual(await present(`room=team:${team}`, nodes[0]), { both: ["connected"], watcher: ["connected"] });
      });
    }
  });
}
