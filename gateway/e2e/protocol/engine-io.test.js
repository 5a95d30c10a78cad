// Engine.IO 4 at wire level: what the official protocol suite checks, and some of what it does not.
// The gateway has no echo at this level, so a Socket.IO event that is relayed to its sender stands for it.

import assert from "node:assert/strict";
import http from "node:http";
import { after, before, describe, it } from "node:test";
import { beyondReference, reference, startGateway } from "../harness/gateway.js";
import { suiteConfig } from "../harness/rules.js";
import { SEPARATOR, Wire } from "../harness/wire.js";
import { eventually, next, within } from "../harness/wait.js";

// `quick` has the intervals of the official suite. Everything that is not about time runs on `wire`, whose heartbeat is slower
// than any test: there, a session that closes was closed for its cause and not by a ping timeout.
let wire, quick;
before(async () => {
  const { limits, namespaces } = suiteConfig;
  wire = new Wire(await startGateway({ limits, namespaces }));
  quick = new Wire(await startGateway(suiteConfig));
});
after(() => Promise.all([wire.gateway.stop(), quick.gateway.stop()]));

const HANDSHAKE_KEYS = ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"];
const UNKNOWN_TRANSPORT = { code: 0, message: "Transport unknown" };
const UNKNOWN_SID = { code: 1, message: "Session ID unknown" };
const BAD_METHOD = { code: 2, message: "Bad handshake method" };
const BAD_REQUEST = { code: 3, message: "Bad request" };
const UNSUPPORTED = { code: 5, message: "Unsupported protocol version" };

async function refusedWith(response, error) {
  assert.equal(response.status, 400);
  assert.deepEqual(await response.json(), error);
}

/** Sessions that have connected to "/" and taken the answers of the Socket.IO level. */
async function joinedPolling(on = wire) {
  const session = await on.polling();
  await session.send("40");
  await session.receive(2);
  return session;
}

async function joinedWebSocket(on = wire) {
  const socket = await on.websocket();
  socket.send("40");
  await socket.takeMany(2);
  return socket;
}

const say = (text) => `42["message",${JSON.stringify(text)}]`;
const said = (text) => `42["message-back",${JSON.stringify(text)}]`;

/** Awaits the end of a session. A GET for the other transport says whether the id is known, and disturbs nothing. */
const gone = ({ sid }, transport = "polling", on = wire) =>
  eventually(async () => {
    const other = { polling: "websocket", websocket: "polling" }[transport];
    const { code } = await (await on.request({ EIO: "4", transport: other, sid })).json();
    assert.ok(code === UNKNOWN_SID.code || code === BAD_REQUEST.code, `code ${code}`);
    return code === UNKNOWN_SID.code;
  }, "the session to be gone");

describe("engine.io handshake", () => {
  it("opens a polling session", async () => {
    const response = await quick.request({ EIO: "4", transport: "polling" });
    assert.equal(response.status, 200);
    assert.match(response.headers.get("content-type"), /^text\/plain; ?charset=utf-8$/i);
    const body = await response.text();
    assert.equal(body[0], "0");
    const handshake = JSON.parse(body.slice(1));
    assert.deepEqual(Object.keys(handshake).sort(), HANDSHAKE_KEYS);
    assert.equal(typeof handshake.sid, "string");
    assert.deepEqual({ ...handshake, sid: "" }, { sid: "", upgrades: ["websocket"], pingInterval: 300, pingTimeout: 200, maxPayload: 1000000 });
  });

  it("opens a WebSocket session, with nothing to upgrade to", async () => {
    const socket = await quick.websocket();
    assert.deepEqual(Object.keys(socket.handshake).sort(), HANDSHAKE_KEYS);
    assert.deepEqual({ ...socket.handshake, sid: "" }, { sid: "", upgrades: [], pingInterval: 300, pingTimeout: 200, maxPayload: 1000000 });
    socket.end();
  });

  it("gives every session its own id", async () => {
    const sids = await Promise.all(Array.from({ length: 20 }, async () => (await wire.polling()).sid));
    assert.equal(new Set(sids).size, 20);
  });

  const refusals = [
    ["no transport", "GET", { EIO: "4" }, UNKNOWN_TRANSPORT],
    ["an unknown transport", "GET", { EIO: "4", transport: "abc" }, UNKNOWN_TRANSPORT],
    ["the name of an object's property as transport", "GET", { EIO: "4", transport: "constructor" }, UNKNOWN_TRANSPORT],
    ["no EIO", "GET", { transport: "polling" }, UNSUPPORTED],
    ["an unknown EIO", "GET", { EIO: "abc", transport: "polling" }, UNSUPPORTED],
    ["an EIO of the future", "GET", { EIO: "44", transport: "polling" }, UNSUPPORTED],
    ["the method POST", "POST", { EIO: "4", transport: "polling" }, BAD_METHOD],
    ["the method PUT", "PUT", { EIO: "4", transport: "polling" }, BAD_METHOD],
    ["an unknown sid", "GET", { EIO: "4", transport: "polling", sid: "abc" }, UNKNOWN_SID],
    ["an unknown sid on POST", "POST", { EIO: "4", transport: "polling", sid: "abc" }, UNKNOWN_SID],
    ["the name of an object's property as sid", "GET", { EIO: "4", transport: "polling", sid: "__proto__" }, UNKNOWN_SID],
    ["transport=websocket without an upgrade", "GET", { EIO: "4", transport: "websocket" }, BAD_REQUEST],
  ];
  for (const [name, method, query, error] of refusals) {
    it(`refuses over HTTP: ${name}`, async () => refusedWith(await wire.request(query, { method }), error));
  }

  const upgrades = [
    ["no transport", { EIO: "4" }],
    ["an unknown transport", { EIO: "4", transport: "abc" }],
    ["no EIO", { transport: "websocket" }],
    ["an unknown EIO", { EIO: "abc", transport: "websocket" }],
    ["an unknown sid", { EIO: "4", transport: "websocket", sid: "abc" }],
  ];
  for (const [name, query] of upgrades) {
    it(`refuses as a WebSocket: ${name}`, async () => {
      const socket = wire.openWebSocket(query);
      // The reference refuses an EIO only after the upgrade, by closing; both are a refusal.
      const status = await within(Promise.race([socket.refused, socket.ended]), "the refusal");
      if (!("EIO" in query) || query.EIO === "abc") assert.ok([400, 1005, 1006].includes(status), `status ${status}`);
      else assert.equal(status, 400);
      assert.deepEqual(socket.messages.entries, [], "no handshake");
    });
  }

  it("refuses a method that is neither GET nor POST within a session", async () => {
    const session = await wire.polling();
    const response = await wire.request(session.query, { method: "PUT" });
    assert.ok(response.status >= 400, `status ${response.status}`);
  });
});

