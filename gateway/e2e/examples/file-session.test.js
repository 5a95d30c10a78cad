// The example file-session: its client and its backend, over TLS. The backend is stopped and started, clients change nodes.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, afterEach, before, describe, it } from "node:test";
import { FileSession } from "../../examples/file-session/client.js";
import { makeCertificates } from "../harness/certificates.js";
import { deployments, exampleFile, startScript } from "../harness/example.js";
import { secureFetch } from "../harness/https.js";
import { freePort } from "../harness/ports.js";
import { closeProxies, startProxy } from "../harness/proxy.js";
import { startRedis } from "../harness/redis.js";
import { eventually, next, Recorder } from "../harness/wait.js";

const tokens = new Map();
/** What the example's script prints for these arguments. */
function token(...args) {
  const key = args.join(" ");
  if (!tokens.has(key)) tokens.set(key, execFileSync(process.execPath, [exampleFile("file-session", "token.js"), ...args], { encoding: "utf8" }).trim());
  return tokens.get(key);
}
const FILES = ["first.txt", "second.txt", "third.txt"];
const content = (fileId) => readFileSync(exampleFile("file-session", `files/${fileId}`), "utf8");

for (const [where, start] of Object.entries(deployments)) {
  describe(`file-session on ${where}`, () => {
    let certificates, redis, port, gateway, nodes, backend;
    const startBackend = async (env = {}) => (backend = await startScript("file-session", "backend.js", { PORT: String(port), REDIS_URL: redis.url, GATEWAY_API: nodes.at(-1).internal, ...env }));
    before(async () => {
      certificates = makeCertificates();
      [redis, port] = [await startRedis(), await freePort()];
      gateway = await start("file-session", {
        public: { tls: { cert_file: certificates.certFile, key_file: certificates.keyFile } },
        upstream: { url: `http://127.0.0.1:${port}/`, open_for: "100ms" },
      });
      nodes = gateway.nodes ?? [gateway];
      await startBackend();
    });
    after(async () => {
      await backend?.end();
      await gateway?.stop();
      await redis?.stop();
    });

    const sessions = [];
    afterEach(() => {
      for (const { socket } of sessions.splice(0)) socket.disconnect();
      closeProxies();
    });

    /** The example's client; `heard` records the events as [name, payload]. By default it holds all files back. */
    function open({ user = "ann", url = nodes[0].url, work = () => undefined, bearer = token(user), sessionId } = {}) {
      const heard = new Recorder();
      const options = { forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 200, ca: certificates.ca };
      const session = new FileSession(url, bearer, { work, ...options });
      session.sessionId = sessionId;
      session.socket.onAny((event, payload) => heard.push([event, payload]));
      sessions.push(session);
      const answer = (event) => heard.find(([name]) => name === event, event).then(([, payload]) => payload);
      const count = (event) => heard.entries.filter(([name]) => name === event).length;
      return Object.assign(session, { heard, answer, count, names: () => heard.entries.map(([name]) => name) });
    }
    const available = (sessionId, fileId) => ["session-file-available", { sessionId, fileId, content: content(fileId) }];
    const allThere = (session, count = FILES.length) => eventually(() => session.count("session-file-available") === count, () => `${count} files; there was ${session.names()}`);
    const send = (session, fileId, more = { content: content(fileId).toUpperCase() }) => session.socket.emit("session-file-send", { sessionId: session.sessionId, fileId, ...more });
    const finish = async (session, files) => {
      for (const fileId of files) send(session, fileId);
      assert.deepEqual(await session.answer("session-close"), { type: "finish" });
    };

    it("exchanges all files and closes with `finish`", async () => {
      const session = open({ work: ({ content: text }) => text.toUpperCase() });
      const left = next(session.socket, "disconnect");
      assert.deepEqual(await session.answer("session-close"), { type: "finish" });
      await left;
      const { sessionId } = session;
      assert.equal(typeof sessionId, "string");
      assert.deepEqual(session.heard.entries[0], ["session-start-success", { sessionId }]);
      const of = (name) => session.heard.entries.filter(([event]) => event === name);
      assert.deepEqual(of("session-file-available"), FILES.map((fileId) => available(sessionId, fileId)));
      assert.deepEqual(of("session-file-send-success"), FILES.map((fileId) => ["session-file-send-success", { sessionId, fileId }]));
      assert.equal(session.heard.entries.length, 8);
      for (const fileId of FILES) assert.equal(await redis.command("HGET", `file-session:${sessionId}:returned`, fileId), content(fileId).toUpperCase());
    });

    it("sends a file again, takes logs, and says what is wrong", async () => {
      const session = open();
      await allThere(session);
      const { sessionId, socket } = session;
      session.repeat("second.txt");
      assert.deepEqual(await session.answer("session-file-repeat-success"), { sessionId, fileId: "second.txt" });
      await allThere(session, 4);
      assert.deepEqual(session.heard.entries.at(-1), available(sessionId, "second.txt"));
      session.sendLogs(["line 1", { level: "warn" }]);
      assert.deepEqual(await session.answer("logs-send-success"), { sessionId });
      assert.deepEqual(JSON.parse(await redis.command("LRANGE", `file-session:${sessionId}:logs`, 0, -1)), ["line 1", { level: "warn" }]);

      const wrong = [
        ["session-file-send", { sessionId, fileId: "no-such-file", content: "x" }],
        ["session-file-send", { sessionId, fileId: "first.txt", content: "" }],
        ["session-file-send", { sessionId, fileId: "first.txt" }],
        ["session-file-repeat", { sessionId, fileId: "__proto__" }],
        ["session-file-repeat", { sessionId: "no-such-session", fileId: "first.txt" }],
        ["session-reconnect", { sessionId: "no-such-session" }],
        ["session-client-abort", {}],
        ["logs-send", { sessionId: ["x"], logs: [] }],
      ];
      for (const [event, payload] of wrong) {
        const before = session.count(`${event}-error`);
        socket.emit(event, payload);
        await eventually(() => session.count(`${event}-error`) === before + 1, `${event}-error`);
        const [, error] = session.heard.entries.at(-1);
        assert.equal(typeof error.message, "string", event);
        assert.notEqual(error.message, "");
        if (event === "session-reconnect") assert.equal(error.sessionId, payload.sessionId);
      }
      await finish(session, FILES);
    });

    it("is another user's for nobody else", async () => {
      const session = open();
      await allThere(session);
      const thief = open({ user: "mallory", sessionId: session.sessionId });
      assert.deepEqual(await thief.answer("session-reconnect-error"), { sessionId: session.sessionId, message: "there is no such session" });
      await finish(session, FILES);
      assert.equal(thief.count("session-file-available"), 0);
    });

    it("ends when the client aborts", async () => {
      const session = open();
      await allThere(session);
      session.abort("enough");
      assert.deepEqual(await session.answer("session-client-abort-success"), { sessionId: session.sessionId });
      send(session, "first.txt");
      assert.equal((await session.answer("session-file-send-error")).message, "there is no such session");
    });

    it("survives the client's reconnect to another node, recovered and not", async () => {
      const proxy = await startProxy(nodes[0].port);
      const session = open({ url: proxy.url.replace("http:", "https:") });
      await allThere(session);
      const { sessionId, socket } = session;
      send(session, "first.txt");
      await session.answer("session-file-send-success");
      // cut, and back by another node
      const { id } = socket;
      const left = next(socket, "disconnect");
      proxy.refuse();
      proxy.cut();
      await left;
      proxy.target = nodes.at(-1).port;
      proxy.accept();
      await next(socket, "connect");
      assert.deepEqual([socket.id, socket.recovered], [id, true]);
      send(session, "second.txt");
      await eventually(() => session.count("session-file-send-success") === 2, "the second to be accepted");
      assert.equal(session.count("session-file-available"), 3, "nothing was sent again");
      assert.equal(session.count("session-reconnect-success"), 0);
      // another process of the client, at yet another node
      socket.disconnect();
      const again = open({ sessionId, url: nodes.at(-2)?.url });
      assert.deepEqual(await again.answer("session-reconnect-success"), { sessionId });
      await allThere(again, 1);
      assert.deepEqual(again.heard.entries.at(-1), available(sessionId, "third.txt"));
      await finish(again, ["third.txt"]);
    });

    it("survives the backend's restart; while it is away the client is told so", async () => {
      const session = open();
      await allThere(session);
      send(session, "first.txt");
      await session.answer("session-file-send-success");
      await backend.end("SIGKILL");
      for (const [event, act] of [
        ["session-file-send", () => send(session, "second.txt")],
        ["session-file-repeat", () => session.repeat("third.txt")],
        ["logs-send", () => session.sendLogs([])],
        ["session-reconnect", () => session.socket.emit("session-reconnect", { sessionId: session.sessionId })],
        ["session-client-abort", () => session.abort()],
        ["session-start", () => session.socket.emit("session-start", {})],
      ]) {
        act();
        const error = await session.answer(`${event}-error`);
        assert.equal(typeof error.code, "string", event);
        assert.equal(typeof error.message, "string", event);
      }
      await startBackend();
      await eventually(async () => {
        const answers = session.heard.entries.length;
        session.repeat("third.txt"); // until the circuit is closed
        await eventually(() => session.heard.entries.length > answers, "an answer");
        return session.count("session-file-repeat-success") > 0;
      }, "the backend to be reached again");
      await finish(session, ["second.txt", "third.txt"]);
    });

    it("closes with `timeout-close` when a file has not come back, also by another process of the backend", async () => {
      await backend.end();
      await startBackend({ SESSION_TIMEOUT_MS: "1500" });
      const [session, finished] = [open(), open({ user: "bob" })];
      await Promise.all([allThere(session), allThere(finished)]);
      for (const fileId of FILES.slice(0, 2)) send(session, fileId);
      await eventually(() => session.count("session-file-send-success") === 2, "two to be accepted");
      await finish(finished, FILES);
      await backend.end("SIGKILL");
      await startBackend({ SESSION_TIMEOUT_MS: "1500" });
      assert.deepEqual(await session.answer("session-close"), { type: "timeout-close" });
      assert.equal(session.count("session-close"), 1);
      assert.equal(finished.count("session-close"), 1);
      const late = open({ sessionId: session.sessionId });
      assert.equal((await late.answer("session-reconnect-error")).message, "there is no such session");
    });

    it("speaks WebSocket only, over TLS only", async () => {
      const handshake = "/socket.io/?EIO=4&transport=polling";
      const refused = await secureFetch(`${nodes[0].url}${handshake}`, {}, { ca: certificates.ca });
      assert.deepEqual([refused.status, (await refused.json()).message], [400, "Transport unknown"]);
      await assert.rejects(fetch(`${nodes[0].url.replace("https:", "http:")}${handshake}`));
    });

    it("tells a bad token by `connection-auth-error`, and ends the connection", async () => {
      const cases = [["no token at all", "token_malformed"], [token("ann", "-60"), "token_expired"], [`${token("ann").slice(0, -4)}AAAA`, "token_bad_signature"], ["", "token_missing"]];
      for (const [bearer, code] of cases) {
        const session = open({ bearer });
        const left = next(session.socket, "disconnect");
        const error = await session.answer("connection-auth-error");
        assert.equal(error.code, code);
        assert.equal(typeof error.message, "string");
        assert.equal((await left)[0], "io server disconnect");
        assert.deepEqual(session.names(), ["connection-auth-error"]);
      }
    });
  });
}
