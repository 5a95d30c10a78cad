// A client that received nothing for longer than the log reaches back recovers all the same: its pongs say what it has.

import assert from "node:assert/strict";
import { after, it } from "node:test";
import { closeClients, connect, fence, transports } from "../harness/client.js";
import { beyondReference, startGateway } from "../harness/gateway.js";
import { openNamespace } from "../harness/rules.js";
import { next } from "../harness/wait.js";

after(closeClients);

it("an idle client whose offset is older than the log recovers by its pongs", { skip: beyondReference("it forgets such offsets") }, async () => {
  const engine = { ping_interval: "300ms", ping_timeout: "200ms" };
  const gateway = await startGateway({ namespaces: [openNamespace("/", true)], engine, recovery: { window: "500ms", refresh: "100ms" } });
  await Promise.all(
    Object.entries(transports).map(async ([transport, options]) => {
      const client = await connect(gateway, { recovery: true, ...options });
      const target = { users: [client.user] };
      await gateway.publish("n", [1], { target });
      await client.event("n");
      const offset = client.socket._lastOffset;
      // Retention is at most 12 s here (see Sessions in the design): 50 pings are 15 s.
      for (let ping = 0; ping < 50; ping++) await next(client.socket.io, "ping");
      assert.equal(client.socket._lastOffset, offset, "it was idle");
      const { id } = client;
      await client.cut();
      for (const n of [2, 3, 4]) await gateway.publish("n", [n], { target });
      assert.deepEqual(await client.back(), { id, recovered: true }, transport);
      await fence(gateway, client);
      assert.deepEqual(client.all("n"), [1, 2, 3, 4], transport);
    }),
  );
  closeClients();
  await gateway.stop();
});
