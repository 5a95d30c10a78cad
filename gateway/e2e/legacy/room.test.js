// Every major version of the stock client in one room, each over polling, WebSocket and the upgrade, as Node and as browsers run it.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { servePage } from "../harness/browser.js";
import { startGateway } from "../harness/gateway.js";
import { browserClient, bytes, closeOld, nodeClient, openTabs, versions, ways } from "../harness/old.js";
import { openNamespace } from "../harness/rules.js";
import { eventually } from "../harness/wait.js";

const open = (name) => openNamespace(name, true, { on_connect: { join: ["news"] } });
const inBrowsers = ["1.0.6", "1.7.4", "2.5.0", "4.8.4"];
const byScripts = ["1.0.6", "2.5.0"];

let gateway, page, tabs;
const clients = [];
before(async () => {
  gateway = await startGateway({ public: { legacy: { enabled: true, jsonp: true } }, namespaces: [open("/"), open("/chat")] });
  page = await servePage();
  tabs = await openTabs(page);
});
after(async () => {
  await closeOld();
  await tabs?.close();
  page?.close();
  await gateway?.stop();
});

const text = "\u4f60\u597d, \u{1f514} \u00e9 \\n \"quoted\" </script>\u2028";
// what 1.0 sends from Node over a WebSocket is told from nothing that later clients send: it arrives as its UTF-8 bytes
const mangles = ({ version, label, transport }) => version === "1.0.6" && label.includes("node") && transport === "websocket";
const arrives = (sender, said) => (mangles(sender) ? Buffer.from(said).toString("latin1") : said);

describe("one room of all clients", () => {
  it("is entered by each", async () => {
    for (const version of Object.keys(versions)) {
      for (const way of Object.keys(ways)) clients.push(await nodeClient(gateway, version, way));
    }
    for (const version of inBrowsers) {
      for (const way of Object.keys(ways)) clients.push(await browserClient(tabs, gateway, version, way));
    }
    for (const version of byScripts) clients.push(await browserClient(tabs, gateway, version, "JSONP"));
    for (const client of clients) assert.deepEqual(await client.emit("join", "lobby"), [{ ok: true }], client.label);
    const kinds = new Set(clients.map(({ label }) => label));
    console.log(`${clients.length} clients in one room, of ${kinds.size} kinds`);
    assert.equal(kinds.size, Object.keys(versions).length * 3 + inBrowsers.length * 3 + byScripts.length);
    const counted = { eio2: 4, eio3: 5 * 3 + 2 * 3 + 1, eio4: 2 * 3 + 3 };
    for (const [protocol, count] of Object.entries(counted)) {
      assert.equal(await gateway.metric("carillon_connections", `protocol="${protocol}"`), count, protocol);
    }
  });

  it("hears what each says, once and in one order", async () => {
    const expected = [];
    for (const sender of clients) {
      const said = `${sender.label}: ${text}`;
      assert.deepEqual(await sender.emit("say", "lobby", said, { deep: [text, null, 1.5] }), [{ ok: true }], sender.label);
      expected.push(["lobby", arrives(sender, said), { deep: [arrives(sender, text), null, 1.5] }]);
    }
    for (const client of clients) {
      await client.event("said", (_, said) => said === expected.at(-1)[1]);
      assert.deepEqual(client.all("said"), expected, client.label);
    }
    console.log(`${clients.length * expected.length} deliveries`);
  });

  it("carries binary both ways", async () => {
    const data = (n) => bytes(0, 4, n, 0x80, 0xff, 0x1e);
    for (const [n, sender] of clients.entries()) {
      assert.deepEqual(await sender.emit("tell", "lobby", data(n), "and text", data(n + 1)), [{ ok: true }], sender.label);
    }
    await gateway.room("lobby", "bytes", { $binary: "AYD/" }, { in: { $binary: "" } });
    for (const [n, client] of clients.entries()) {
      await client.event("bytes");
      const others = clients.map((_, m) => ["lobby", data(m), "and text", data(m + 1)]).filter((_, m) => m !== n);
      assert.deepEqual(client.all("told"), others, client.label);
      assert.deepEqual(client.all("bytes"), [[bytes(1, 0x80, 0xff), { in: bytes() }]], client.label);
    }
  });

  it("acknowledges both ways", async () => {
    for (const client of clients) {
      const answer = await client.emit("message-with-ack", text, bytes(1, 2), { n: 1 });
      assert.deepEqual(answer, [arrives(client, text), bytes(1, 2), { n: 1 }], client.label);
      assert.deepEqual(await client.emit("answer"), [42, { text: "fixed" }], client.label);
    }
    const question = await gateway.publish("question", [text], { target: { rooms: ["lobby"] }, ack: { timeout_ms: 10_000 } });
    const answers = Object.fromEntries(question.acks.map(({ args: [label, said] }) => [label, said]));
    for (const client of clients) {
      assert.deepEqual(await client.event("question"), ["question", text], client.label);
      assert.equal(answers[client.label], arrives(client, text), client.label);
    }
    assert.equal(question.acks.length, clients.length);
  });

  it("is one in each namespace", async () => {
    const members = [];
    for (const client of clients.filter((client) => client.enter)) members.push(client.enter("/chat"));
    for (const member of members) {
      await member.connected();
      assert.deepEqual(await member.emit("join", "lobby"), [{ ok: true }], member.label);
    }
    await gateway.publish("news", ["for the chat"], { namespace: "/chat", target: { rooms: ["lobby"] } });
    for (const member of members) assert.deepEqual(await member.event("news"), ["news", "for the chat"], member.label);
    for (const client of clients) assert.deepEqual(client.all("news"), [], client.label);
    for (const member of members) member.disconnect();
    await Promise.all(members.map((member) => member.saw("disconnect")));
    await gateway.room("lobby", "fence", 1);
    for (const client of clients) await client.event("fence");
  });

  it("is left from both sides", async () => {
    // 1.0 loops when its polling by scripts ends
    const stuck = clients.find(({ label }) => label === "1.0.6 browser JSONP");
    await stuck.close();
    const others = clients.filter((client) => client !== stuck);
    const [leaving, dismissed] = [0, 1].map((half) => others.filter((_, n) => n % 2 === half));
    for (const client of leaving) await client.disconnect();
    for (const client of leaving) assert.match((await client.saw("disconnect"))[1], /io client disconnect/, client.label);
    await gateway.ok("POST", "/v1/disconnect", { target: "all" });
    for (const client of dismissed) assert.match((await client.saw("disconnect"))[1], /io server disconnect/, client.label);
    assert.deepEqual(tabs.errors, []);
    await eventually(async () => (await gateway.metric("carillon_connections")) === 0, "all connections to end");
  });
});
