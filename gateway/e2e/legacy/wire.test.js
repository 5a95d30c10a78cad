// The wire of old clients, by hand: paths, payloads, heartbeats, refusals, as the documents of their time have them.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { startGateway } from "../harness/gateway.js";
import { openNamespace } from "../harness/rules.js";
import { Signer } from "../harness/tokens.js";
import { elapse, eventually, next, Recorder, within } from "../harness/wait.js";

const signer = new Signer("HS256");
const namespaces = [
  openNamespace("/", true, { on_connect: { join: [{ room: "query:{query.room}", optional: true }], emit: [{ event: "hello", args: ["\u4f60"] }] } }),
  openNamespace("/hall", true, { on_connect: { join: ["hall"] }, presence: { rooms: ["hall"] } }),
  openNamespace("/guarded", true, { auth: { ...signer.settings, token: ["query.token"] }, on_connect: { join: ["{user}"] } }),
  { name: "/past", recovery: true, events: [{ event: "join", action: "join", room: "{args.0}", history: { count: 2 } }] },
  openNamespace("/chat", false, { on_connect: { join: [{ room: "query:{query.room}", optional: true }] } }),
];

let gateway, guarded, quick, off;
before(async () => {
  gateway = await startGateway({ public: { legacy: { enabled: true, jsonp: true } }, namespaces });
  guarded = await startGateway({
    public: { legacy: { enabled: true } },
    limits: { connect_timeout: "300ms" },
    namespaces: [openNamespace("/", true, { auth: { ...signer.settings, token: ["query.token"] }, on_connect: { join: [] } }), openNamespace("/open", false, { on_connect: { join: [] } })],
  });
  quick = await startGateway({ public: { legacy: { enabled: true, ping_interval: "500ms", ping_timeout: "1500ms", max_connections: 1 } } });
  off = await startGateway({});
});
after(() => Promise.all([gateway, guarded, quick, off].map((one) => one?.stop())));

const plain = "/socket.io/";
const ask = (query, { path = plain, on = gateway, ...init } = {}) => fetch(`${on.url}${path}?${query}`, init);

/** The packets of a binary payload: text as text, binary data as bytes without their type. */
function unpack(buffer) {
  const packets = [];
  for (let at = 0; at < buffer.length; ) {
    const end = buffer.indexOf(0xff, at);
    const length = Number([...buffer.subarray(at + 1, end)].join(""));
    const data = buffer.subarray(end + 1, end + 1 + length);
    packets.push(buffer[at] === 0 ? data.toString() : [...data]);
    at = end + 1 + length;
  }
  return packets;
}
const packText = (text) => Buffer.concat([Buffer.from([0, ...String(Buffer.byteLength(text))].map(Number)), Buffer.from([0xff]), Buffer.from(text)]);
const packBinary = (...data) => Buffer.from([1, ...[...String(data.length + 1)].map(Number), 0xff, 4, ...data]);

/** A polling session of binary payloads. */
async function opened({ eio = 3, path = plain, on = gateway, more = "" } = {}) {
  const query = (sid) => `EIO=${eio}&transport=polling&t=${Date.now()}-${++opened.requests}${sid ? `&sid=${sid}` : more}`;
  const get = async (sid) => {
    const response = await within(ask(query(sid), { path, on }), "a poll to be answered");
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "application/octet-stream");
    return unpack(Buffer.from(await response.arrayBuffer()));
  };
  const packets = await get();
  const handshake = JSON.parse(packets.shift().slice(1));
  const { sid } = handshake;
  const session = {
    sid,
    handshake,
    /** The next packets that have not been taken. */
    async take(count) {
      while (packets.length < count) packets.push(...(await get(sid)));
      return packets.splice(0, count);
    },
    async send(...parts) {
      const response = await ask(query(sid), { path, on, method: "POST", body: Buffer.concat(parts), headers: { "content-type": "application/octet-stream" } });
      assert.equal(await response.text(), "ok");
    },
    known: async () => (await ask(`EIO=${eio}&transport=websocket&sid=${sid}`, { on })).json().then(({ code }) => code !== 1),
  };
  return session;
}
opened.requests = 0;

function socketTo(query, { path = plain, on = gateway } = {}) {
  const socket = new WebSocket(`${on.ws}${path}?${query}`);
  const packets = new Recorder();
  socket.on("message", (data, binary) => packets.push(binary ? [...data] : data.toString()));
  socket.closed = new Promise((done) => socket.once("close", done));
  socket.take = () => packets.take("a packet");
  return socket;
}

