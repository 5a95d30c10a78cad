// The example file-tasks: its client and its backend, over TLS, by polling with upgrade and by WebSocket alone.

import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { listen } from "../../examples/file-tasks/client.js";
import { makeCertificates } from "../harness/certificates.js";
import { deployments, post, startScript } from "../harness/example.js";
import { temporaryFolder } from "../harness/gateway.js";
import { closeProxies, startProxy } from "../harness/proxy.js";
import { eventually, next, Recorder, within } from "../harness/wait.js";

const folder = temporaryFolder();
const source = join(folder, "source.bin");
const SIZE = 1000;
writeFileSync(source, Buffer.alloc(SIZE, "x"));

const FIELDS = ["identity", "userIdentity", "type", "name", "progress", "size", "count", "source", "destination", "status", "errorCode", "errorMessage", "action"].sort();

const kinds = { "polling first": {}, "WebSocket alone": { transports: ["websocket"] } };

for (const [where, start] of Object.entries(deployments)) {
  describe(`file-tasks on ${where}`, () => {
    let certificates, gateway, nodes, backend;
    before(async () => {
      certificates = makeCertificates();
      gateway = await start("file-tasks", { public: { tls: { cert_file: certificates.certFile, key_file: certificates.keyFile } } });
      nodes = gateway.nodes ?? [gateway];
      backend = await startScript("file-tasks", "backend.js", { PORT: "0", GATEWAY_API: nodes[0].internal, PACE_MS: "5" });
    });
    after(async () => {
      await backend?.end();
      await gateway?.stop();
    });

    const sockets = [];
    afterEach(() => {
      for (const socket of sockets.splice(0)) socket.disconnect();
      closeProxies();
    });

    /** The example's client, connected; `news` records [kind, task]. */
    async function client(query, { node = nodes.at(-1), url = node.url, ...options } = {}) {
      const news = new Recorder();
      const on = Object.fromEntries(["progress", "complete", "error", "cancel", "own"].map((kind) => [kind, (task) => news.push([kind, { ...task }])]));
      const whole = () => news.entries.every(([, task]) => isDeepStrictEqual(Object.keys(task).sort(), FIELDS));
      const socket = listen(url, { query, on, forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 200, ca: certificates.ca, ...options });
      sockets.push(socket);
      await next(socket, "connect");
      const last = async (kind) => {
        const found = await news.find(([name]) => name === kind, kind);
        assert.ok(whole(), "every event has the whole task");
        return found;
      };
      return { socket, news, last, kinds: () => news.entries.map(([kind]) => kind) };
    }
    let made = 0;
    const copy = (wish) => post(`${backend.url}/tasks`, { source, destination: join(folder, `copy-${++made}.bin`), ...wish });

    for (const [kind, options] of Object.entries(kinds)) {
      it(`tells the user how far his task is, by ${kind}`, async () => {
        const user = `ann of ${where} by ${kind}`;
        const { socket, news, last } = await client({ user }, options);
        const { engine } = socket.io;
        if (kind === "polling first") {
          if (engine.transport.name === "polling") await next(engine, "upgrade");
        }
        assert.equal(engine.transport.name, "websocket");
        const task = await copy({ userIdentity: user, name: "report" });
        await last("complete");
        const { destination } = task;
        const state = { progress: 0, size: 0, count: 0, status: "waiting", errorCode: null, errorMessage: null };
        assert.deepEqual(task, { identity: task.identity, userIdentity: user, type: "file", name: "report", source, destination, action: "copy", ...state });
        const expected = Array.from({ length: 10 }, (_, n) => ["progress", { ...task, size: SIZE, status: "running", progress: 10 * (n + 1), count: 100 * (n + 1) }]);
        expected.push(["complete", { ...task, size: SIZE, status: "complete", progress: 100, count: SIZE }]);
        assert.deepEqual(news.entries, expected);
        assert.deepEqual(readFileSync(destination), readFileSync(source));
      });
    }

    it("tells those in the room, and the user wherever he is", async () => {
      const [room, user] = [`build ${where}`, `bob of ${where}`];
      const [inRoom, elsewhere, other] = await Promise.all([client({ room, userIdentity: user }), client({ user }, { node: nodes[0] }), client({ room: "another", userIdentity: "carol" })]);
      await copy({ room });
      await inRoom.last("complete");
      await copy({ userIdentity: user });
      await elsewhere.last("complete");
      await eventually(() => inRoom.kinds().length === 22, "both tasks in the room's client");
      assert.equal(elsewhere.kinds().length, 11);
      assert.deepEqual(other.kinds(), []);
    });

    it("tells the socket that asked, by an event named after its id", async () => {
      const user = `dora of ${where}`;
      const [asking, silent] = await Promise.all([client({ user }, kinds["WebSocket alone"]), client({ user })]);
      const task = await copy({ userIdentity: user, socket: asking.socket.id });
      await Promise.all([asking.last("complete"), silent.last("complete")]);
      assert.deepEqual(asking.news.entries[0], ["own", task]);
      assert.equal(asking.kinds().length, 12);
      assert.equal(silent.kinds().length, 11, "nobody else");
    });

    it("tells what went wrong", async () => {
      const user = `eve of ${where}`;
      const { last } = await client({ user });
      await copy({ userIdentity: user, source: join(folder, "not-there") });
      const [, task] = await last("error");
      assert.deepEqual([task.status, task.errorCode], ["failed", "ENOENT"]);
      assert.match(task.errorMessage, /not-there/);
    });

    it("tells that a task was cancelled", async () => {
      const slow = await startScript("file-tasks", "backend.js", { PORT: "0", GATEWAY_API: nodes[0].internal, PACE_MS: "60000" });
      const user = `finn of ${where}`;
      const { last, kinds: told } = await client({ user });
      const { identity } = await post(`${slow.url}/tasks`, { source, destination: join(folder, "cancelled.bin"), userIdentity: user });
      await last("progress");
      await post(`${slow.url}/tasks/${identity}/cancel`);
      const [, task] = await last("cancel");
      assert.deepEqual([task.identity, task.status, task.progress], [identity, "cancelled", 10]);
      assert.deepEqual(told(), ["progress", "cancel"]);
      await slow.end();
    });

    it("misses nothing of a task while it is away, and comes back by another node", async () => {
      const proxy = await startProxy(nodes[0].port);
      const user = `gus of ${where}`;
      const { socket, news, last } = await client({ user }, { url: proxy.url.replace("http:", "https:"), ...kinds["WebSocket alone"] });
      const { id } = socket;
      const left = next(socket, "disconnect");
      proxy.refuse();
      proxy.cut();
      await left;
      const { destination } = await copy({ userIdentity: user });
      await eventually(() => existsSync(destination) && readFileSync(destination).length === SIZE, "the file to be copied");
      proxy.target = nodes.at(-1).port;
      proxy.accept();
      await next(socket, "connect");
      await last("complete");
      assert.deepEqual([socket.id, socket.recovered], [id, true]);
      assert.deepEqual(news.entries.map(([kind, { progress }]) => [kind, progress]), [...Array.from({ length: 10 }, (_, n) => ["progress", 10 * (n + 1)]), ["complete", 100]]);
    });

    it("is not believed under another certificate", async () => {
      const { ca } = makeCertificates({ authority: "Somebody Else" });
      const socket = listen(nodes[0].url, { query: { user: "x" }, on: {}, forceNew: true, reconnection: false, ca });
      sockets.push(socket);
      const [error] = await within(next(socket, "connect_error"), "the refusal");
      assert.match(JSON.stringify([error.message, String(error.description?.error ?? error.description?.message ?? ""), String(error.context?.statusText ?? "")]), /error/);
      assert.equal(socket.connected, false);
    });
  });
}
