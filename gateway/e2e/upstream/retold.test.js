// A node that tells the backend who has gone, and is killed before it has an answer: another node tells it again.

import assert from "node:assert/strict";
import { after, it } from "node:test";
import { startBackend } from "../harness/backend.js";
import { closeClients, connect } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { Signer } from "../harness/tokens.js";
import { eventually } from "../harness/wait.js";

let backend, cluster;
after(async () => {
  closeClients();
  await cluster?.stop();
  await backend?.stop();
});

it("is told again by another node, under the same id", async () => {
  const signer = new Signer("HS256");
  const hanging = [];
  backend = await startBackend((call) => (hanging.length < 3 ? !hanging.push(call) : undefined));
  cluster = await startCluster({ upstream: { ...backend.settings, timeout: "1m" }, namespaces: [{ name: "/", auth: signer.settings, upstream: { disconnect: true } }] });
  const clients = await Promise.all([1, 2, 3].map((n) => connect(cluster.nodes[0], { auth: { token: signer.token({ sub: `user ${n}` }) } })));
  const sockets = clients.map(({ id }) => id);
  for (const { socket } of clients) socket.disconnect();
  await eventually(() => hanging.length === 3, "all to be told");
  // who tells is not said; only one of them is left
  await Promise.all([cluster.nodes[0].kill(), cluster.nodes[1].kill()]);
  const calls = () => backend.of("disconnect");
  await eventually(() => sockets.every((id) => calls().filter(({ socket }) => socket === id).length >= 2), "each to be told again", 60_000);
  for (const id of sockets) {
    const told = calls().filter(({ socket }) => socket === id);
    assert.deepEqual(new Set(told.map((call) => call.id)).size, 1, "under one id");
    assert.deepEqual(told.map(({ reason }) => reason), told.map(() => "client"));
  }
});
