// Old clients through round robin: polling, its upgrade and the goodbye come in at other nodes than the session's.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startCluster } from "../harness/cluster.js";
import { closeOld, nodeClient } from "../harness/old.js";
import { openNamespace } from "../harness/rules.js";
import { eventually } from "../harness/wait.js";

let cluster;
before(async () => {
  const namespaces = [openNamespace("/", true, { on_connect: { join: ["news"] } })];
  cluster = await startCluster({ public: { legacy: { enabled: true, jsonp: true } }, namespaces });
});
after(async () => {
  await closeOld();
  await cluster?.stop();
});

describe("old clients through round robin", () => {
  for (const way of ["polling", "upgrade"]) {
    it(`${way}: each receives all, in order, and is answered`, async () => {
      const versions = ["1.0.6", "1.7.4", "2.5.0", "4.8.4"];
      const clients = await Promise.all([0, 1, 2].flatMap(() => versions.map((version) => nodeClient(cluster, version, way))));
      for (let n = 0; n < 20; n++) await cluster.publish("news", [n, { $binary: "AYD/" }], { target: { rooms: ["news"] } });
      const answers = await Promise.all(clients.map((client, n) => client.emit("message-with-ack", n, { bytes: [n] })));
      assert.deepEqual(answers, clients.map((_, n) => [n, { bytes: [n] }]));
      const expected = Array.from({ length: 20 }, (_, n) => [n, { bytes: [1, 0x80, 0xff] }]);
      for (const client of clients) {
        await client.event("news", (n) => n === 19);
        assert.deepEqual(client.all("news"), expected, client.label);
        assert.equal(client.all("news").length, 20);
      }
      const owners = await Promise.all(clients.map((client) => cluster.ownerOf(client.socket.io.engine.id)));
      console.log(`${way}: ${clients.length} clients on nodes ${owners.map((n) => n + 1)}, sent 20, complete and in order`);
      assert.equal(new Set(owners).size, 3, "the clients are on all nodes");
      await closeOld();
    });
  }

  it("scripts and the goodbye, by each of the nodes", async () => {
    const open = await fetch(`${cluster.nodes[0].url}/socket.io/1/?EIO=2&transport=polling&j=3&t=0`);
    const [, sid] = (await open.text()).match(/^___eio\[3\]\("\d+:0\{\\"sid\\":\\"([^\\]+)\\"/);
    for (const [n, node] of cluster.nodes.entries()) {
      const said = `42${n}["message-with-ack"]`;
      const url = `${node.url}/socket.io/1/?EIO=2&transport=polling&j=3&sid=${sid}&t=${n}`;
      assert.equal(await (await fetch(url, { method: "POST", body: new URLSearchParams({ d: `${said.length}:${said}` }) })).text(), "ok");
      let script = "";
      await eventually(async () => (script += await (await fetch(`${url}-${script.length}`)).text()).includes(`43${n}[]`), "the acknowledgement");
      assert.match(script, /^___eio\[3\]\(/);
    }
    const alive = () => cluster.count("");
    assert.equal(await alive(), 1);
    const goodbye = await fetch(`${cluster.nodes[1].url}/socket.io/1/xhr-polling/${sid}?disconnect`);
    assert.equal(goodbye.status, 200);
    await eventually(async () => (await alive()) === 0, "the session to end");
    assert.equal((await fetch(`${cluster.nodes[2].url}/socket.io/1/xhr-polling/${sid}?disconnect`)).status, 200);
    const asked = await fetch(`${cluster.nodes[2].url}/socket.io/?EIO=2&transport=polling&sid=${sid}`, { method: "DELETE" });
    assert.equal(asked.status, 400, "nobody but a node asks so");
  });
});
