// What was said in a room before one joins it.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { closeClients, connect, fence } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { startGateway } from "../harness/gateway.js";
import { elapse } from "../harness/wait.js";

const join = (event, history) => ({ event, action: "join", room: "{args.0}", ...(history && { history }) });
const settings = {
  recovery: { max_entries_per_room: 200 },
  namespaces: [
    {
      name: "/",
      events: [join("join", { count: 20 }), join("join-lately", { count: 20, age: "1500ms" }), join("join-plainly"), { event: "leave", action: "leave", room: "{args.0}" }],
    },
    { name: "/board", on_connect: { join: [{ room: "board", history: { count: 3 } }, "other"] } },
  ],
};
const numbers = (from, to) => Array.from({ length: to - from }, (_, n) => from + n);

for (const where of ["one node", "the cluster"]) {
  describe(`the history of a room, on ${where}`, () => {
    let gateway;
    before(async () => (gateway = where === "one node" ? await startGateway(settings) : await startCluster(settings)));
    after(() => gateway?.stop());
    afterEach(closeClients);

    const say = (room, number, more = {}) => gateway.publish("said", [number, { text: "你好" }, Buffer.alloc(0).toString()], { target: { rooms: [room].flat() }, ...more });
    const fill = async (room, from, to) => {
      for (const number of numbers(from, to)) await say(room, number);
    };

    it("comes before the join is acknowledged, the last ones in order, and then what is new", async () => {
      await fill("a", 0, 30);
      const client = await connect(gateway, { recovery: true });
      const acknowledged = await client.emit("join", "a");
      assert.equal(acknowledged.ok, true);
      assert.deepEqual(client.all("said"), numbers(10, 30));
      assert.deepEqual(client.received[0], ["said", 10, { text: "你好" }, ""]);
      await fill("a", 30, 32);
      await fence(gateway, client);
      assert.deepEqual(client.all("said"), numbers(10, 32));
      assert.equal((await client.emit("join", "a")).ok, true);
      await fence(gateway, client);
      assert.deepEqual(client.all("said"), numbers(10, 32), "nothing for a second join");
    });

    it("does not set a client back: it recovers what it missed, once", async () => {
      const client = await connect(gateway, { recovery: true });
      await client.emit("join-plainly", "other-room");
      await fill("b", 0, 5);
      await fill("other-room", 100, 110);
      await fence(gateway, client);
      await client.emit("join", "b");
      await client.cut();
      await fill("b", 5, 8);
      await fill("other-room", 110, 112);
      assert.equal((await client.back()).recovered, true);
      await fence(gateway, client);
      const of = (from, to) => client.all("said").filter((number) => number >= from && number < to);
      assert.deepEqual([of(0, 100), of(100, 200)], [numbers(0, 8), numbers(100, 112)]);
      await client.cut();
      assert.equal((await client.back()).recovered, true);
      await fence(gateway, client);
      assert.equal(client.all("said").length, 20);
    });

    it("is sent when a new session is in the room by its connect, and not when it comes back", async () => {
      for (const number of numbers(0, 5)) await say("board", number, { namespace: "/board" });
      const client = await connect(gateway, { recovery: true, namespace: "/board" });
      await fence(gateway, client, "/board");
      assert.deepEqual(client.all("said"), [2, 3, 4]);
      await client.cut();
      await say("board", 5, { namespace: "/board" });
      assert.equal((await client.back()).recovered, true);
      await fence(gateway, client, "/board");
      assert.deepEqual(client.all("said"), [2, 3, 4, 5]);
    });

    it("has no gap to what is live, while much is said", { timeout: 60_000 }, async () => {
      let said = 0;
      let stopped = false;
      const talk = (async () => {
        while (!stopped) await say("c", said++);
      })();
      const clients = [];
      for (let n = 0; n < 40; n++) {
        const client = await connect(gateway, { recovery: true, transports: n % 4 === 0 ? ["polling"] : ["websocket"] });
        const before = said;
        await client.emit("join", "c");
        clients.push({ client, before });
      }
      stopped = true;
      await talk;
      let received = 0;
      for (const { client, before } of clients) {
        await fence(gateway, client);
        const got = client.all("said");
        assert.deepEqual(got, numbers(got[0], said), "no gap, no double, in order");
        assert.ok(got[0] <= Math.max(0, before - 1), `it begins before the join: ${got[0]} of ${before}`);
        received += got.length;
      }
      console.log(`${where}: ${said} said, ${clients.length} joined meanwhile and got ${received}, no gap, none doubled`);
    });

    it("leaves out what the client has by another room, and what was not for it", async () => {
      const client = await connect(gateway, { recovery: true });
      await client.emit("join-plainly", "d");
      await say(["d", "e"], 1);
      await say("e", 2);
      await say("e", 3, { except: { rooms: ["d"] } });
      await say("e", 4, { except: { sockets: [client.id] } });
      await fence(gateway, client);
      await client.emit("join", "e");
      assert.deepEqual(client.all("said"), [1, 2]);
    });

    it("is as much as is kept: by age, and of a room in which more is said than that", async () => {
      await fill("f", 0, 3);
      await elapse(1600);
      await fill("f", 3, 5);
      const lately = await connect(gateway, { recovery: true });
      await lately.emit("join-lately", "f");
      assert.deepEqual(lately.all("said"), [3, 4]);
      const items = numbers(0, 700).map((number) => ({ target: { rooms: ["g"] }, event: "said", args: [number] }));
      await gateway.ok("POST", "/v1/publish/batch", { items });
      const client = await connect(gateway, { recovery: true });
      assert.equal((await client.emit("join", "g")).ok, true);
      const got = client.all("said");
      assert.deepEqual(got, numbers(700 - got.length, 700), "the last ones");
      console.log(`${where}: of 700 at once, of which 200 are kept, ${got.length} were sent`);
      const empty = await connect(gateway, { recovery: true });
      assert.equal((await empty.emit("join", "nothing-was-said")).ok, true);
      assert.deepEqual(empty.all("said"), []);
    });
  });
}