describe("engine.io messages over polling", () => {
  it("carries one text packet", async () => {
    const session = await joinedPolling();
    await session.send(say("hello"));
    assert.deepEqual(await session.receive(1), [said("hello")]);
  });

  it("carries several packets in one payload, in order", async () => {
    const session = await joinedPolling();
    await session.send(say("test1"), say("test2"), say("test3"));
    assert.deepEqual(await session.receive(3), [said("test1"), said("test2"), said("test3")]);
  });

  it("carries several packets to the client in one payload", async () => {
    const session = await joinedPolling();
    await session.send(say("a"), say("b"), say("c"));
    const response = await session.get();
    const packets = (await response.text()).split(SEPARATOR).filter((packet) => packet !== "2");
    assert.deepEqual(packets, [said("a"), said("b"), said("c")]);
  });

  it("carries text and binary in one payload", async () => {
    const session = await joinedPolling();
    await session.send(say("hello"), '451-["message",{"_placeholder":true,"num":0}]', "bAQIDBA==");
    assert.deepEqual(await session.receive(3), [said("hello"), '451-["message-back",{"_placeholder":true,"num":0}]', "bAQIDBA=="]);
  });

  it("carries text beyond ASCII", async () => {
    const session = await joinedPolling();
    await session.send(say("通知 🔔 é"));
    assert.deepEqual(await session.receive(1), [said("通知 🔔 é")]);
  });

  it("answers a waiting GET when a message arrives", async () => {
    const session = await joinedPolling();
    const waiting = session.receive(1);
    await session.send(say("later"));
    assert.deepEqual(await waiting, [said("later")]);
  });

  const invalid = [
    ["an unknown packet type", "abc"],
    ["an empty body", ""],
    ["an empty packet", `${say("x")}${SEPARATOR}`],
    ["binary that is not base64", "b*"],
    ["a ping from the client", "2"],
  ];
  const tolerated = ["an empty body", "an empty packet", "binary that is not base64"];
  for (const [name, body] of invalid) {
    it(`closes the session upon ${name}`, { skip: tolerated.includes(name) && beyondReference("it is lenient here") }, async () => {
      const session = await joinedPolling();
      const response = await session.post(body);
      assert.ok(response.status === 200 || response.status === 400, `status ${response.status}`);
      await gone(session);
    });
  }

  it("closes the session upon a second GET while one waits", async () => {
    const session = await joinedPolling();
    const first = session.get();
    await session.send("3"); // a round trip, so that the first GET has been read
    const answers = await Promise.all([first, session.get()]);
    const statuses = answers.map((answer) => answer.status).sort();
    assert.deepEqual(statuses, [200, 400]);
    assert.equal(await answers.find((answer) => answer.status === 200).text(), "1", "the one that waited is told to close");
    await gone(session);
  });

  it("closes the session when the client cancels a GET", async () => {
    const session = await joinedPolling();
    const waiting = http.get(wire.url(session.query));
    waiting.on("error", () => {});
    await next(waiting, "finish");
    // read and waiting: a GET that is cancelled before it was read has lost nothing
    if (reference) await session.send("3");
    else await eventually(async () => /^carillon_polls_waiting 1$/m.test((await wire.gateway.call("GET", "/metrics")).body), "the GET to wait");
    waiting.destroy();
    await gone(session);
  });

  it("refuses a payload above maxPayload", async () => {
    const session = await joinedPolling();
    const response = await session.post(say("x".repeat(1000001))).catch((error) => error);
    if (response instanceof Error) assert.match(String(response.cause), /ECONNRESET|EPIPE|other side closed/);
    else assert.equal(response.status, 413);
  });
});

