// The admin page's API: what it says is what is, and what it explains is what then happens.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { closeTails, tail, Tail } from "../harness/admin.js";
import { closeClients, connect, fence } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { reference, startGateway } from "../harness/gateway.js";
import { openNamespace } from "../harness/rules.js";
import { eventually } from "../harness/wait.js";

const options = { skip: reference && "about what the gateway has beside the protocol" };
const namespaces = [openNamespace("/", true), openNamespace("/plain", false)];
const hostile = `<img src=x onerror="alert(1)">'"&\u2028 房间`;

afterEach(() => {
  closeTails();
  closeClients();
});

describe("the admin API of one node", options, () => {
  const sha256 = (text) => createHash("sha256").update(text).digest("hex");
  const keys = { all: ["admin", "publish", "manage", "read"], admin: ["admin"], other: ["publish", "manage", "read"] };
  const api_keys = Object.entries(keys).map(([name, scopes]) => ({ name, sha256: sha256(name), scopes }));
  const as = (name) => ({ authorization: `Bearer ${name}` });
  let gateway;
  before(async () => {
    gateway = await startGateway({ namespaces, internal: { api_keys } });
    gateway.headers = as("all");
  });
  after(() => gateway?.stop());

  const requests = [
    ["GET", "/admin/v1/overview"],
    ["GET", "/admin/v1/rooms"],
    ["GET", "/admin/v1/tail?room=a"],
    ["POST", "/admin/v1/explain", { target: "all", event: "e" }],
  ];

  it("asks for a key with the scope admin, and the page for none", async () => {
    for (const [method, path, body] of requests) {
      for (const [headers, status, code] of [[{ authorization: "" }, 401, "unauthorized"], [as("wrong"), 401, "unauthorized"], [as("other"), 403, "forbidden"]]) {
        const answer = await gateway.call(method, path, body, headers);
        assert.deepEqual([answer.status, answer.body.error.code], [status, code], `${path} ${JSON.stringify(headers)}`);
      }
    }
    const page = await fetch(`${gateway.internal}/admin/`);
    assert.equal(page.status, 200);
    const policy = page.headers.get("content-security-policy");
    assert.match(policy, /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; connect-src 'self';/);
    assert.equal((await fetch(`${gateway.internal}/admin`)).url, `${gateway.internal}/admin/`);
    const rights = async (name) => (await gateway.ok("GET", "/admin/v1/overview", undefined, as(name))).may;
    assert.deepEqual([await rights("all"), await rights("admin")], [{ publish: true, manage: true }, { publish: false, manage: false }]);
  });

  it("refuses what makes no sense, as the publish API does", async () => {
    for (const [path, status, message] of [
      ["/admin/v1/tail", 400, "give `room` or `user`"],
      ["/admin/v1/tail?room=a&user=b", 400, "not both"],
      ["/admin/v1/tail?room=", 400, "field `room`"],
      ["/admin/v1/tail?room=a&rate=0", 400, "must be from 1 to 200"],
      ["/admin/v1/tail?room=a&rate=201", 400, "must be from 1 to 200"],
      ["/admin/v1/tail?room=a&speed=1", 400, "unknown field `speed`"],
      ["/admin/v1/tail?namespace=/none&room=a", 404, "`/none` is not configured"],
      ["/admin/v1/rooms?namespace=/none", 404, "`/none` is not configured"],
      ["/admin/v1/rooms?most=201", 400, "must be from 1 to 200"],
      ["/admin/v1/moon", 404, "no such endpoint"],
      ["/admin/v1/explain", 405, "does not take this method"],
    ]) {
      const answer = await gateway.call("GET", path);
      assert.deepEqual([answer.status, answer.body.error.message.includes(message)], [status, true], `${path}: ${JSON.stringify(answer.body)}`);
    }
    const bad = ["nothing", "{}", { target: {}, event: "e" }, { target: "all", event: "connect" }, { target: "all", event: "e", args: 1 }, { target: { rooms: [""] }, event: "e" }, { target: "all", event: "e", namespace: "/none" }, { target: "all", event: "e", volatile: true, ack: { timeout_ms: 5 } }, { target: { sockets: ["short"] }, event: "e" }];
    for (const body of bad) {
      const [explained, published] = [await gateway.call("POST", "/admin/v1/explain", body), await gateway.call("POST", "/v1/publish", body)];
      assert.ok(published.status >= 400);
      assert.deepEqual([explained.status, explained.body], [published.status, published.body]);
    }
  });

  it("has few tails, each of which gives its place back", async () => {
    const tails = await Promise.all(Array.from({ length: 8 }, () => tail(gateway, { room: "a" })));
    assert.equal(await gateway.metric("carillon_taps"), 8);
    const ninth = await gateway.call("GET", "/admin/v1/tail?room=a");
    assert.deepEqual([ninth.status, ninth.body.error.code], [429, "too_many_tails"]);
    await tails[3].close();
    await eventually(async () => (await gateway.metric("carillon_taps")) === 7, "the place to be free");
    await tail(gateway, { room: "b" });
    closeTails();
    await eventually(async () => (await gateway.metric("carillon_taps")) === 0, "all tails to end");
  });

  it("shows payloads shortened, binary parts counted, and names that look like markup", async () => {
    const client = await connect(gateway, { recovery: true });
    await client.emit("join", hostile);
    const seen = await tail(gateway, { room: hostile });
    await gateway.room(hostile, hostile, hostile, "é".repeat(5000));
    await gateway.room(hostile, "binary", { $binary: "AQID" }, 2);
    await gateway.publish("volatile", [1, { a: 1.0 }], { target: { rooms: [hostile] }, volatile: true });
    await gateway.publish("several", [], { target: { rooms: ["x", hostile] }, except: { sockets: [client.id] } });
    await seen.event("several");
    const [long, binary, volatile, several] = seen.events;
    assert.deepEqual([long.event, long.rooms, long.attachments], [hostile, [{ room: hostile }], 0]);
    const text = `${JSON.stringify(hostile)},"${"é".repeat(5000)}"`;
    assert.equal(Buffer.byteLength(text), Buffer.byteLength(long.args) + long.cut);
    assert.ok(text.startsWith(long.args) && Buffer.byteLength(long.args) > 4090);
    assert.deepEqual([binary.args, binary.attachments, binary.cut], [`{"_placeholder":true,"num":0},2`, 1, 0]);
    assert.deepEqual([volatile.args, volatile.id], [`1,{"a":1}`, undefined]);
    assert.deepEqual([several.args, several.rooms, several.except], ["", [{ room: hostile }, { room: "x" }], [{ socket: client.id }]]);
    assert.deepEqual((await gateway.ok("GET", `/admin/v1/rooms?${new URLSearchParams({ prefix: "<img" })}`)).rooms, [{ room: { room: hostile }, members: 1 }]);
  });

  it("leaves out what is too much, and says how much that was", async () => {
    const seen = await tail(gateway, { room: "busy", rate: 5 });
    for (const round of [0, 1]) {
      const items = Array.from({ length: 250 }, (_, n) => ({ target: { rooms: ["busy"] }, event: "n", args: [round * 250 + n] }));
      await gateway.ok("POST", "/v1/publish/batch", { items });
      const all = (round + 1) * 250;
      await eventually(() => seen.events.length + seen.leftOut === all, () => `all to be accounted for; ${seen.events.length} shown, ${seen.leftOut} left out`);
    }
    const shown = seen.events.map(({ args }) => Number(args));
    assert.deepEqual(shown, shown.toSorted((a, b) => a - b));
    assert.ok(shown.length >= 5 && shown.length < 50, `${shown.length} shown`);
    console.log(`tail at 5 a second: ${shown.length} of 500 shown, ${seen.leftOut} left out`);
  });

  it("a tail ends when the node stops, and does not hold it up", async () => {
    const other = await startGateway({ namespaces });
    const seen = await tail(other, { user: "ann" });
    await other.stop();
    await seen.lines.find((line) => line.ended === "stopping");
    await seen.ended;
  });
});

