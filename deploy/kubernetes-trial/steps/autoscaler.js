// The autoscaler is turned on for the running release, and sees load.

import { NAME, calm, gateways, get, kubectl, release } from "../cluster.js";
import * as clients from "../clients.js";
import { told, underLoad } from "../load.js";
import { elapse, expect, since, until } from "../run.js";
import { settings } from "../settings.js";

const TARGET = 20; // per cent of the CPU that is asked for
const MORE = 4; // times the load of the other steps

const served = (api) => kubectl(["get", "--raw", `/apis/${api}`]).then(() => true, () => false);
const tag = async () => (await gateways())[0].image.split(":").at(-1);

export async function autoscaler() {
  if (!(await served("metrics.k8s.io/v1beta1"))) return { what: "autoscaler", happened: "left out: there is no metrics-server", counts: "" };
  const custom = await served("custom.metrics.k8s.io/v1beta1");

  // enabling it must not take gateways away: the least that there are from now on
  let least = Infinity;
  let looking = true;
  const look = (async () => {
    for (; looking; await elapse(500)) least = Math.min(least, await get("deployment", NAME).then(({ spec }) => spec.replicas, () => least));
  })();
  await release(await tag(), { autoscaling: { enabled: true, minReplicas: 3, maxReplicas: 5, cpuPercent: TARGET } });
  const use = () => get("hpa", NAME).then(({ status }) => status.currentMetrics?.[0]?.resource?.current.averageUtilization);
  const before = await until(async () => (await use()) ?? false, "the autoscaler to know the use of CPU", 180_000);

  const { counts, did } = await underLoad("autoscaler", async () => {
    const began = Date.now();
    let most = 0;
    const grown = await until(async () => {
      most = Math.max(most, (await use()) ?? 0);
      const ready = (await gateways()).filter((pod) => pod.ready).length;
      return ready > 3 && ready;
    }, "more than three gateways", 300_000);
    return { most, grown, seconds: since(began) };
  }, { scenario: "fanout", RATE: settings.rate * MORE }).finally(async () => {
    looking = false;
    await look;
    await release(await tag());
  });
  expect(least >= 3, `${least} gateways were wanted when the autoscaler was turned on`);
  await calm(3, 480_000);
  await clients.wellServed();
  return {
    what: "autoscaler",
    happened: `at a target of ${TARGET} % of the CPU asked for: ${before} % before the load, ${did.most} % under it; ${did.grown} gateways ready ${did.seconds} s after the load began, never fewer than ${least} wanted. By connections: ${custom ? "not tried" : "needs a custom metrics adapter, which is not there"}`,
    counts: told(counts),
  };
}
