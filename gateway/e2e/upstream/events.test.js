// A backend that answers: what it is told, signed and in order, and all that its answer can do.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { SECRET, startBackend, verified } from "../harness/backend.js";
import { Client, closeClients, connect, fence, transports } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { startGateway } from "../harness/gateway.js";
import { closeProxies, startProxy } from "../harness/proxy.js";
import { Signer } from "../harness/tokens.js";
import { elapse, eventually, next } from "../harness/wait.js";

const signer = new Signer("HS256");
const to = (...events) => events.map((event) => ({ event, action: "upstream" }));
const settings = (backend) => ({
  upstream: backend.settings,
  namespaces: [
    { name: "/", auth: { ...signer.settings, token: ["auth.token"] }, events: to("ask", "count", "do") },
    { name: "/anyone", events: to("ask"), upstream: { connect: true } },
    { name: "/decided", auth: { method: "upstream", leeway: "0s" }, events: to("ask") },
  ],
});

for (const [where, start] of Object.entries({ "one node": startGateway, "the cluster": startCluster })) {
  describe(`a backend that answers, on ${where}`, () => {
    let answer, backend, gateway, nodes;
    before(async () => {
      backend = await startBackend((call, response) => answer(call, response));
      gateway = await start(settings(backend));
      nodes = gateway.nodes ?? [gateway];
    });
    after(async () => {
      await gateway?.stop();
      await backend?.stop();
    });
    beforeEach(() => (answer = () => undefined));
    afterEach(() => {
      closeClients();
      closeProxies();
      assert.equal(backend.unverified, 0, "every call is signed");
    });

    const enter = (sub, claims, options) => connect(nodes[0], { recovery: true, auth: { token: signer.token({ sub, ...claims }) }, ...options });

    it("is told who says what, and signed", async () => {
      const client = await enter("ann", { role: "admin" });
      answer = ({ args }) => ({ ack: ["got", args.length] });
      const before = Date.now();
      const got = await new Promise((done) => client.socket.emit("ask", "text 世界", { a: [1, null] }, Buffer.from([0, 255]), 7, (...args) => done(args)));
      assert.deepEqual(got, ["got", 4]);
      const { headers, id, time, claims, ...call } = backend.of("event", "ask").at(-1);
      assert.deepEqual(call, { type: "event", namespace: "/", socket: client.id, user: "ann", event: "ask", args: ["text 世界", { a: [1, null] }, { $binary: "AP8=" }, 7] });
      assert.match(id, /^[\w-]{20}$/);
      assert.ok(time >= before && time <= Date.now());
      assert.deepEqual([claims.sub, claims.role], ["ann", "admin"]);
      assert.match(headers["content-type"], /^application\/json/);
      assert.match(headers["x-carillon-signature"], /^v1=[0-9a-f]{64}$/);
      assert.match(headers["x-carillon-timestamp"], /^\d+$/);
      // what the harness checks of each call is worth something
      const body = Buffer.from("{}");
      assert.equal(verified({ ...headers }, body), false, "another body");
      assert.equal(verified({ ...headers, "x-carillon-timestamp": "1" }, body, SECRET, 1000), false, "another time");
    });

    for (const [transport, options] of Object.entries(transports)) {
      it(`acknowledges, over ${transport}`, async () => {
        const client = await enter("ann", {}, options);
        const table = [
          [undefined, { ok: true }],
          [{}, { ok: true }],
          [{ ack: [] }, undefined],
          [{ ack: [null] }, null],
          [{ ack: [{ deep: [1, "世界"] }] }, { deep: [1, "世界"] }],
          [{ ack: [{ $binary: "AAEC/w==" }] }, Buffer.from([0, 1, 2, 255])],
          [{ error: { code: "no_funds", message: "not enough" } }, { ok: false, error: { code: "no_funds", message: "not enough" } }],
        ];
        for (const [answered, expected] of table) {
          answer = () => answered;
          assert.deepEqual(await client.emit("ask"), expected, JSON.stringify(answered));
        }
        // who asks for no acknowledgement gets none, and the event is handled
        answer = () => ({ emit: [{ event: "handled" }] });
        client.socket.emit("ask");
        await client.event("handled");
      });
    }

    it("emits to the sender, to others, to rooms, users, sockets and all", async () => {
      const [ann, bob, carol] = [await enter("ann"), await connect(nodes.at(-1), { recovery: true, auth: { token: signer.token({ sub: "bob" }) } }), await enter("carol")];
      const clients = [ann, bob, carol];
      await gateway.ok("POST", "/v1/join", { target: { users: ["bob", "carol"] }, rooms: ["red"] });
      const table = [
        [{}, [1, 0, 0]],
        [{ target: "sender" }, [1, 0, 0]],
        [{ target: "others" }, [0, 1, 1]],
        [{ target: "all" }, [1, 1, 1]],
        [{ target: { rooms: ["red"] } }, [0, 1, 1]],
        [{ target: { rooms: ["red"] }, except: { sockets: [carol.id] } }, [0, 1, 0]],
        [{ target: { users: ["bob"] } }, [0, 1, 0]],
        [{ target: { sockets: [carol.id] } }, [0, 0, 1]],
        [{ target: "all", volatile: true }, [1, 1, 1]],
      ];
      for (const [item, expected] of table) {
        answer = () => ({ emit: [{ event: "told", args: [1, { two: 2 }, { $binary: "AA==" }], ...item }] });
        assert.deepEqual(await ann.emit("ask"), { ok: true });
        for (const client of clients) await fence(gateway, client);
        assert.deepEqual(clients.map((client) => client.all("told").length), expected, JSON.stringify(item));
        for (const { events } of clients) {
          for (const { event, args } of events.entries) if (event === "told") assert.deepEqual(args, [1, { two: 2 }, Buffer.from([0])]);
          events.entries.length = 0;
        }
      }
    });

    it("joins before it emits, leaves, and is obeyed before the acknowledgement", async () => {
      const client = await enter("ann");
      answer = () => ({ join: ["a", "b"], emit: [{ event: "to-a", target: { rooms: ["a"] } }], ack: ["done"] });
      const order = [];
      client.socket.on("to-a", () => order.push("to-a"));
      assert.equal(await client.emit("do"), "done");
      order.push("ack");
      await fence(gateway, client);
      assert.deepEqual(order, ["to-a", "ack"]);
      answer = () => ({ leave: ["a"] });
      await client.emit("do");
      await gateway.room("a", "after", "a");
      await gateway.room("b", "after", "b");
      await fence(gateway, client);
      assert.deepEqual(client.all("after"), ["b"]);
    });

    it("what it emits is recovered like any publish", async () => {
      const proxy = await startProxy(nodes[0].port);
      const client = await connect({ url: proxy.url, path: gateway.path }, { recovery: true, auth: { token: signer.token({ sub: "ann" }) } });
      const other = await enter("bob");
      await client.cut();
      answer = () => ({ emit: [{ event: "told", args: ["missed"], target: { users: ["ann"] } }] });
      await other.emit("do");
      proxy.target = nodes.at(-1).port;
      assert.equal((await client.back()).recovered, true);
      await fence(gateway, client);
      assert.deepEqual(client.all("told"), ["missed"]);
    });

    it("disconnects: from the namespace, or the whole connection", async () => {
      for (const [how, reason] of [[true, "io server disconnect"], ["close", "io server disconnect"]]) {
        const client = await enter("ann");
        answer = () => ({ disconnect: how, emit: [{ event: "bye" }] });
        const left = next(client.socket, "disconnect");
        client.socket.emit("do");
        await client.event("bye");
        const [why] = await left;
        assert.ok(why === reason || (how === "close" && why.startsWith("transport")), why);
        assert.equal(await gateway.count("namespace=/&user=ann"), 0);
      }
    });

    it("hears the events of each client in order and one by one, of all at once", async () => {
      const [clients, each] = [10, 60];
      const seen = new Map();
      const under = new Map();
      let most = 0;
      answer = async ({ socket, args: [n] }) => {
        under.set(socket, (under.get(socket) ?? 0) + 1);
        most = Math.max(most, under.get(socket));
        await elapse((n * 7) % 5);
        seen.set(socket, [...(seen.get(socket) ?? []), n]);
        under.set(socket, under.get(socket) - 1);
        return { ack: [n] };
      };
      const people = await Promise.all(Array.from({ length: clients }, (_, n) => enter(`counter ${n}`, {}, n % 3 === 0 ? transports.polling : {})));
      backend.most = 0;
      const acks = await Promise.all(people.map((client) => Promise.all(Array.from({ length: each }, (_, n) => client.emit("count", n)))));
      const all = Array.from({ length: each }, (_, n) => n);
      for (const [index, client] of people.entries()) {
        assert.deepEqual(seen.get(client.id), all);
        assert.deepEqual(acks[index], all);
      }
      assert.equal(most, 1, "one of a client at a time");
      assert.ok(backend.most > 1, "of several clients at once");
      assert.equal(new Set(backend.of("event", "count").map(({ id }) => id)).size, clients * each, "each under an id of its own");
      console.log(`order: ${clients} clients sent ${each} events each, the backend saw ${[...seen.values()].flat().length}, up to ${backend.most} at once, all in order`);
    });

    it("tells of connects, and does what the answer says", async () => {
      answer = ({ type }) => (type === "connect" ? { join: ["welcome"], emit: [{ event: "hello", args: ["you"] }] } : undefined);
      const client = await connect(nodes[0], { namespace: "/anyone", recovery: true });
      const call = await backend.find("connect", ({ socket }) => socket === client.id);
      assert.deepEqual([call.namespace, call.user], ["/anyone", null]);
      assert.deepEqual((await client.event("hello")).args, ["you"]);
      await eventually(async () => (await gateway.count("namespace=/anyone&room=welcome")) === 1, "the room to be joined");
      await client.cut();
      assert.equal((await client.back()).recovered, true);
      await fence(gateway, client, "/anyone");
      assert.equal(backend.of("connect").filter(({ socket }) => socket === client.id).length, 1, "who comes back was never gone");
    });

    it("decides who may enter", async () => {
      answer = ({ type, token }) => {
        if (type !== "authenticate") return { ack: ["in"] };
        if (token === "good") return { user: "ann", claims: { role: "admin" } };
        if (token === "banned") return { status: 403, body: { code: "banned", message: "you know why" } };
        if (token === "silent") return 401;
        if (token === "") return { status: 401, body: { code: "who_are_you", message: "sign in" } };
        return 500;
      };
      const client = await connect(nodes[0], { namespace: "/decided", recovery: true, auth: { token: "good", more: 1 }, query: { app: "x" } });
      const { headers, id, time, client: about, socket, ...call } = backend.of("authenticate").at(-1);
      assert.equal(call.query.app, "x");
      assert.deepEqual({ ...call, query: undefined, auth: undefined }, { type: "authenticate", namespace: "/decided", token: "good", query: undefined, auth: undefined });
      assert.deepEqual([call.auth.more, about.address], [1, "127.0.0.1"]);
      assert.equal(await client.emit("ask"), "in");
      const { user, claims } = backend.of("event", "ask").at(-1);
      assert.deepEqual([user, claims], ["ann", { role: "admin" }]);
      await gateway.publish("personal", [], { namespace: "/decided", target: { users: ["ann"] } });
      await client.event("personal");
      for (const [token, code, message] of [["banned", "banned", "you know why"], ["silent"], [undefined, "who_are_you", "sign in"]]) {
        const stranger = new Client(nodes[0].url, { namespace: "/decided", auth: { token } });
        const [error] = await next(stranger.socket, "connect_error");
        if (code) assert.equal(error.data.code, code);
        if (message) assert.equal(error.message, message);
      }
      // what it says of the end of the token holds
      const seconds = Math.floor(Date.now() / 1000);
      answer = () => ({ user: "ann", expires_at: seconds - 60 });
      assert.equal(await new Client(nodes[0].url, { namespace: "/decided", auth: { token: "old" } }).attempt(), "token_expired");
      answer = () => ({ user: "ann", expires_at: seconds + 2 });
      const short = await connect(nodes[0], { namespace: "/decided", recovery: true, auth: { token: "short" } });
      short.socket.io.reconnection(false);
      await short.event("token-expired");
      // a backend that fails is no refusal: the client shall come back
      answer = () => 500;
      const waiting = new Client(nodes[0].url, { namespace: "/decided", auth: { token: "other" } });
      await next(waiting.socket.io, "close");
      assert.equal(waiting.connects.entries.length, 0);
      answer = () => ({ user: "bob" });
      await waiting.connected();
    });
  });
}