describe("the admin API of a cluster", options, () => {
  let cluster;
  before(async () => (cluster = await startCluster({ namespaces })));
  after(() => cluster?.stop());
  // the clients of the test before are counted until they have gone
  beforeEach(() => eventually(async () => (await cluster.count()) + (await cluster.count("namespace=/plain")) === 0, "nobody to be there"));

  const each = (ask) => Promise.all(cluster.nodes.map(ask));
  const overview = () => cluster.ok("GET", "/admin/v1/overview");
  const sum = (nodes, read) => nodes.reduce((total, { status }) => total + read(status), 0);

  it("shows every node, and the figures of each", async () => {
    const clients = await Promise.all([0, 0, 0, 1, 1, 2].map((node) => connect(cluster.nodes[node], { recovery: true })));
    const polling = await connect(cluster.nodes[2], { transports: ["polling"], recovery: true });
    await clients[0].emit("join", "a");
    await clients[3].emit("join", "a");
    await cluster.room("a", "one");
    await Promise.all([fence(cluster, clients[0]), fence(cluster, clients[3])]);
    const { nodes, reach, namespaces: named } = await eventually(async () => {
      const seen = await overview();
      return seen.nodes.every(({ address, status }) => address && status) && seen;
    }, "the nodes to know each other");
    assert.equal(reach, "all");
    assert.deepEqual(named, [{ name: "/", recovery: true }, { name: "/plain", recovery: false }]);
    assert.equal(nodes.length, 3);
    assert.equal(nodes.filter((node) => node.this).length, 1);
    const of = (port) => nodes.find((node) => node.address.endsWith(`:${port}`)).status;
    const [first, second, third] = cluster.ports.map(({ internal }) => of(internal));
    assert.deepEqual([first.sockets, second.sockets, third.sockets], [3, 2, 2]);
    assert.deepEqual([first.connections.websocket, third.connections.websocket, third.connections.polling], [3, 1, 1]);
    // "news", a user for each client, and "a"
    assert.deepEqual([first.rooms, second.rooms, third.rooms], [5, 4, 3]);
    assert.equal(sum(nodes, (status) => status.sockets), await cluster.count());
    const delivered = (await each((node) => node.metric("carillon_deliveries_total"))).reduce((a, b) => a + b);
    assert.equal(sum(nodes, (status) => status.deliveries), delivered);
    for (const { status } of nodes) {
      assert.deepEqual(status.unready, []);
      assert.ok(status.age_seconds < 3 && status.uptime_seconds > 0 && status.resident_bytes > 1e6 && /^\d+\.\d+/.test(status.version), JSON.stringify(status));
    }
    await polling.cut();
    assert.equal((await polling.back()).recovered, true);
    assert.equal(sum((await overview()).nodes, (status) => status.recoveries.recovered), 1);
  });

  it("counts the rooms of all nodes together", async () => {
    const clients = await Promise.all(Array.from({ length: 9 }, (_, n) => connect(cluster.nodes[n % 3], { recovery: true })));
    for (const [n, client] of clients.entries()) for (const room of ["big", "mid", "low"].slice(0, 1 + (n % 3))) await client.emit("join", `top:${room}`);
    await clients[0].emit("join", hostile);
    const rooms = async (query) => (await cluster.ok("GET", `/admin/v1/rooms?${new URLSearchParams(query)}`));
    const top = await rooms({ prefix: "top:" });
    assert.deepEqual(top.rooms, [["top:big", 9], ["top:mid", 6], ["top:low", 3]].map(([room, members]) => ({ room: { room }, members })));
    assert.deepEqual([top.more, top.partial, top.missing, top.reach], [false, false, [], "all"]);
    const all = await rooms({ most: 200 });
    // each count is what the publish API counts
    for (const { room, members } of all.rooms) assert.equal(await cluster.count(new URLSearchParams(room)), members, JSON.stringify(room));
    assert.deepEqual(all.rooms.filter(({ room }) => room.user).map(({ room }) => room.user).sort(), clients.map((client) => client.user).sort());
    const two = await rooms({ most: 2 });
    // which of many equals is cut off at a node is open, and with it how many of it are counted
    assert.deepEqual([two.rooms.length, two.more], [2, true]);
    for (const { room, members } of two.rooms) assert.ok(members <= all.rooms.find((it) => JSON.stringify(it.room) === JSON.stringify(room)).members);
    assert.deepEqual((await rooms({ namespace: "/plain" })).rooms, []);
  });

  it("a tail shows what is delivered, in its order, on whichever node that is", async () => {
    const [node] = cluster.nodes;
    const client = await connect(cluster.nodes[1], { recovery: true });
    await client.emit("join", "a");
    const heard = (rooms) => eventually(async () => (await node.metric("carillon_redis_subscriptions")) === rooms, `the node to hear ${rooms} rooms`);
    await heard(0);
    // a room with members elsewhere, one without any, and a user
    const [seen, empty, user] = await Promise.all([tail(node, { room: "a", rate: 200 }), tail(node, { room: "empty" }), tail(node, { user: client.user })]);
    assert.equal(await node.metric("carillon_redis_subscriptions"), 3);
    for (let n = 0; n < 40; n++) await cluster.publish("n", [n, { text: "é" }], { target: { rooms: n % 4 === 3 ? ["a", "b"] : ["a"] } });
    await client.emit("say", "a", "relayed");
    await cluster.room("empty", "to nobody");
    await cluster.publish("personal", [1], { target: { users: [client.user] } });
    await Promise.all([seen.event("said"), empty.event("to nobody"), user.event("personal")]);
    await fence(cluster, client);
    const received = client.events.entries.filter(({ event }) => ["n", "said"].includes(event));
    assert.equal(received.length, 41);
    assert.deepEqual(seen.events.map(({ event, args, id }) => ({ event, args: JSON.parse(`[${args}]`), id })), received.map(({ event, args, offset }) => ({ event, args, id: offset })));
    assert.deepEqual([seen.leftOut, empty.events.length, user.events.length], [0, 1, 1]);
    assert.equal(sum((await overview()).nodes, (status) => status.sockets), 1, "a tail is no socket");
    closeTails();
    await heard(0);
    assert.equal(await node.metric("carillon_taps"), 0);
  });

  it("a tail goes on when the last member of its room leaves the node", async () => {
    const [node] = cluster.nodes;
    const client = await connect(node, { recovery: true });
    await client.emit("join", "left");
    const seen = await tail(node, { room: "left" });
    await cluster.room("left", "with a member");
    client.close();
    // all that the client was in, but for what the tail hears
    await eventually(async () => (await node.metric("carillon_redis_subscriptions")) === 1, "the other rooms to be unheard");
    await cluster.room("left", "without one");
    await seen.event("without one");
    assert.deepEqual(seen.events.map(({ event }) => event), ["with a member", "without one"]);
  });

  it("explains what then happens", async () => {
    const clients = await Promise.all(Array.from({ length: 6 }, (_, n) => connect(cluster.nodes[n % 3], { recovery: true })));
    const others = await Promise.all([0, 1].map((node) => connect(cluster.nodes[node], { namespace: "/plain" })));
    const [a, b, c, d, e, f] = clients;
    for (const client of [a, b, c, d]) await client.emit("join", "x");
    for (const client of [c, d, e]) await client.emit("join", "y");
    for (const client of [d, f]) await client.emit("join", "quiet");
    await others[0].emit("join", "x");
    const cases = [
      { target: "all" },
      { target: { rooms: ["x"] } },
      { target: { rooms: ["x", "y"] } },
      { target: { rooms: ["x", "y", "nobody"] }, except: { rooms: ["quiet"] } },
      { target: "all", except: { rooms: ["x", "y"] } },
      { target: "all", except: { sockets: [a.id, f.id] } },
      { target: { users: [e.user, "no one"] } },
      { target: { sockets: [b.id], rooms: ["quiet"] }, except: { rooms: ["y"] } },
      { target: { sockets: [a.id] }, except: { sockets: [a.id] } },
      { target: { rooms: ["nobody"] } },
      { target: { rooms: ["x"] }, volatile: true },
      { target: { rooms: ["x"] }, volatile: true, except: { rooms: ["quiet"] } },
      { target: "all", namespace: "/plain" },
      { target: { rooms: ["x"] }, namespace: "/plain", volatile: true },
      { target: "all", except: { rooms: ["x"] }, namespace: "/plain" },
    ];
    let compared = 0;
    for (const [n, body] of cases.entries()) {
      const event = `case ${n}`;
      const explained = await cluster.ok("POST", "/admin/v1/explain", { event, args: [n], ...body });
      const published = await cluster.publish(event, [n], body);
      const sockets = body.namespace ? others : clients;
      await Promise.all(sockets.map((client) => fence(cluster, client, body.namespace)));
      const got = sockets.filter((client) => client.events.entries.some((it) => it.event === event)).map((client) => client.id);
      const told = explained.nodes.flatMap((node) => node.sockets.filter(({ fate }) => fate === "sent"));
      assert.deepEqual(told.map(({ socket }) => socket).sort(), got.sort(), `${JSON.stringify(body)}: ${JSON.stringify(explained)}`);
      assert.equal(explained.receivers, got.length);
      assert.equal(explained.logged, published.logged);
      assert.deepEqual([explained.away?.count, explained.missing], [explained.logged ? 0 : undefined, []]);
      for (const { room, members } of explained.rooms) {
        const query = new URLSearchParams({ namespace: body.namespace ?? "/", ...(room === "all" ? {} : room) });
        if (!room.socket) assert.equal(members, await cluster.count(query), JSON.stringify(room));
      }
      compared += got.length;
    }
    console.log(`explained and published: ${cases.length} cases, ${compared} recipients`);
    assert.ok(compared > 25);
    const excepted = await cluster.ok("POST", "/admin/v1/explain", { target: { rooms: ["x"] }, event: "e", except: { rooms: ["quiet"] } });
    const [left] = excepted.nodes.flatMap((node) => node.sockets.filter(({ fate }) => fate === "excepted"));
    assert.deepEqual(left, { socket: d.id, room: { room: "x" }, fate: "excepted", except: { room: "quiet" } });
    const asked = await cluster.ok("POST", "/admin/v1/explain", { target: "all", event: "e", ack: { timeout_ms: 100 } });
    assert.deepEqual([asked.logged, asked.because, asked.receivers], [false, "acknowledged", 6]);
  });

  it("counts who is away and gets it later, and only them", async () => {
    const clients = await Promise.all([0, 1, 2].map((node) => connect(cluster.nodes[node], { recovery: true })));
    for (const client of clients) await client.emit("join", "x");
    await clients[1].emit("join", "quiet");
    await Promise.all(clients.map((client) => fence(cluster, client)));
    await clients[0].cut();
    await clients[1].cut();
    const explain = (more) => cluster.ok("POST", "/admin/v1/explain", { target: { rooms: ["x"] }, event: "late", ...more });
    await eventually(async () => (await cluster.count("room=x")) === 1, "both to be away");
    assert.deepEqual((await explain()).away, { count: 2, complete: true });
    const body = { target: { rooms: ["x"] }, except: { rooms: ["quiet"] } };
    const explained = await explain(body);
    assert.deepEqual([explained.receivers, explained.away], [1, { count: 1, complete: true }]);
    assert.deepEqual([(await explain({ volatile: true })).away, (await explain({ volatile: true })).because], [undefined, "volatile"]);
    await cluster.publish("late", [], body);
    for (const client of clients.slice(0, 2)) assert.equal((await client.back()).recovered, true);
    await Promise.all(clients.map((client) => fence(cluster, client)));
    assert.deepEqual(clients.map((client) => client.all("late").length), [1, 0, 1]);
  });

  it("names the nodes that do not answer, and goes on without Redis", async () => {
    const client = await connect(cluster.nodes[2], { recovery: true });
    const [node, , silent] = cluster.nodes;
    silent.child.kill("SIGSTOP");
    try {
      const { nodes, reach } = await node.ok("GET", "/admin/v1/overview");
      const without = nodes.filter(({ status }) => !status);
      assert.deepEqual([nodes.length, reach, without.map(({ address }) => address.split(":")[1])], [3, "all", [`${cluster.ports[2].internal}`]]);
      const explained = await node.ok("POST", "/admin/v1/explain", { target: "all", event: "e" });
      assert.deepEqual(explained.missing, [without[0].node]);
    } finally {
      silent.child.kill("SIGCONT");
    }
    await fence(cluster, client);
    await cluster.redis.stop();
    assert.equal((await node.call("GET", "/admin/v1/tail?room=new")).status, 503);
    assert.equal(await node.metric("carillon_taps"), 0);
    const alone = await node.ok("GET", "/admin/v1/overview");
    const answered = alone.nodes.filter(({ status }) => status);
    assert.deepEqual([alone.reach, answered.length, answered[0].this], ["this_node", 1, true]);
    await eventually(async () => (await node.ok("GET", "/admin/v1/overview")).nodes.find((it) => it.this).status.unready.includes("adapter_unavailable"), "the node to say that it is not ready");
  });
});