describe("engine.io messages over WebSocket", () => {
  it("carries text, beyond ASCII too", async () => {
    const socket = await joinedWebSocket();
    socket.send(say("hello"), say("通知 🔔 é"));
    assert.deepEqual(await socket.takeMany(2), [said("hello"), said("通知 🔔 é")]);
    socket.end();
  });

  it("carries binary", async () => {
    const socket = await joinedWebSocket();
    socket.send('451-["message",{"_placeholder":true,"num":0}]', Buffer.from([1, 2, 3, 4]));
    assert.deepEqual(await socket.takeMany(2), ['451-["message-back",{"_placeholder":true,"num":0}]', Buffer.from([1, 2, 3, 4])]);
    socket.end();
  });

  it("carries a message of nearly maxPayload, fragmented", async () => {
    const socket = await joinedWebSocket();
    const text = "x".repeat(900_000);
    const packet = say(text);
    socket.ws.send(packet.slice(0, 1000), { fin: false });
    socket.ws.send(packet.slice(1000, 500_000), { fin: false });
    socket.ws.send(packet.slice(500_000), { fin: true });
    assert.equal((await socket.take()) === said(text), true);
    socket.end();
  });

  it("answers a WebSocket ping", async () => {
    const socket = await joinedWebSocket();
    socket.ws.ping("are you there");
    const [data] = await next(socket.ws, "pong");
    assert.equal(data.toString(), "are you there");
    socket.end();
  });

  const invalid = [
    ["an unknown packet type", "abc"],
    ["an empty frame", ""],
    ["a ping from the client", "2"],
    ["a message above maxPayload", say("x".repeat(1000001))],
  ];
  for (const [name, packet] of invalid) {
    it(`closes the connection upon ${name}`, async () => {
      const socket = await joinedWebSocket();
      socket.send(packet);
      await socket.closed();
    });
  }

  it("closes the connection upon text that is not UTF-8", async () => {
    const socket = await joinedWebSocket();
    socket.ws.send(Buffer.from([0x34, 0x32, 0xff, 0xfe]), { binary: false });
    await socket.closed();
  });
});

describe("engine.io heartbeat", () => {
  it("pings over polling, the first time not at once", async () => {
    const session = await quick.polling();
    await session.send("40");
    const [connected] = await session.receive(1);
    assert.match(connected, /^40/);
    await session.receive(1);
    assert.equal(session.pings, 0, "no ping before pingInterval");
    for (let i = 0; i < 3; i++) {
      const response = await session.get();
      assert.equal(await response.text(), "2");
      await session.send("3");
    }
  });

  it("pings over WebSocket, the first time not at once", async () => {
    const socket = await quick.websocket();
    socket.send("40");
    await socket.takeMany(2);
    assert.equal(socket.pings, 0, "no ping before pingInterval");
    while (socket.pings < 3) await next(socket.ws, "engine-ping");
    socket.send(say("alive"));
    assert.equal(await socket.take(), said("alive"));
    socket.end();
  });

  it("closes a polling session whose pong is missing", async () => {
    const session = await joinedPolling(quick);
    assert.equal(await (await session.get()).text(), "2");
    const response = await session.get();
    if (response.status === 200) assert.equal(await response.text(), "1");
    await gone(session, "polling", quick);
  });

  it("closes a polling session that is never polled", async () => {
    const session = await joinedPolling(quick);
    await gone(session, "polling", quick);
  });

  it("closes a WebSocket whose pong is missing", async () => {
    const socket = await joinedWebSocket(quick);
    socket.answerPings = false;
    await socket.closed();
    assert.ok(socket.pings >= 1, "it was pinged before");
  });
});

