// The stock client in headless Chromium, its script served by the gateway, on a page of another origin.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { openClient, servePage, startBrowser } from "../harness/browser.js";
import { transports } from "../harness/client.js";
import { clientDist, reference, startGateway } from "../harness/gateway.js";
import { closeProxies, startProxy } from "../harness/proxy.js";
import { openNamespace } from "../harness/rules.js";
import { eventually } from "../harness/wait.js";

let gateway, browser, page, proxy;
before(async () => {
  gateway = await startGateway({ namespaces: [openNamespace("/", true)], public: { client_dir: clientDist } });
  proxy = await startProxy(gateway.port);
  page = await servePage();
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  page?.close();
  closeProxies();
  await gateway?.stop();
});

for (const [transport, options] of Object.entries(transports)) {
  describe(`Chromium over ${transport}`, () => {
    let client;
    const user = `browser-${transport}`;
    before(async () => (client = await openClient(browser, page, gateway, proxy.url, { ...options, auth: { user } })));
    after(() => client?.close());
    const publish = (event, ...args) => gateway.publish(event, args, { target: { rooms: [transport] } });

    it("connects over it", async () => {
      const expected = transport === "polling" ? "polling" : "websocket";
      await client.until((name) => socket.io.engine.transport.name === name, expected);
      assert.deepEqual(await client.run(() => connects.length), 1);
    });

    it("joins a room and receives", async () => {
      assert.deepEqual(await client.run((room) => socket.emitWithAck("join", room), transport), { ok: true });
      await publish("hello", "世界 🔔", { a: [1] }, { $binary: "AAEC/w==" });
      await client.until(() => received.length === 1);
      const [event, ...args] = (await client.run(() => received))[0];
      assert.deepEqual([event, ...args.slice(0, 3)], ["hello", "世界 🔔", { a: [1] }, { bytes: [0, 1, 2, 255] }]);
    });

    it("sends, binary too, and has it acknowledged", async () => {
      const answer = await client.run(async () => {
        const back = await socket.emitWithAck("message-with-ack", new Uint8Array([1, 2, 3]));
        return [...new Uint8Array(back)];
      });
      assert.deepEqual(answer, [1, 2, 3]);
    });

    it("answers a publish that asks for acknowledgement", async () => {
      await client.run(() => void socket.on("question", (n, answer) => answer(n * 2)));
      const { acks } = await gateway.publish("question", [21], { target: { rooms: [transport] }, ack: { timeout_ms: 10_000 } });
      assert.deepEqual(acks.map(({ args }) => args), [[42]]);
    });

    it("is cut, comes back and has missed nothing", async () => {
      await publish("n", 1);
      await client.until(() => received.some(([event]) => event === "n"));
      proxy.refuse();
      proxy.cut();
      // Between two polls a browser notices only when the next one fails, which the refusal makes happen at once.
      await client.until(() => !socket.connected);
      if (reference) await eventually(async () => (await gateway.count(`namespace=/&user=${user}`)) === 0, "the server to notice");
      for (let n = 2; n <= 6; n++) await publish("n", n);
      proxy.accept();
      await client.until(() => connects.length === 2);
      await publish("n", 7);
      await client.until(() => received.some(([event, n]) => event === "n" && n === 7));
      const [first, second] = await client.run(() => connects);
      assert.deepEqual(second, { id: first.id, recovered: true });
      const got = (await client.run(() => received)).filter(([event]) => event === "n").map(([, n]) => n);
      assert.deepEqual(got, [1, 2, 3, 4, 5, 6, 7]);
      assert.deepEqual(client.errors, []);
    });
  });
}
