// Redis goes away for longer than a liveness probe is patient, and comes back empty.

import { NAME, calm, evict, gateways, kubectl, namespace } from "../cluster.js";
import * as clients from "../clients.js";
import { elapse, expect, since, until } from "../run.js";

const PATIENCE = 45_000; // three failures of the liveness probe, ten seconds between two, and more

const scale = (replicas) => kubectl(["scale", "-n", namespace, `deployment/${NAME}-redis`, `--replicas=${replicas}`]);
const restarts = (pods) => pods.map(({ name, restarts }) => `${name} ${restarts}`).sort().join();

export async function redis() {
  const before = restarts(await calm(3));
  const { new_sessions: started, websockets } = await clients.wellServed();
  let began = Date.now();
  await scale(0);
  await until(async () => (await gateways()).every(({ ready }) => !ready), "all gateways to be unready");
  const unready = since(began);
  await elapse(PATIENCE);
  const during = await gateways();
  expect(during.length === 3 && during.every(({ ready }) => !ready), "a gateway was ready without Redis");
  expect(restarts(during) === before, `restarts were ${before}, and are ${restarts(during)}`);
  expect((await evict(during[0].name)) === "refused", "a gateway could be evicted while all are unready");
  const held = await clients.state();
  expect(held.websockets === websockets, `of ${websockets} WebSockets ${held.websockets} are left`);
  const { sent } = held;

  began = Date.now();
  await scale(1);
  const after = await calm(3);
  const ready = since(began);
  expect(restarts(after) === before, `restarts were ${before}, and are ${restarts(after)}`);
  const now = await clients.wellServed();
  return {
    what: "Redis stopped",
    happened: `for ${PATIENCE / 1000} s: all gateways unready after ${unready} s, none restarted, no eviction allowed, ${held.websockets} of ${websockets} WebSockets stay connected; with an empty Redis all are ready after ${ready} s`,
    counts: `stock clients: ${now.sent - sent} messages since, all of them received; lost ${now.lost}, duplicate ${now.duplicate}, out of order ${now.out_of_order}; new sessions ${now.new_sessions - started} (clients that only poll)`,
  };
}