describe("engine.io close", () => {
  it("ends a polling session and releases its waiting GET", async () => {
    const session = await joinedPolling();
    const waiting = session.get();
    await session.send("3"); // a round trip, so that the GET has been read
    await session.send("1");
    const released = await within(waiting, "the GET to be released");
    assert.equal(released.status, 200);
    assert.match(await released.text(), /^(6\x1e)?[16]$/, "noop, or close");
    await gone(session);
  });

  it("ends a WebSocket session", async () => {
    // The reference leaves this to its ping timeout, the gateway does not.
    const socket = await joinedWebSocket(reference ? quick : wire);
    socket.answerPings = !reference;
    socket.send("1");
    await socket.closed();
  });

  it("ends the session when the WebSocket closes without a word", async () => {
    const socket = await joinedWebSocket();
    socket.end();
    await gone(socket.handshake, "websocket");
  });
});

describe("engine.io upgrade", () => {
  const upgradeQuery = (session) => ({ EIO: "4", transport: "websocket", sid: session.sid });

  async function upgraded() {
    const session = await joinedPolling();
    const socket = wire.openWebSocket(upgradeQuery(session));
    await within(socket.opened, "the WebSocket to open");
    socket.send("2probe");
    assert.equal(await socket.take(), "3probe");
    socket.send("5");
    return { session, socket };
  }

  it("moves a session from polling to WebSocket", async () => {
    const { socket } = await upgraded();
    socket.send(say("hello"));
    assert.equal(await socket.take(), said("hello"));
    socket.end();
  });

  it("answers a waiting GET with noop once the probe came, and loses nothing", async () => {
    const session = await joinedPolling();
    const waiting = session.get();
    const socket = wire.openWebSocket(upgradeQuery(session));
    await within(socket.opened, "the WebSocket to open");
    socket.send("2probe");
    assert.equal(await socket.take(), "3probe");
    const released = await within(waiting, "the GET to be released");
    assert.equal(released.status, 200);
    for (const packet of (await released.text()).split(SEPARATOR)) {
      if (packet === "2") await session.send("3");
      else assert.equal(packet, "6");
    }
    await session.send(say("before the upgrade packet"));
    socket.send("5");
    assert.equal(await socket.take(), said("before the upgrade packet"));
    socket.end();
  });

  it("keeps the polling session when the probe goes no further", async () => {
    const session = await joinedPolling();
    const socket = wire.openWebSocket(upgradeQuery(session));
    await within(socket.opened, "the WebSocket to open");
    socket.send("2probe");
    await socket.take();
    socket.end();
    await session.send(say("still polling"));
    assert.deepEqual(await session.receive(1), [said("still polling")]);
  });

  it("closes a WebSocket that sends something else than the probe, and keeps the session", async () => {
    const session = await joinedPolling();
    const socket = wire.openWebSocket(upgradeQuery(session));
    await within(socket.opened, "the WebSocket to open");
    socket.send(say("no probe"));
    await socket.closed();
    await session.send(say("still polling"));
    assert.deepEqual(await session.receive(1), [said("still polling")]);
  });

  it("refuses HTTP requests with the sid of an upgraded session, and keeps it", async () => {
    const { session, socket } = await upgraded();
    socket.send(say("upgraded"));
    assert.equal(await socket.take(), said("upgraded"));
    assert.equal((await session.get()).status, 400);
    assert.equal((await session.post(say("x"))).status, 400);
    socket.send(say("hello"));
    assert.equal(await socket.take(), said("hello"));
    socket.end();
  });

  it("refuses a WebSocket with the sid of an upgraded session, and keeps it", async () => {
    const { session, socket } = await upgraded();
    socket.send(say("upgraded"));
    assert.equal(await socket.take(), said("upgraded"));
    const second = wire.openWebSocket(upgradeQuery(session));
    await second.closed();
    socket.send(say("hello"));
    assert.equal(await socket.take(), said("hello"));
    socket.end();
  });

  it("refuses a WebSocket with the sid of a session that began as WebSocket, and keeps it", { skip: beyondReference("it would move such a session") }, async () => {
    const socket = await joinedWebSocket();
    const second = wire.openWebSocket({ EIO: "4", transport: "websocket", sid: socket.handshake.sid });
    second.opened.then(() => second.send("2probe", "5")).catch(() => {});
    await second.closed();
    socket.send(say("hello"));
    assert.equal(await socket.take(), said("hello"));
    socket.end();
  });
});

describe("engine.io options", () => {
  it("offers no upgrade when upgrades are off, and no transport that is off; serves another path", async () => {
    const other = await startGateway({ ...suiteConfig, public: { path: "/engine.io/", transports: ["polling"], upgrades: false } });
    const wire = new Wire(other);
    const session = await wire.polling();
    assert.deepEqual(session.handshake.upgrades, []);
    assert.equal(await within(wire.openWebSocket({ EIO: "4", transport: "websocket" }).refused, "the refusal"), 400);
    const elsewhere = await fetch(`${other.url}/socket.io/?EIO=4&transport=polling`);
    assert.equal(elsewhere.status, 404);
    await other.stop();
  });
});