describe("handshakes", () => {
  for (const [eio, path] of [[3, plain], [2, plain], [2, `${plain}1/`], [3, "/socket.io/1"]]) {
    it(`EIO=${eio} at ${path} opens a session with the keys of its time, and enters /`, async () => {
      const session = await opened({ eio, path });
      assert.deepEqual(Object.keys(session.handshake), ["sid", "upgrades", "pingInterval", "pingTimeout"]);
      const { upgrades, pingInterval, pingTimeout } = session.handshake;
      assert.deepEqual({ upgrades, pingInterval, pingTimeout }, { upgrades: ["websocket"], pingInterval: 25000, pingTimeout: 60000 });
      assert.deepEqual(await session.take(2), ["40", '42["hello","\\u4f60"]']);
      const { sockets } = await gateway.ok("GET", "/v1/sockets");
      assert.ok(sockets.some(({ id }) => id === session.sid), "its socket has the id of its session");
    });
  }

  it("WebSocket at the path of its time opens a session, and takes one over", async () => {
    const direct = socketTo("EIO=3&transport=websocket", { path: `${plain}1/websocket/` });
    assert.deepEqual(JSON.parse((await direct.take()).slice(1)).upgrades, []);
    assert.equal(await direct.take(), "40");
    const session = await opened({ eio: 2 });
    await session.take(2);
    const waiting = session.take(1);
    const socket = socketTo(`EIO=2&transport=websocket&sid=${session.sid}`, { path: `${plain}1/websocket/` });
    await next(socket, "open");
    socket.send("2probe");
    assert.equal(await socket.take(), "3probe");
    assert.deepEqual(await waiting, ["6"], "the poll is let go");
    socket.send("5");
    socket.send('421["message-with-ack"]');
    assert.equal(await socket.take(), "431[]");
    for (const open of [direct, socket]) open.terminate();
  });

  it("is refused where it is off, and so are its paths", async () => {
    for (const eio of [2, 3]) {
      const response = await ask(`EIO=${eio}&transport=polling`, { on: off });
      assert.equal(response.status, 400);
      assert.deepEqual(await response.json(), { code: 5, message: "Unsupported protocol version" });
    }
    for (const path of ["1/", "1/websocket/", "1/xhr-polling/abc"]) {
      assert.equal((await ask("EIO=2&transport=polling&disconnect", { on: off, path: plain + path })).status, 404, path);
    }
    const response = await ask("EIO=3&transport=polling&j=0", { on: quick });
    assert.equal(response.status, 400, "scripts need a setting of their own");
  });

  it("is refused over the limit of old clients, which new ones are not", async () => {
    const first = await opened({ on: quick });
    const response = await ask("EIO=3&transport=polling", { on: quick });
    assert.equal(response.status, 503);
    assert.deepEqual(await response.json(), { code: 11, message: "Too many connections of old protocols" });
    assert.equal((await ask("EIO=4&transport=polling", { on: quick })).status, 200);
    assert.equal(await quick.metric("carillon_handshakes_refused_total", "too_many_legacy"), 1);
    await first.send(packText("1"));
    await eventually(async () => (await ask("EIO=3&transport=polling", { on: quick })).status === 200, "the place to be given back");
  });
});

