// TLS without a balancer that ends it: clients on the public listener, backends and other nodes on the internal one.

import assert from "node:assert/strict";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import WebSocket from "ws";
import { makeCertificates } from "../harness/certificates.js";
import { closeClients, connect, fence, transports } from "../harness/client.js";
import { reference, runCarillon, startGateway, temporaryFolder } from "../harness/gateway.js";
import { secureFetch } from "../harness/https.js";
import { freePort } from "../harness/ports.js";
import { startRedis } from "../harness/redis.js";
import { openNamespace } from "../harness/rules.js";
import { eventually, next, within } from "../harness/wait.js";
import { Socket } from "../harness/wire.js";

const options = { skip: reference && "about the gateway's own listeners" };
const namespaces = [openNamespace("/", true)];
const certificates = reference ? {} : makeCertificates();
const { ca, caFile, certFile, keyFile, clientCert, clientKey, clientCertFile, clientKeyFile } = certificates;
const own = { cert_file: certFile, key_file: keyFile };
const large = "名🔔".repeat(60_000);
afterEach(closeClients);

/** A handshake: the protocol, or the code of the failure. */
function shake(gateway, more = {}) {
  const socket = tls.connect({ port: gateway.port, host: "127.0.0.1", ca, ...more });
  return within(
    new Promise((done) => {
      socket.once("error", (error) => done({ failed: error.code ?? error.message }));
      socket.once("secureConnect", () => done({ protocol: socket.getProtocol(), alpn: socket.alpnProtocol, serial: socket.getPeerCertificate().serialNumber, resumed: socket.isSessionReused() }));
    }),
    "a TLS handshake",
  ).finally(() => socket.destroy());
}

const metric = async (gateway, series) => {
  const { body } = await gateway.call("GET", "/metrics");
  return Number(body.split("\n").find((line) => line.startsWith(`${series} `))?.slice(series.length + 1));
};

