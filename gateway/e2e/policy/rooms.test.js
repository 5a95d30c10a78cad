// A client that tries to enter what it may not, on every path: by an event, by a trick with a template, by a relay, at connect,
// and by a recovery after its right was withdrawn.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { startBackend } from "../harness/backend.js";
import { Client, closeClients, connect, fence } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { startGateway } from "../harness/gateway.js";
import { closeProxies, startProxy } from "../harness/proxy.js";
import { startRedis } from "../harness/redis.js";
import { Signer } from "../harness/tokens.js";
import { next } from "../harness/wait.js";

const signer = new Signer("HS256");
const invited = { claim: "sessions", contains: "{args.0}" };
const member = { redis_set: "project:{args.0}:members", member: "{user}" };
const rule = (event, action, more) => ({ event, action, ...more });

const settings = (backend) => ({
  limits: { max_rooms: 20 },
  upstream: backend.settings,
  namespaces: [
    {
      name: "/",
      auth: { ...signer.settings, token: ["auth.token"] },
      on_connect: { join: [{ room: "guest:{query.room}", optional: true, when: { claim: "guest", equals: true } }] },
      events: [
        rule("join-session", "join", { room: "session:{args.0}", when: invited }),
        rule("leave-session", "leave", { room: "session:{args.0}" }),
        rule("say", "relay", { to: "room", room: "session:{args.0}", as: "said", when: { in_room: true } }),
        rule("tell", "relay", { to: "room", room: "session:{args.0}", as: "said", when: invited }),
        rule("announce", "relay", { to: "all", as: "announced", when: { claim: "role", equals: "admin" } }),
        rule("join-as-both", "join", { room: "both:{args.0}", when: [invited, { claim: "role", equals: "admin" }] }),
        rule("join-topic", "join", { room: "topic:{args.0}" }),
        rule("join-pair", "join", { room: "pair:{args.0}:{args.1}" }),
        rule("join-own", "join", { room: "own:{user}:{claims.team}" }),
        rule("join-asked", "join", { room: "asked:{args.0}", when: { upstream: true, cache: "30s" } }),
        rule("join-project", "join", { room: "project:{args.0}", when: member, error_event: "join-project-error" }),
      ],
    },
    { name: "/lobby", on_connect: { join: ["lobby:{query.room}"] }, events: [rule("join", "join", { room: "{args.0}" })] },
  ],
});