describe("payloads", () => {
  it("are as the documents say, byte by byte", async () => {
    const response = await ask("EIO=2&transport=polling&t=1-0");
    const body = Buffer.from(await response.arrayBuffer());
    const { sid } = JSON.parse(unpack(body)[0].slice(1));
    const open = `0{"sid":"${sid}","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":60000}`;
    const digits = [...String(open.length)].map(Number);
    assert.deepEqual([...body], [0, ...digits, 0xff, ...Buffer.from(open)]);
  });

  it("carry binary in both framings, both ways", async () => {
    const session = await opened();
    await session.take(2);
    const event = '451-1["message-with-ack",{"_placeholder":true,"num":0}]';
    await session.send(packText(event), packBinary(1, 0x80, 0xff));
    assert.deepEqual(await session.take(2), ['461-1[{"_placeholder":true,"num":0}]', [4, 1, 0x80, 0xff]]);
    await session.send(Buffer.from(`${event.length}:${event}6:b4AYD/`));
    assert.deepEqual(await session.take(2), ['461-1[{"_placeholder":true,"num":0}]', [4, 1, 0x80, 0xff]]);

    const texts = await ask("EIO=3&transport=polling&b64=1");
    assert.equal(texts.headers.get("content-type"), "text/plain; charset=UTF-8");
    const { sid } = JSON.parse((await texts.text()).replace(/^\d+:0/, ""));
    await ask(`EIO=3&transport=polling&sid=${sid}`, { method: "POST", body: `${event.length}:${event}6:b4AYD/` });
    let body = "";
    await eventually(async () => {
      body += await (await ask(`EIO=3&transport=polling&sid=${sid}`)).text();
      return body.endsWith("6:b4AYD/");
    }, "the answer");
    assert.ok(body.endsWith('36:461-1[{"_placeholder":true,"num":0}]6:b4AYD/'), body);
  });

  it("that are malformed end the session", async () => {
    for (const body of ["x", "9:4hi", Buffer.from([0, 9, 0xff, 0x34]), Buffer.from([1, 1, 0xff, 9]), "3:42{"]) {
      const session = await opened();
      await ask(`EIO=3&transport=polling&sid=${session.sid}`, { method: "POST", body });
      await eventually(async () => !(await session.known()), `the session to end after ${JSON.stringify(String(body))}`);
    }
  });

  it("come as scripts, and by forms", async () => {
    const script = async (query) => {
      const response = await ask(`EIO=3&transport=polling&j=7&${query}`);
      assert.equal(response.headers.get("content-type"), "text/javascript; charset=UTF-8");
      let payload;
      new Function("___eio", await response.text())({ set 7(_) {}, get 7() { return (text) => (payload = text); } });
      return payload;
    };
    const opening = await script("t=1");
    const { sid } = JSON.parse(opening.replace(/^\d+:0/, "").replace(/}\d+:4.*/, "}"));
    const said = '421["message-with-ack","</script>\\n\u4f60\u2028"]';
    const form = new URLSearchParams({ d: `${said.length}:${said}`.replaceAll("\\n", "\\\\n") });
    const posted = await ask(`EIO=3&transport=polling&sid=${sid}&j=7`, { method: "POST", body: form });
    assert.equal(await posted.text(), "ok");
    let answers = "";
    await eventually(async () => (answers += await script(`sid=${sid}&t=2${answers.length}`)).includes("431["), "the acknowledgement");
    assert.ok(answers.endsWith('431["</script>\\n\\u4f60\\u2028"]'), answers);
    const forged = await ask("EIO=3&transport=polling&j=alert(1)");
    assert.equal(forged.headers.get("content-type"), "application/octet-stream", "no script is made of anything but a number");
  });

  it("may be read by pages of other origins with their cookies", async () => {
    const headers = { origin: "http://page.example" };
    const old = await ask("EIO=3&transport=polling", { headers });
    assert.equal(old.headers.get("access-control-allow-origin"), "http://page.example");
    assert.equal(old.headers.get("access-control-allow-credentials"), "true");
    const preflight = await ask("EIO=2&transport=polling", { method: "OPTIONS", headers: { ...headers, "access-control-request-headers": "content-type" } });
    assert.equal(preflight.headers.get("access-control-allow-headers"), "content-type");
    assert.equal(preflight.headers.get("access-control-allow-credentials"), "true");
    const present = await ask("EIO=4&transport=polling", { headers });
    assert.equal(present.headers.get("access-control-allow-origin"), "*");
    assert.equal(present.headers.get("access-control-allow-credentials"), null);
  });
});

