// What an application does with stock socket.io-client: events, binary and acknowledgements both ways, over each transport,
// in namespaces with and without recovery.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { closeClients, connect, fence, msgpack, transports } from "../harness/client.js";
import { beyondReference, startGateway } from "../harness/gateway.js";
import { openNamespace } from "../harness/rules.js";
import { next } from "../harness/wait.js";

const values = [
  ["nothing"],
  ["numbers", 0, -1.5, 9007199254740991],
  ["text", "", "plain", 'quotes " and \\ and \n'],
  ["Chinese and emoji", "实时通知 🔔👩‍👩‍👧 é"],
  ["JSON", null, true, { a: [1, { b: [] }], "名": "值" }],
  ["binary", Buffer.from([0, 1, 2, 255])],
  ["empty binary", Buffer.alloc(0)],
  ["binary among others", "x", Buffer.from([1]), { deep: [Buffer.from([2, 3])] }, 7],
  ["a large text", "x".repeat(300_000)],
  ["a large binary", Buffer.alloc(300_000, 7)],
];

const toPublish = (value) => {
  if (Buffer.isBuffer(value)) return { $binary: value.toString("base64") };
  if (Array.isArray(value)) return value.map(toPublish);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, toPublish(v)]));
  return value;
};

for (const recovery of [false, true]) {
  describe(`events, recovery ${recovery ? "on" : "off"}`, () => {
    let gateway;
    before(async () => {
      gateway = await startGateway({ namespaces: [openNamespace("/", recovery), openNamespace("/custom", recovery)] });
    });
    after(() => gateway.stop());
    afterEach(closeClients);

    for (const [transport, options] of Object.entries(transports)) {
      const join = (more) => connect(gateway, { recovery, ...options, ...more });

      it(`${transport}: a published event reaches the client as it was published`, async () => {
        const client = await join();
        for (const [title, ...args] of values) await gateway.publish(title, toPublish(args));
        await fence(gateway, client);
        assert.deepEqual(client.received.slice(0, -1), values);
        assert.equal(client.engine.transport.name, transport === "polling" ? "polling" : "websocket");
      });

      it(`${transport}: an event of the client comes back as it was sent`, async () => {
        const client = await join();
        for (const [title, ...args] of values) client.socket.emit("message", title, ...args);
        await client.events.find(({ args }) => args[0] === values.at(-1)[0], "the last echo");
        assert.deepEqual(client.received, values.map((value) => ["message-back", ...value]));
      });

      it(`${transport}: an acknowledgement brings back what was sent`, async () => {
        const client = await join();
        for (const [title, ...args] of values) {
          const answer = await new Promise((done) => client.socket.emit("message-with-ack", ...args, (...back) => done(back)));
          assert.deepEqual(answer, args, title);
        }
        assert.deepEqual(await new Promise((done) => client.socket.emit("answer", (...back) => done(back))), [42, { text: "fixed" }]);
      });

      it(`${transport}: a publish collects the acknowledgements of the clients`, async () => {
        const clients = await Promise.all([join(), join(), join()]);
        for (const client of clients) client.socket.on("question", (text, answer) => answer(`${text} ${client.user}`));
        const answer = await gateway.publish("question", ["you?"], { ack: { timeout_ms: 10_000 } });
        assert.equal(answer.logged, false);
        assert.equal(answer.expected, 3);
        assert.equal(answer.complete, true);
        const byId = (a, b) => (a.socket < b.socket ? -1 : 1);
        assert.deepEqual(answer.acks.sort(byId), clients.map(({ id, user }) => ({ socket: id, args: [`you? ${user}`] })).sort(byId));
      });

      it(`${transport}: two namespaces share one connection and are kept apart`, async () => {
        const client = await join();
        const custom = client.socket.io.socket("/custom", { auth: { user: "second" } });
        const got = [];
        custom.onAny((event, ...args) => got.push([event, args[0]]));
        await next(custom, "connect");
        const arrives = next(custom, "for-custom");
        await gateway.publish("for-main", [1]);
        await gateway.publish("for-custom", [2], { namespace: "/custom" });
        await arrives;
        await fence(gateway, client);
        assert.deepEqual(got, [["for-custom", 2]]);
        assert.deepEqual(client.received.slice(0, -1), [["for-main", 1]]);
        custom.disconnect();
        assert.deepEqual(await client.emit("answer"), 42, "the other namespace still works");
      });
    }

    it("an event that no rule lists is refused in its acknowledgement, and does no harm", async () => {
      const client = await connect(gateway, { recovery });
      const answer = await client.emit("unlisted", 1);
      assert.equal(answer.ok, false);
      assert.equal(answer.error.code, "not_allowed");
      assert.equal(typeof answer.error.message, "string");
      client.socket.emit("unlisted", 2); // without an acknowledgement: silently
      assert.equal(await client.emit("answer"), 42);
    });

    it("an unknown namespace is a connect_error, and the connection stays for the others", async () => {
      const client = await connect(gateway, { recovery });
      const [error] = await next(client.socket.io.socket("/random"), "connect_error");
      assert.equal(error.message, "Invalid namespace");
      assert.equal(await client.emit("answer"), 42);
    });

    it("1000 events of one client are handled in its order, joins among them", async () => {
      for (const options of [transports.websocket, transports.polling]) {
        const client = await connect(gateway, { recovery, ...options });
        const joins = [];
        for (let i = 0; i < 1000; i++) {
          if (i % 10 === 0) joins.push(client.emit("join", `order-${i}`));
          client.socket.emit("say", `order-${i - (i % 10)}`, i);
        }
        await client.events.find(({ event, args }) => event === "said" && args[1] === 999, "the last of them");
        const order = client.events.entries.map(({ args }) => args[1]);
        assert.deepEqual(order, Array.from({ length: 1000 }, (_, i) => i));
        assert.deepEqual(new Set((await Promise.all(joins)).map(({ ok }) => ok)), new Set([true]));
        closeClients();
      }
    });
  });
}