for (const where of ["one node", "the cluster"]) {
  describe(`rooms that one may not enter, on ${where}`, () => {
    let backend, redis, gateway, nodes;
    before(async () => {
      backend = await startBackend(({ type, user, room, args }) => (type === "authorize" ? { allow: user === "ann" && room === "asked:yes" && args[0] === "yes" } : undefined));
      redis = await startRedis();
      const config = settings(backend);
      if (where === "the cluster") gateway = await startCluster(config, redis);
      else gateway = await startGateway({ redis: { url: redis.url }, ...config });
      nodes = gateway.nodes ?? [gateway];
    });
    after(async () => {
      await gateway?.stop();
      if (where === "one node") await redis?.stop();
      await backend?.stop();
    });
    afterEach(() => {
      closeClients();
      closeProxies();
    });

    const token = (claims = {}) => signer.token({ sessions: ["s1", "s2"], team: "red", ...claims });
    const enter = (claims, options) => connect(nodes[0], { recovery: true, auth: { token: token(claims) }, ...options });
    const inside = (room, namespace = "/") => gateway.count(`namespace=${namespace}&room=${encodeURIComponent(room)}`);

    async function refused(client, code, event, ...args) {
      const answer = await client.emit(event, ...args);
      const title = `${event} ${JSON.stringify(args)}: ${JSON.stringify(answer)}`;
      assert.equal(answer?.ok, false, title);
      assert.deepEqual(Object.keys(answer.error).sort(), ["code", "message"], title);
      assert.equal(answer.error.code, code, title);
      assert.ok(typeof answer.error.message === "string" && answer.error.message !== "", title);
    }
    const allowed = async (client, event, ...args) => assert.deepEqual(await client.emit(event, ...args), { ok: true }, `${event} ${args}`);

    it("by an event: not without the claim, the role, all conditions, a rule", async () => {
      const client = await enter();
      await allowed(client, "join-session", "s1");
      await refused(client, "forbidden", "join-session", "s3");
      await refused(client, "forbidden", "join-as-both", "s1");
      await refused(client, "forbidden", "announce", "x");
      await refused(client, "not_allowed", "join", "session:s3");
      await refused(client, "not_allowed", "join_session", "s1");
      const admin = await enter({ role: "admin" });
      await allowed(admin, "join-as-both", "s1");
      await refused(admin, "forbidden", "join-as-both", "s3");
      await allowed(admin, "announce", "x");
      await client.event("announced");
      assert.deepEqual([await inside("session:s3"), await inside("both:s1"), await inside("both:s3")], [0, 1, 0]);
      // a claim that looks like what is asked, and is not
      for (const sessions of [undefined, null, "s3x", ["s3x", "xs3"], [["s3"]], [{ s3: 1 }], 3, true]) {
        const other = await enter({ sessions });
        await refused(other, "forbidden", "join-session", "s3");
      }
      for (const role of ["Admin", "admin ", ["admin"], { admin: true }, 1, null]) {
        const other = await enter({ role });
        await refused(other, "forbidden", "announce", "x");
      }
    });

    it("by a trick with a template", async () => {
      const client = await enter({ sub: "ann", sessions: ["", " ", "s1", "a:b", "x".repeat(5000), "a\nb", "{claims.team}"] });
      const before = await inside("topic:x");
      const tricks = ["", "x".repeat(5000), "a\nb", "a\u0000b", "\u007f", "\u0085", "a:b", ":", "a:", null, true, false, {}, [], ["x"], { 0: "x" }];
      for (const trick of tricks) {
        await refused(client, "invalid_room", "join-topic", trick);
        await refused(client, "invalid_room", "join-pair", trick, "b");
        await refused(client, "invalid_room", "join-pair", "a", trick);
      }
      await refused(client, "invalid_room", "join-topic");
      await refused(client, "invalid_room", "join-pair", "a");
      for (const trick of ["", "a:b", "a\nb", "x".repeat(5000), null, {}]) {
        const { ok } = await client.emit("join-session", trick);
        assert.equal(ok, false, JSON.stringify(trick));
      }
      // `pair:a:b` is of a and b only
      await allowed(client, "join-pair", "a", "b");
      assert.equal(await inside("pair:a:b"), 1);
      // text that means something elsewhere means nothing here
      for (const plain of ["{claims.team}", "../s1", "*", "a b", "%3A", "世界", 7, 1.5, -1]) await allowed(client, "join-topic", plain);
      const { sockets } = await gateway.ok("GET", "/v1/sockets?namespace=/&room=topic:7");
      assert.deepEqual(sockets.map(({ id }) => id), [client.id]);
      assert.equal(await inside("topic:red"), 0, "a value is no template");
      assert.equal(await inside("topic:x"), before);
    });

    it("by claims that are a trick", async () => {
      for (const claims of [{ team: "a:b" }, { team: "" }, { team: {} }, { team: undefined }, { sub: "ann:red", team: "x" }]) {
        const client = await enter(claims);
        await refused(client, "invalid_room", "join-own");
      }
      await allowed(await enter({ sub: "ann" }), "join-own");
      assert.equal(await inside("own:ann:red"), 1);
    });

    it("at connect, by the query", async () => {
      for (const room of ["", "a:b", "a\nb", "x".repeat(5000)]) {
        const client = new Client(nodes[0].url, { namespace: "/lobby", query: { room } });
        const [error] = await next(client.socket, "connect_error");
        assert.equal(error.data?.code, "invalid_room", JSON.stringify(room.slice(0, 10)));
      }
      const nowhere = new Client(nodes[0].url, { namespace: "/lobby" });
      assert.equal((await next(nowhere.socket, "connect_error"))[0].data.code, "invalid_room");
      await connect(nodes[0], { namespace: "/lobby", query: { room: "x" } });
      assert.equal(await inside("lobby:x", "/lobby"), 1);
      // an optional room is left out where it may not be had
      await enter({}, { query: { room: "den" } });
      assert.equal(await inside("guest:den"), 0);
      await enter({ guest: true }, { query: { room: "den" } });
      assert.equal(await inside("guest:den"), 1);
    });

    it("by sending into a room", async () => {
      const [insider, outsider] = [await enter({ sub: "ann" }), await enter({ sub: "bob", sessions: ["s2"] })];
      await allowed(insider, "join-session", "s1");
      await refused(outsider, "forbidden", "say", "s1", "hello");
      await refused(outsider, "forbidden", "tell", "s1", "hello");
      await refused(outsider, "invalid_room", "say", "s1:x", "hello");
      await allowed(insider, "say", "s1", "from inside");
      await insider.emit("leave-session", "s1");
      await refused(insider, "forbidden", "say", "s1", "too late");
      await fence(gateway, insider);
      await fence(gateway, outsider);
      assert.deepEqual(insider.received.filter(([event]) => event === "said"), [["said", "s1", "from inside"]]);
      assert.deepEqual(outsider.all("said"), []);
    });

    it("that the backend does not allow; its word is kept for a while", async () => {
      const [ann, bob] = [await enter({ sub: "ann" }), await enter({ sub: "bob" })];
      const asked = backend.of("authorize").length;
      await allowed(ann, "join-asked", "yes");
      await refused(ann, "forbidden", "join-asked", "no");
      await refused(bob, "forbidden", "join-asked", "yes");
      const calls = backend.of("authorize").slice(asked);
      assert.deepEqual(calls.map(({ user, event, room, args, socket }) => ({ user, event, room, args, socket })), [
        { user: "ann", event: "join-asked", room: "asked:yes", args: ["yes"], socket: ann.id },
        { user: "ann", event: "join-asked", room: "asked:no", args: ["no"], socket: ann.id },
        { user: "bob", event: "join-asked", room: "asked:yes", args: ["yes"], socket: bob.id },
      ]);
      for (let n = 0; n < 5; n++) await allowed(ann, "join-asked", "yes");
      assert.equal(backend.of("authorize").length, asked + 3, "asked once");
      assert.equal(await inside("asked:yes"), 1);
    });

    it("of a Redis set that one is not in", async () => {
      await redis.command("SADD", "project:p1:members", "ann");
      const [ann, bob] = [await enter({ sub: "ann" }), await enter({ sub: "bob" })];
      await allowed(ann, "join-project", "p1");
      await refused(bob, "forbidden", "join-project", "p1");
      await refused(ann, "forbidden", "join-project", "p2");
      await refused(ann, "invalid_room", "join-project", "p1:members");
      const { args: [error] } = await bob.event("join-project-error");
      assert.deepEqual([error.code, typeof error.message], ["forbidden", "string"]);
      assert.equal(await inside("project:p1"), 1);
    });

    it("by coming back after the right was withdrawn", async () => {
      await redis.command("SADD", "project:p9:members", "ann");
      const proxy = await startProxy(nodes[0].port);
      const client = await connect({ url: proxy.url, path: gateway.path }, { recovery: true, auth: { token: token({ sub: "ann" }) } });
      for (const session of ["s1", "s2"]) await allowed(client, "join-session", session);
      await allowed(client, "join-project", "p9");
      await allowed(client, "join-topic", "free");
      const { id } = client;
      const tell = async (n) => {
        for (const room of ["session:s1", "session:s2", "project:p9", "topic:free"]) await gateway.room(room, "news", `${room} ${n}`);
      };
      await tell(1);
      await fence(gateway, client);
      await client.cut();
      await redis.command("SREM", "project:p9:members", "ann");
      await tell(2);
      client.socket.auth = { token: token({ sub: "ann", sessions: ["s2"] }) };
      proxy.target = nodes.at(-1).port;
      assert.deepEqual(await client.back(), { id, recovered: true });
      await tell(3);
      await fence(gateway, client);
      const heard = client.all("news").map((text) => text.split(" "));
      const of = (room) => heard.filter(([name]) => name === room).map(([, n]) => Number(n));
      assert.deepEqual({ s1: of("session:s1"), s2: of("session:s2"), p9: of("project:p9"), free: of("topic:free") }, { s1: [1], s2: [1, 2, 3], p9: [1], free: [1, 2, 3] });
      await refused(client, "forbidden", "join-session", "s1");
      await refused(client, "forbidden", "say", "s1", "x");
      assert.deepEqual([await inside("session:s1"), await inside("project:p9")], [0, 0]);
    });

    it("by keeping a room when a new token in band has no right to it", async () => {
      const client = await enter({ sub: "ann" });
      for (const session of ["s1", "s2"]) await allowed(client, "join-session", session);
      assert.equal((await client.emit("refresh-token", token({ sub: "ann", sessions: ["s2", "s3"] }))).ok, true);
      for (const session of ["s1", "s2"]) await gateway.room(`session:${session}`, "news", session);
      await fence(gateway, client);
      assert.deepEqual(client.all("news"), ["s2"]);
      await refused(client, "forbidden", "join-session", "s1");
      await allowed(client, "join-session", "s3");
    });

    it("beyond the number that one may be in", async () => {
      const client = await enter();
      const answers = [];
      for (let n = 0; n < 30; n++) answers.push(await client.emit("join-topic", `many-${n}`));
      const refusals = answers.filter(({ ok }) => !ok);
      assert.ok(refusals.length >= 10 && refusals.length < 20, `${refusals.length} refused`);
      for (const { error } of refusals) assert.equal(error.code, "too_many_rooms");
      assert.equal((await client.emit("leave-session", "s1")).ok, true);
      await fence(gateway, client);
    });

    it("and each refusal is counted, by reason", async () => {
      const client = await enter();
      const refusals = (reason) => nodes[0].metric("carillon_events_refused_total", `reason="${reason}"`);
      for (const [reason, code, event, ...args] of [["forbidden", "forbidden", "join-session", "s3"], ["invalid", "invalid_room", "join-topic", "a:b"], ["not_allowed", "not_allowed", "nothing"]]) {
        const before = await refusals(reason);
        await refused(client, code, event, ...args);
        assert.equal((await refusals(reason)) - before, 1, reason);
      }
    });
  });
}