for (const version of ["TLSv1.2", "TLSv1.3"]) {
  describe(`clients by ${version}`, options, () => {
    let gateway;
    let agent;
    before(async () => {
      gateway = await startGateway({ namespaces, workers: 3, limits: { outbound_queue: "64MiB" }, public: { tls: own } });
      agent = new https.Agent({ ca, minVersion: version, maxVersion: version });
    });
    after(async () => {
      agent?.destroy();
      await gateway?.stop();
    });

    for (const [title, transport] of Object.entries(transports)) {
      it(`${title}: events both ways, large and binary ones, in order`, async () => {
        // several, so that some are handed from one worker to another
        const clients = await Promise.all(Array.from({ length: 9 }, () => connect(gateway, { recovery: true, agent, ...transport })));
        for (let n = 0; n < 50; n++) await gateway.publish("n", [n, { $binary: "AQID" }, n % 10 === 0 ? large : ""], { target: { rooms: ["news"] } });
        const answers = await Promise.all(clients.map((client, n) => client.emit("message-with-ack", n, large, Buffer.from([n]))));
        assert.deepEqual(answers, clients.map((_, n) => n));
        for (const client of clients) await fence(gateway, client);
        const numbers = Array.from({ length: 50 }, (_, n) => n).join();
        const complete = clients.filter((client) => client.all("n").join() === numbers).length;
        console.log(`${version} ${title}: ${clients.length} clients, sent 50, complete and in order ${complete}`);
        assert.equal(complete, clients.length);
        assert.ok(clients.every(({ engine }) => engine.transport.name === (title === "polling" ? "polling" : "websocket")));
        assert.ok(clients[0].events.entries.find(({ event }) => event === "n").args[1].equals(Buffer.from([1, 2, 3])));
      });

      it(`${title}: a client that was cut off recovers`, async () => {
        const client = await connect(gateway, { recovery: true, agent, ...transport });
        await fence(gateway, client);
        await client.cut();
        for (let n = 0; n < 5; n++) await gateway.publish("missed", [n], { target: { users: [client.user] } });
        const { recovered } = await client.back();
        await fence(gateway, client);
        assert.deepEqual([recovered, client.all("missed")], [true, [0, 1, 2, 3, 4]]);
      });
    }

    it("the handshake speaks it, and HTTP/1.1 only", async () => {
      const { protocol, alpn } = await shake(gateway, { minVersion: version, maxVersion: version, ALPNProtocols: ["h2", "http/1.1"] });
      assert.deepEqual([protocol, alpn], [version, "http/1.1"]);
      const { failed } = await shake(gateway, { minVersion: version, maxVersion: version, ALPNProtocols: ["h2"] });
      assert.match(failed, /ALERT_NO_APPLICATION_PROTOCOL/);
    });

    it("a session is resumed", async () => {
      const socket = tls.connect({ port: gateway.port, host: "127.0.0.1", ca, minVersion: version, maxVersion: version });
      const [session] = await next(socket, "session", "a session ticket");
      socket.destroy();
      assert.equal((await shake(gateway, { minVersion: version, maxVersion: version, session })).resumed, true);
    });

    it("what comes right behind an upgrade is read, though the socket has no more to say", async () => {
      const opened = await secureFetch(`${gateway.url}${gateway.path}?EIO=4&transport=polling`, {}, { ca });
      const { sid } = JSON.parse((await opened.text()).slice(1));
      const socket = new Socket(new WebSocket(`${gateway.ws}${gateway.path}?EIO=4&transport=websocket&sid=${sid}`, { agent }));
      await socket.opened;
      socket.send("2probe");
      assert.equal(await socket.take(), "3probe");
      // in one record: more than the upgrade reads at once
      const burst = socket.ws._socket;
      burst.cork();
      socket.send("5", `40{"user":"burst","more":"${"x".repeat(3000)}"}`, `420["message-with-ack","${"y".repeat(6000)}"]`, '421["message-with-ack","last"]');
      burst.uncork();
      assert.match(await socket.take(), /^40\{"sid"/);
      assert.match(await socket.take(), /^430\["y+"\]$/);
      assert.equal(await socket.take(), '431["last"]');
      socket.end();
    });

    it("a client that reads nothing for a while gets all in the end", async () => {
      const socket = new Socket(new WebSocket(`${gateway.ws}${gateway.path}?EIO=4&transport=websocket`, { agent }));
      await socket.take();
      socket.send('40{"user":"slow"}');
      await socket.take();
      socket.ws.pause();
      const count = 60;
      for (let n = 0; n < count; n++) await gateway.publish("n", [n, large], { target: { users: ["slow"] } });
      socket.ws.resume();
      const packets = await socket.takeMany(count);
      assert.deepEqual(packets.map((packet) => JSON.parse(packet.slice(2))[1]), Array.from({ length: count }, (_, n) => n));
      assert.ok(packets.every((packet) => packet.includes(large)));
      console.log(`${version}: a slow reader got ${packets.length} of ${count}, ${Math.round(packets.join("").length / 1e6)} million characters`);
      socket.end();
    });
  });
}

describe("what is refused on the public listener", options, () => {
  let gateway;
  before(async () => (gateway = await startGateway({ namespaces, public: { tls: own } })));
  after(() => gateway?.stop());

  it("TLS 1.1", async () => {
    const { failed } = await shake(gateway, { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" });
    assert.match(failed, /PROTOCOL_VERSION|HANDSHAKE_FAILURE/);
  });

  it("plain HTTP: the connection ends without an answer of HTTP, and is counted", async () => {
    const failed = 'carillon_tls_handshakes_total{listener="public",outcome="failed"}';
    const before = await metric(gateway, failed);
    const socket = net.connect(gateway.port, "127.0.0.1");
    socket.on("error", () => {});
    const pieces = [];
    socket.on("data", (piece) => pieces.push(piece));
    socket.write(`GET ${gateway.path}?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\n\r\n`);
    await next(socket, "close", "the connection to end");
    assert.doesNotMatch(Buffer.concat(pieces).toString("latin1"), /HTTP/);
    // the stream is closed before it is counted
    await eventually(async () => (await metric(gateway, failed)) === before + 1, "it to be counted");
  });

  it("an authority that the client does not know is refused by the client", async () => {
    const { failed } = await shake(gateway, { ca: makeCertificates({ authority: "Another" }).ca });
    assert.match(failed, /UNABLE_TO_VERIFY|SELF_SIGNED|CERT_SIGNATURE_FAILURE/);
  });

  it("a client that goes away in the middle of the handshake harms nobody", async () => {
    for (let n = 0; n < 20; n++) {
      const socket = net.connect(gateway.port, "127.0.0.1");
      await next(socket, "connect");
      socket.write(Buffer.from([0x16, 0x03, 0x01, 0x02]));
      socket.destroy();
    }
    const client = await connect(gateway, { ca });
    assert.equal(await client.emit("message-with-ack", 7), 7);
  });

  it("TLS 1.2, where 1.3 is the oldest", async () => {
    const strict = await startGateway({ namespaces, public: { tls: { ...own, min_version: "1.3" } } });
    assert.match((await shake(strict, { maxVersion: "TLSv1.2" })).failed, /PROTOCOL_VERSION|HANDSHAKE_FAILURE/);
    assert.equal((await shake(strict)).protocol, "TLSv1.3");
    await strict.stop();
  });
});

describe("files that change", options, () => {
  it("are for new connections; those that are open stay, and bad files change nothing", async () => {
    const folder = temporaryFolder();
    const files = { cert_file: join(folder, "cert.pem"), key_file: join(folder, "key.pem") };
    const put = (issued) => {
      copyFileSync(issued.certFile, files.cert_file);
      copyFileSync(issued.keyFile, files.key_file);
    };
    put(certificates);
    const gateway = await startGateway({ namespaces, public: { tls: { ...files, reload: "20ms" } } });
    const client = await connect(gateway, { ca });
    const first = (await shake(gateway)).serial;

    put(certificates.issuer.issue("renewed", { names: ["localhost"], ips: ["127.0.0.1"] }));
    await eventually(async () => (await shake(gateway)).serial !== first, "the new certificate to be shown");
    const second = (await shake(gateway)).serial;

    writeFileSync(files.cert_file, "-----BEGIN CERTIFICATE-----\nnonsense\n");
    const refused = 'carillon_tls_reloads_total{listener="public",outcome="refused"}';
    const so_far = await metric(gateway, refused);
    await eventually(async () => (await metric(gateway, refused)) > so_far, "the bad file to be noticed");
    assert.equal((await shake(gateway)).serial, second);
    const warnings = () => gateway.output.filter((line) => /cannot be used; the old ones stay/.test(line) && /"error":"cert_file: .*not PEM/.test(line)).length;
    await eventually(() => warnings() > 0, "the warning");

    assert.equal(await client.emit("message-with-ack", 1), 1, "the connection that was open still is");
    assert.equal(client.connects.entries.length, 1);
    assert.equal(warnings(), 1, "it is told once");
    await gateway.stop();
  });

  it("that cannot be used are told of by check-config, with their key", async () => {
    const ended = certificates.issuer.issue("ended", { names: ["localhost"], days: -1 });
    for (const [config, said] of [
      [{ public: { tls: { cert_file: certFile } } }, /public\.tls\.key_file: `cert_file` and `key_file` go together/],
      [{ public: { tls: { cert_file: "/nowhere.pem", key_file: keyFile } } }, /public\.tls\.cert_file: no such file: \/nowhere\.pem/],
      [{ public: { tls: { cert_file: certFile, key_file: clientKeyFile } } }, /public\.tls\.key_file: .*client\.key: is not the key of the certificate/],
      [{ public: { tls: { cert_file: keyFile, key_file: keyFile } } }, /public\.tls\.cert_file: .*server\.key: no certificate in it/],
      [{ internal: { tls: { ...own, client_ca_file: keyFile } } }, /internal\.tls\.client_ca_file: .*: no certificate in it/],
      [{ internal: { tls: { client_ca_file: caFile } } }, /internal\.tls\.client_ca_file: is of no use without `cert_file`/],
      [{ public: { tls: { ...own, min_version: "1.1" } } }, /public\.tls\.min_version: unknown value "1\.1", did you mean "1\.\d"/],
    ]) {
      const { code, output } = await runCarillon(["check-config", "--config", "FILE"], { config });
      assert.equal(code, 1, output);
      assert.match(output, said);
    }
    const gateway = await startGateway({ namespaces, public: { tls: { cert_file: ended.certFile, key_file: ended.keyFile } } });
    assert.ok(gateway.output.some((line) => /clients will refuse the certificate/.test(line)), "a warning, for it may be renewed at any time");
    await gateway.stop();
  });
});

describe("the internal listener by mutual TLS", options, () => {
  let gateway;
  const backend = { ca, cert: clientCert, key: clientKey };
  before(async () => {
    gateway = await startGateway({ namespaces, internal: { tls: { ...own, client_ca_file: caFile } } });
    gateway.tls = backend;
  });
  after(() => gateway?.stop());

  it("lets who has a certificate publish", async () => {
    const client = await connect(gateway, { recovery: true });
    await gateway.publish("hello", ["backend"]);
    assert.deepEqual((await client.event("hello")).args, ["backend"]);
    assert.equal((await gateway.call("GET", "/readyz")).status, 200);
  });

  it("refuses who has none, or one of another authority", async () => {
    const stranger = makeCertificates({ authority: "Another" });
    for (const [title, credentials] of [["none", { ca }], ["a stranger's", { ca, cert: stranger.clientCert, key: stranger.clientKey }]]) {
      for (const path of ["/healthz", "/v1/count", "/internal/v1/engine"]) {
        await assert.rejects(secureFetch(gateway.internal + path, {}, credentials), /certificate required|ECONNRESET|socket hang up|unknown ca|bad certificate|decrypt error/i, `${title} ${path}`);
      }
    }
    await assert.rejects(fetch(gateway.internal.replace("https", "http") + "/healthz"), "plain HTTP");
  });

  it("is published to by the command line", async () => {
    const client = await connect(gateway, { recovery: true });
    const publish = (...more) => runCarillon(["publish", "--url", gateway.internal, "--all", "--event", "told", "by-command", ...more]);
    const told = await publish("--ca-file", caFile, "--cert-file", clientCertFile, "--key-file", clientKeyFile);
    assert.equal(told.code, 0, told.output);
    assert.deepEqual((await client.event("told")).args, ["by-command"]);
    for (const [files, said] of [
      [["--ca-file", caFile], /no answer from https:/],
      [[], /no answer from https:.*certificate/],
      [["--ca-file", keyFile], /--ca-file: .*no certificate in it/],
      [["--ca-file", caFile, "--cert-file", clientCertFile], /--key-file/],
      [["--ca-file", caFile, "--cert-file", clientCertFile, "--key-file", keyFile], /--key-file: .*is not the key/],
    ]) {
      const { code, output } = await publish(...files);
      assert.notEqual(code, 0);
      assert.match(output, said);
    }
  });
});

describe("three nodes with TLS everywhere, and certificates of each other", options, () => {
  let redis;
  const nodes = [];
  before(async () => {
    redis = await startRedis();
    const start = async () => {
      const listen = `127.0.0.1:${await freePort()}`;
      const node = await startGateway({ namespaces, limits: { outbound_queue: "64MiB" }, redis: { url: redis.url }, public: { tls: own }, internal: { listen, tls: { ...own, client_ca_file: caFile } } });
      node.tls = { ca, cert: clientCert, key: clientKey };
      return node;
    };
    nodes.push(...(await Promise.all([start(), start(), start()])));
  });
  after(async () => {
    const ended = await Promise.allSettled(nodes.map((node) => node.stop()));
    await redis?.stop();
    for (const { reason } of ended) if (reason) throw reason;
  });

  const ask = (node, query, init) => secureFetch(`${node.url}${node.path}?${new URLSearchParams({ EIO: "4", transport: "polling", ...query })}`, init, { ca });
  const open = async (node) => JSON.parse((await (await ask(node, {})).text()).slice(1)).sid;
  /** Polls until this has come. */
  const receive = async (node, sid, text) => {
    for (let got = ""; !got.includes(text); ) {
      const response = await within(ask(node, { sid }), "a poll to be answered", 60_000);
      assert.equal(response.status, 200, await response.clone().text());
      got += await response.text();
    }
  };
  const forwarded = (node, kind) => metric(node, `carillon_forwarded_requests_total{kind="${kind}",outcome="answered"}`);

  it("polling requests for a session are carried out by its node, whichever they come to", async () => {
    let sent = 0;
    for (const owner of nodes) {
      const sid = await open(owner);
      for (const node of nodes.filter((node) => node !== owner)) {
        const text = `${large}${sent++}`;
        assert.equal(await (await ask(node, { sid }, { method: "POST", body: '40{"user":"roaming"}' })).text(), "ok");
        await receive(node, sid, '40{"sid"');
        assert.equal(await (await ask(node, { sid }, { method: "POST", body: `42["message",${JSON.stringify(text)}]` })).text(), "ok");
        await receive(node, sid, text);
        assert.equal(await (await ask(node, { sid }, { method: "POST", body: "41" })).text(), "ok");
      }
    }
    const counts = await Promise.all(nodes.flatMap((node) => [forwarded(node, "poll"), forwarded(node, "post")]));
    console.log(`forwarded by TLS: polls and posts by node ${counts}, echoes ${sent}`);
    assert.ok(counts.every((count) => count > 0), `${counts}`);
  });

  it("a WebSocket that comes in at another node takes over, and carries much both ways", async () => {
    const sid = await open(nodes[0]);
    const socket = new Socket(new WebSocket(`${nodes[1].ws}${nodes[1].path}?${new URLSearchParams({ EIO: "4", transport: "websocket", sid })}`, { ca }));
    await socket.opened;
    socket.send("2probe");
    assert.equal(await socket.take(), "3probe");
    socket.send("5");
    socket.send('40{"user":"carried"}');
    assert.match(await socket.take(), /^40\{/);
    const count = 40;
    socket.ws.pause();
    for (let n = 0; n < count; n++) await nodes[2].publish("n", [n, large], { target: { users: ["carried"] } });
    socket.ws.resume();
    const packets = [];
    while (packets.length < count) {
      const packet = await socket.take();
      if (packet.startsWith('42["n"')) packets.push(JSON.parse(packet.slice(2))[1]);
    }
    assert.deepEqual(packets, Array.from({ length: count }, (_, n) => n));
    socket.send(`421["message-with-ack",${JSON.stringify(large)}]`);
    const answer = await socket.take();
    assert.ok(answer.startsWith("431[") && answer.includes(large), answer.slice(0, 40));
    socket.end();
    await eventually(async () => (await nodes[2].count("namespace=/&user=carried")) === 0, "the owner to notice the end");
    console.log(`carried by TLS on both sides: ${packets.length} of ${count}`);
  });

  it("rooms, publishing and recovery go from node to node", async () => {
    const client = await connect(nodes[0], { recovery: true, ca });
    await fence(nodes[1], client);
    const { id } = client;
    await client.cut();
    for (let n = 0; n < 5; n++) await nodes[2].publish("n", [n], { target: { users: [client.user] } });
    client.socket.io.uri = nodes[1].url;
    const { recovered } = await client.back();
    await fence(nodes[2], client);
    assert.deepEqual([recovered, client.id, client.all("n")], [true, id, [0, 1, 2, 3, 4]]);
  });
});

describe("nodes whose certificates are for one name, and for no address", options, () => {
  const { issuer } = certificates;
  const withCertificate = (label, names) => issuer?.issue(label, { names, use: "serverAuth,clientAuth" });
  const common = withCertificate("common", ["carillon.internal"]);
  const other = withCertificate("other", ["other.internal"]);
  let redis;
  before(async () => (redis = await startRedis()));
  after(() => redis?.stop());

  /** Two nodes; the session of the first is asked of the second, which forwards that by TLS. */
  async function forwarded(settings, theirs = common) {
    const node = async ({ certFile, keyFile }) => {
      const listen = `127.0.0.1:${await freePort()}`;
      const tls = { cert_file: certFile, key_file: keyFile, ca_file: caFile, ...settings };
      const node = await startGateway({ namespaces, redis: { url: redis.url, prefix: `named-${listen}` }, internal: { listen, tls } });
      node.tls = { ca, checkServerIdentity: () => undefined };
      return node;
    };
    const one = await node(theirs);
    const two = await startGateway({ ...one.config, internal: { ...one.config.internal, listen: `127.0.0.1:${await freePort()}`, tls: { ...one.config.internal.tls, cert_file: common.certFile, key_file: common.keyFile } } });
    const query = new URLSearchParams({ EIO: "4", transport: "polling" });
    const sid = JSON.parse((await (await fetch(`${one.url}${one.path}?${query}`)).text()).slice(1)).sid;
    const answer = await fetch(`${two.url}${two.path}?${query}&sid=${sid}`, { method: "POST", body: "40" });
    const said = two.output.some((line) => /no TLS with a node/.test(line));
    await Promise.all([one.stop(), two.stop()]);
    return { status: answer.status, said };
  }

  it("do not trust each other by their addresses", async () => {
    assert.deepEqual(await forwarded({}), { status: 400, said: true });
  });

  it("do where that name is set", async () => {
    assert.deepEqual(await forwarded({ server_name: "carillon.internal" }), { status: 200, said: false });
  });

  it("do not trust a certificate of their authority for another name", async () => {
    assert.deepEqual(await forwarded({ server_name: "carillon.internal" }, other), { status: 400, said: true });
  });
});
