// The example legacy-topics: its page with client 1.0.6 in Chromium, its cookie, and its packets on the wire.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import WebSocket from "ws";
import { startBrowser } from "../harness/browser.js";
import { deployments, startScript } from "../harness/example.js";
import { Recorder } from "../harness/wait.js";

const clientFolder = fileURLToPath(new URL("../node_modules/sio-1.0.6", import.meta.url));

for (const [where, start] of Object.entries(deployments)) {
  describe(`legacy-topics on ${where}`, () => {
    let gateway, pages, browser;
    before(async () => {
      pages = await startScript("legacy-topics", "pages.js", { PORT: "0" });
      gateway = await start("legacy-topics", { public: { client_dir: clientFolder, allowed_origins: [pages.url] } });
      browser = await startBrowser();
    });
    after(async () => {
      await browser?.close();
      await pages?.end();
      await gateway?.stop();
    });

    /** The page of a user, with what it logs. */
    async function open(user) {
      const context = await browser.newContext();
      const tab = await context.newPage();
      tab.setDefaultTimeout(15_000);
      const local = gateway.url.replace("127.0.0.1", "localhost");
      await tab.goto(`${pages.url}/?gateway=${encodeURIComponent(local)}${user ? `&user=${user}` : ""}`);
      const lines = async () => (await tab.textContent("#log")).split("\n").filter(Boolean);
      const line = (text, count = 1) =>
        tab.waitForFunction(([wanted, times]) => document.querySelector("#log").textContent.split("\n").filter((line) => line === wanted).length >= times, [text, count]);
      return { tab, lines, line, close: () => context.close() };
    }

    it("its page subscribes and publishes, with and without an acknowledgement", async () => {
      const [ann, bob] = [await open("ann"), await open("bob")];
      for (const { tab, line } of [ann, bob]) {
        await line("connect");
        await tab.click("#subscribe");
        await line('subscribe {"ok":true}');
      }
      const text = "\u96e8 \u{1f327} \u00e9";
      await ann.tab.fill("#text", text);
      await ann.tab.click("#publish");
      for (const { line } of [ann, bob]) await line(`message weather ${JSON.stringify({ text })}`);
      await ann.tab.click("#publish-and-ask");
      await ann.line('publish {"ok":true}');
      for (const { line } of [ann, bob]) await line(`message weather ${JSON.stringify({ text })}`, 2);
      await bob.tab.fill("#topic", "secrets");
      await bob.tab.click("#publish");
      await bob.line("publish-error forbidden");
      await bob.tab.fill("#topic", "weather");
      await bob.tab.click("#unsubscribe");
      await bob.line('unsubscribe {"ok":true}');
      await ann.tab.click("#publish-and-ask");
      await ann.line('publish {"ok":true}', 2);
      await ann.line(`message weather ${JSON.stringify({ text })}`, 3);
      assert.equal((await bob.lines()).filter((line) => line.startsWith("message")).length, 2);
      const transport = () => socket.io.engine.transport.name === "websocket";
      for (const { tab } of [ann, bob]) await tab.waitForFunction(transport);
      for (const page of [ann, bob]) await page.close();
    });

    it("tells a page without the cookie why it is refused", async () => {
      const nobody = await open();
      await nobody.line("error a token is required");
      assert.equal((await nobody.lines()).includes("connect"), false);
      await nobody.close();
    });

    it("answers a publication under its id on the wire", async () => {
      const cookie = (await fetch(`${pages.url}/?user=cleo`)).headers.get("set-cookie").split(";")[0];
      const socket = new WebSocket(`${gateway.url.replace("http", "ws")}/socket.io/1/websocket/?EIO=2&transport=websocket`, { headers: { cookie } });
      const packets = new Recorder();
      socket.on("message", (data) => packets.push(data.toString()));
      await packets.find((packet) => packet === "40");
      socket.send('420["subscribe","wire"]');
      await packets.find((packet) => packet === '430[{"ok":true}]');
      socket.send('42["publish",{"topic":"wire","payload":[1]}]');
      socket.send('421["publish",{"topic":"wire","payload":[2]}]');
      await packets.find((packet) => packet === '431[{"ok":true}]');
      const rest = packets.entries.slice(packets.entries.indexOf('430[{"ok":true}]') + 1);
      assert.deepEqual(rest, ['42["message",{"topic":"wire","payload":[1]}]', '42["message",{"topic":"wire","payload":[2]}]', '431[{"ok":true}]']);
      socket.terminate();
    });
  });
}