describe("connections", () => {
  it("end by a goodbye, by GET and by POST, on polling and on WebSocket, and again without harm", async () => {
    for (const method of ["GET", "POST"]) {
      const session = await opened({ eio: 2, path: `${plain}1/` });
      const goodbye = () => ask("disconnect", { path: `${plain}1/xhr-polling/${session.sid}`, method });
      assert.equal((await goodbye()).status, 200);
      await eventually(async () => !(await session.known()), "the session to end");
      assert.equal((await goodbye()).status, 200);
    }
    const socket = socketTo("EIO=3&transport=websocket");
    const { sid } = JSON.parse((await socket.take()).slice(1));
    assert.equal((await ask("disconnect", { path: `${plain}1/xhr-polling/${sid}` })).status, 200);
    assert.equal(await within(socket.closed, "the WebSocket to close"), 1000);
    assert.equal((await ask("disconnect", { path: `${plain}1/xhr-polling/nonsense` })).status, 200);
  });

  it("end when their client falls silent, and live while it pings", async () => {
    await eventually(async () => (await quick.metric("carillon_connections", "eio3")) === 0, "the connections of other tests to end");
    const lively = socketTo("EIO=3&transport=websocket", { on: quick });
    assert.equal(JSON.parse((await lively.take()).slice(1)).pingInterval, 500);
    assert.equal(await lively.take(), "40");
    const began = Date.now();
    // longer than a silent one would live
    for (let n = 0; Date.now() - began < 3000; n++) {
      lively.send(`2${n}`);
      assert.equal(await lively.take(), `3${n}`);
      await elapse(50);
    }
    const before = await quick.metric("carillon_closes_total", "heartbeat");
    assert.equal(await within(lively.closed, "the silent one to end"), 1008);
    assert.equal(await quick.metric("carillon_closes_total", "heartbeat"), before + 1);
  });

  it("have rooms by the query of the handshake, and of a namespace", async () => {
    const socket = socketTo("EIO=3&transport=websocket&room=one");
    for (const _ of [1, 2, 3]) await socket.take();
    socket.send("40/chat?room=two");
    assert.equal(await socket.take(), "40/chat,");
    const counts = await Promise.all(["one", "two"].map((room) => gateway.count(`namespace=%2Fchat&room=query:${room}`)));
    assert.deepEqual(counts, [0, 1]);
    assert.equal(await gateway.count("room=query:one"), 1);
    socket.send("41/chat");
    await eventually(async () => (await gateway.count("namespace=%2Fchat&room=query:two")) === 0, "the namespace to be left");
    socket.send("40/none");
    assert.equal(await socket.take(), '44/none,"Invalid namespace"');
    socket.send('42/none,["message"]', "421[\"message-with-ack\"]");
    socket.send('421["message-with-ack"]');
    assert.equal(await socket.take(), "431[]", "what is for no namespace is passed over");
    socket.terminate();
  });

  it("are told why / is refused, and end unless they enter another namespace", async () => {
    const query = (token) => `EIO=3&transport=websocket${token ? `&token=${token}` : ""}`;
    const refused = socketTo(query("nonsense"), { on: guarded });
    await refused.take();
    assert.match(await refused.take(), /^44"[ -~]+"$/);
    assert.equal(await within(refused.closed, "the refused one to end"), 1008);
    const elsewhere = socketTo(query(), { on: guarded });
    await elsewhere.take();
    assert.match(await elsewhere.take(), /^44"/);
    elsewhere.send("40/open");
    assert.equal(await elsewhere.take(), "40/open,");
    const welcome = socketTo(query(signer.token({ sub: "ann" })), { on: guarded });
    await welcome.take();
    assert.equal(await welcome.take(), "40");
    assert.equal(await guarded.count("user=ann"), 1);
    for (const open of [elsewhere, welcome]) open.terminate();
  });

  it("show a token to a namespace by its query", async () => {
    const socket = socketTo("EIO=3&transport=websocket&token=nonsense");
    for (const _ of [1, 2, 3]) await socket.take();
    socket.send("40/guarded");
    assert.match(await socket.take(), /^44\/guarded,"[ -~]+"$/);
    socket.send(`40/guarded?token=${signer.token({ sub: "bob" })}`);
    assert.equal(await socket.take(), "40/guarded,");
    assert.equal(await gateway.count("namespace=%2Fguarded&room=bob"), 1);
    socket.terminate();
  });

  it("get a room's recent messages with a join", async () => {
    for (const n of [1, 2, 3]) await gateway.publish("n", [n], { namespace: "/past", target: { rooms: ["den"] } });
    const socket = socketTo("EIO=2&transport=websocket");
    for (const _ of [1, 2, 3]) await socket.take();
    socket.send("40/past");
    assert.equal(await socket.take(), "40/past,");
    socket.send('42/past,1["join","den"]');
    const packets = [await socket.take(), await socket.take(), await socket.take()];
    assert.deepEqual(packets, ['42/past,["n",2]', '42/past,["n",3]', '43/past,1[{"ok":true}]']);
    socket.terminate();
  });

  it("recover nothing: with the transport goes the session, and rooms are told at once", async () => {
    const watching = socketTo("EIO=3&transport=websocket");
    for (const _ of [1, 2, 3]) await watching.take();
    watching.send("40/hall");
    assert.equal(await watching.take(), "40/hall,");
    assert.match(await watching.take(), /^42\/hall,\["presence-joined"/);
    const leaving = socketTo("EIO=2&transport=websocket");
    for (const _ of [1, 2, 3]) await leaving.take();
    leaving.send("40/hall");
    assert.match(await watching.take(), /^42\/hall,\["presence-joined"/);
    leaving.terminate();
    // the window in which a new client could come back is minutes
    assert.match(await watching.take(), /^42\/hall,\["presence-left"/);
    const events = (await gateway.ok("GET", "/v1/presence?namespace=%2Fhall&room=hall")).sockets.length;
    assert.equal(events, 1);
    watching.terminate();
  });
});