describe("the msgpack parser", () => {
  for (const recovery of [false, true]) {
    it(`carries the same values both ways, recovery ${recovery ? "on" : "off"}`, async () => {
      const gateway = await startGateway({ referenceParser: "msgpack", namespaces: [openNamespace("/", recovery)] });
      for (const options of Object.values(transports)) {
        const client = await connect(gateway, { recovery, parser: msgpack, ...options });
        for (const [title, ...args] of values) {
          await gateway.publish(title, toPublish(args));
          client.socket.emit("message", title, ...args);
        }
        assert.deepEqual(await client.emit("message-with-ack", { a: Buffer.from([1]) }), { a: Buffer.from([1]) });
        await client.events.find(({ event, args }) => event === "message-back" && args[0] === values.at(-1)[0], "the last echo");
        await fence(gateway, client);
        const own = client.received.filter(([event]) => event === "message-back").map(([, ...rest]) => rest);
        const published = client.received.filter(([event]) => event !== "message-back" && event !== "fence");
        assert.deepEqual(own, values);
        assert.deepEqual(published, values);
        closeClients();
      }
      await gateway.stop();
    });
  }

  it("lives in one room beside JSON", { skip: beyondReference("its parser is one per server") }, async () => {
    const gateway = await startGateway({ namespaces: [openNamespace("/", false)] });
    const plain = await connect(gateway);
    const packed = await connect(gateway, { parser: msgpack });
    await gateway.publish("update", ["é", { $binary: "AQI=" }]);
    await Promise.all([plain.event("update"), packed.event("update")]);
    for (const client of [plain, packed]) assert.deepEqual(client.received, [["update", "é", Buffer.from([1, 2])]]);
    closeClients();
    await gateway.stop();
  });
});
