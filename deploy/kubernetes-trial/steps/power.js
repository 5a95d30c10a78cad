// A node with gateways loses its power: nobody says good-bye, and connections to it end in nothing.

import { calm, gateways, kubectl } from "../cluster.js";
import * as clients from "../clients.js";
import { told, underLoad } from "../load.js";
import { expect, run, since, until } from "../run.js";
import { settings } from "../settings.js";

const { powerNode, powerOff, powerOn } = settings;

async function nodeReady() {
  const node = JSON.parse(await kubectl(["get", "node", powerNode, "-o", "json"]));
  return node.status.conditions.some(({ type, status }) => type === "Ready" && status === "True");
}

let cut = false;

/** Brings the node back, if it was cut. */
export async function restorePower() {
  if (cut) await run("sh", ["-c", powerOn], { ms: 180_000 });
  cut = false;
}

export async function power() {
  if (!powerNode || !powerOff || !powerOn) return { what: "power cut", happened: "left out: POWER_NODE, POWER_OFF and POWER_ON are not set", counts: "" };
  const { counts, did, waited } = await underLoad("power", async () => {
    const lost = (await calm(3)).filter(({ node }) => node === powerNode).length;
    expect(lost > 0, `no gateway is on ${powerNode}`);
    const began = Date.now();
    cut = true;
    await run("sh", ["-c", powerOff]);
    await until(async () => !(await nodeReady()), `Kubernetes to notice that ${powerNode} is gone`, 180_000);
    const noticed = since(began);
    await until(async () => (await gateways()).filter(({ ready, node }) => ready && node !== powerNode).length === 3, "three gateways on other nodes", 180_000);
    return { lost, noticed, replaced: since(began) };
  }).finally(restorePower);
  await until(nodeReady, `${powerNode} to be back`, 120_000);
  await calm(3);
  const { away_ms } = await clients.wellServed();
  const { lost, noticed, replaced } = did;
  return {
    what: "power cut",
    happened: `of a node with ${lost} of 3 gateways, noticed by Kubernetes after ${noticed} s; three gateways elsewhere after ${replaced} s, all clients connected ${waited} s later; the node came back`,
    counts: `${told(counts)}; stock clients were away ${(away_ms / 1000).toFixed(1)} s at most in all of this`,
  };
}
