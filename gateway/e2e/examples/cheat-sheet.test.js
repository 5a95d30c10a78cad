// The example cheat-sheet: every line of the sheet, by the page in Chromium and by clients.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { pathToFileURL } from "node:url";
import { after, afterEach, before, describe, it } from "node:test";
import { startBrowser } from "../harness/browser.js";
import { Client, closeClients, connect, fence } from "../harness/client.js";
import { deployments, exampleFile } from "../harness/example.js";
import { clientDist } from "../harness/gateway.js";
import { closeProxies, startProxy } from "../harness/proxy.js";
import { next } from "../harness/wait.js";

const token = (...args) => execFileSync(process.execPath, [exampleFile("cheat-sheet", "token.js"), ...args], { encoding: "utf8" }).trim();

for (const [where, start] of Object.entries(deployments)) {
  describe(`cheat-sheet on ${where}`, () => {
    let gateway;
    before(async () => (gateway = await start("cheat-sheet", { public: { client_dir: clientDist } })));
    after(() => gateway?.stop());
    afterEach(() => {
      closeClients();
      closeProxies();
    });

    const join = (options) => connect(gateway, { recovery: true, ...options });
    const settle = (clients) => Promise.all(clients.map((client) => fence(gateway, client)));

    it("emits to all, to all but the sender, to a room, and to a room but the sender", async () => {
      const [sender, inside, outside] = await Promise.all([join(), join(), join()]);
      for (const client of [sender, inside]) assert.deepEqual(await client.emit("join", "lobby"), { ok: true });
      const table = [
        ["to-all", [{ n: 1 }], [1, 1, 1]],
        ["to-others", [{ n: 2 }], [0, 1, 1]],
        ["to-room", ["lobby", { n: 3 }], [1, 1, 0]],
        ["to-room-others", ["lobby", { n: 4 }], [0, 1, 0]],
      ];
      const clients = [sender, inside, outside];
      for (const [event, args, expected] of table) {
        assert.deepEqual(await sender.emit(event, ...args), { ok: true }, event);
        await settle(clients);
        const got = clients.map(({ events }) => events.entries.filter((entry) => entry.event === "message").map((entry) => entry.args));
        assert.deepEqual(got, expected.map((count) => Array(count).fill(args)), event);
        for (const { events } of clients) events.entries.length = 0;
      }
    });

    it("joins and leaves", async () => {
      const [member, sender] = await Promise.all([join(), join()]);
      const tell = async (n) => {
        await sender.emit("to-room", "den", n);
        await settle([member]);
      };
      await tell(1);
      await member.emit("join", "den");
      await tell(2);
      assert.deepEqual(await member.emit("leave", "den"), { ok: true });
      await tell(3);
      const heard = member.events.entries.filter(({ event }) => event === "message").map(({ args }) => args);
      assert.deepEqual(heard, [["den", 2]]);
    });

    it("acknowledges, with objects as JSON", async () => {
      const client = await join();
      const object = { text: "世界 🔔", list: [1, { deep: [true, null] }], number: 1.5 };
      assert.deepEqual(await client.emit("echo", object), object);
      assert.deepEqual(await client.emit("version"), { name: "cheat-sheet", version: 1 });
      const { ok, error } = await client.emit("no-such-line");
      assert.deepEqual([ok, error.code], [false, "not_allowed"]);
    });

    it("serves the client script", async () => {
      const response = await fetch(`${gateway.url}/socket.io/socket.io.js`);
      assert.equal(response.status, 200);
      assert.match(response.headers.get("content-type"), /javascript/);
      assert.match(await response.text(), /Socket\.IO v4\.8/);
    });

    it("recovers with the session's id, and what was sent meanwhile", async () => {
      const [client, sender] = await Promise.all([join(), join()]);
      const { id } = client;
      await client.emit("join", "lobby");
      await client.cut();
      for (const n of [1, 2, 3]) await sender.emit("to-room", "lobby", n);
      assert.deepEqual(await client.back(), { id, recovered: true });
      await settle([client]);
      assert.deepEqual(client.events.entries.filter(({ event }) => event === "message").map(({ args }) => args[1]), [1, 2, 3]);
    });

    it("disconnects from either side, and neither comes back into its session", async () => {
      const client = await join();
      const { id } = client;
      client.socket.disconnect();
      const { id: second, recovered } = await client.back();
      assert.notEqual(second, id);
      assert.equal(recovered, false);
      const left = next(client.socket, "disconnect");
      await gateway.ok("POST", "/v1/disconnect", { target: { sockets: [second] } });
      assert.equal((await left)[0], "io server disconnect");
      assert.equal(client.socket.active, false, "it stays away");
    });

    it("authenticates again on recovery, or trusts who knows the session", async () => {
      const outcome = async (namespace) => {
        const client = await join({ namespace, auth: { token: token("ann") } });
        const { id } = client;
        await client.cut();
        client.socket.auth = {};
        const how = await client.retry();
        return [how, client.socket.recovered && client.id === id];
      };
      assert.deepEqual(await outcome("/checked"), ["token_missing", false]);
      assert.deepEqual(await outcome("/trusting"), ["connected", true]);
      // neither takes one who never had a token
      for (const namespace of ["/checked", "/trusting"]) {
        const stranger = new Client(gateway.url, { namespace, auth: { pid: "made-up", offset: "x" } });
        assert.equal(await stranger.attempt(), "token_missing", namespace);
      }
    });

    it("its page does every line, in Chromium", async () => {
      const browser = await startBrowser();
      try {
        const proxy = await startProxy(new URL(gateway.url).port);
        const other = await join();
        const tab = await browser.newPage();
        tab.setDefaultTimeout(15_000);
        const errors = [];
        tab.on("pageerror", (error) => errors.push(String(error)));
        await tab.goto(`${pathToFileURL(exampleFile("cheat-sheet", "index.html"))}?gateway=${proxy.url}`);
        const lines = async () => (await tab.textContent("#log")).split("\n").filter(Boolean);
        const line = (pattern, count = 1) =>
          tab.waitForFunction(([source, wanted]) => document.querySelector("#log").textContent.split("\n").filter((text) => new RegExp(source).test(text)).length >= wanted, [pattern.source, count]);
        await line(/^connect \S+ new$/);
        await tab.click("#join");
        await line(/^join {"ok":true}$/);
        for (const name of ["to-all", "to-others", "to-room", "to-room-others"]) await tab.click(`#${name}`);
        for (const name of ["echo", "version"]) {
          await tab.click(`#${name}`);
          await line(new RegExp(`^${name} {`));
        }
        await line(/^message .*"text":"hello"/, 2); // to-all and to-room
        await settle([other]);
        assert.equal(other.events.entries.filter(({ event }) => event === "message").length, 2, "to-all and to-others");
        proxy.refuse(); // it comes back when we say so
        await tab.click("#cut");
        await line(/^disconnect transport close|^disconnect forced close/);
        await gateway.room("lobby", "message", "missed");
        proxy.accept();
        await line(/^connect \S+ recovered$/);
        await line(/^message missed/);
        await tab.click("#leave");
        await line(/^leave {"ok":true}$/);
        await tab.click("#disconnect");
        await line(/^disconnect io client disconnect$/);
        await tab.click("#connect");
        await line(/^connect \S+ new$/, 2);
        assert.equal((await lines()).filter((text) => text.startsWith("message")).length, 3);
        assert.deepEqual(errors, []);
      } finally {
        await browser.close();
      }
    });
  });
}
