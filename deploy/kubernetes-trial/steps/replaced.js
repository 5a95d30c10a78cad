// Gateways that go while clients are at work: by a rollout, an eviction, a kill.

import { calm, evict, gateways, get, onNode, release } from "../cluster.js";
import * as clients from "../clients.js";
import { taken } from "../drains.js";
import { memory, told, underLoad } from "../load.js";
import { expect, since, until } from "../run.js";
import { settings } from "../settings.js";

/** How pods that were told to go went: each by itself, and before it would have been killed. */
function drained(count) {
  const all = taken();
  const longest = Math.max(...all.map(({ seconds }) => seconds));
  expect(all.length === count, `expected ${count} pods to have gone, found ${JSON.stringify(all)}`);
  for (const { code, seconds, grace } of all) expect(code === 0 && seconds < grace, `a pod ended with code ${code} after ${seconds} of ${grace} s`);
  return `ended by itself with code 0, after ${longest} s of the ${all[0].grace} s that it has`;
}

const row = async (what, happened, counts) => {
  const { recovered } = await clients.wellServed();
  return { what, happened, counts: `${told(counts)}; stock clients have recovered ${recovered} times` };
};

export async function rollout() {
  taken();
  const { counts, did } = await underLoad("rollout", async () => {
    const took = await memory();
    const began = Date.now();
    await release(settings.nextTag);
    await calm(3);
    return { took, seconds: since(began) };
  });
  const images = (await gateways()).map(({ image }) => image);
  expect(images.every((image) => image.endsWith(`:${settings.nextTag}`)), `images are ${images.join(", ")}`);
  const { took, seconds } = did;
  return row("rolling upgrade", `from image ${settings.tag} to ${settings.nextTag} in ${seconds} s; each old pod ${drained(3)}; before it a gateway took ${took} MiB at most`, counts);
}

const allowed = async () => (await get("poddisruptionbudget", "carillon")).status.disruptionsAllowed;

export async function eviction() {
  taken();
  const { counts, did } = await underLoad("eviction", async () => {
    const [first, second] = await calm(3);
    await until(async () => (await allowed()) === 1, "the budget to allow one");
    const began = Date.now();
    const answers = [await evict(first.name), await evict(second.name)];
    expect(answers.join() === "evicted,refused", `the evictions of two were answered: ${answers.join()}`);
    await calm(3);
    await until(async () => (await allowed()) === 1, "the budget to allow one again");
    return since(began);
  });
  return row("eviction", `of one pod, which ${drained(1)}; that of a second one is refused (429) while it is gone, and allowed again after ${did} s`, counts);
}

export async function kill() {
  const { counts, did } = await underLoad("kill", async () => {
    const [victim] = await calm(3);
    const began = Date.now();
    await onNode(victim, "kill");
    const restarted = await until(async () => (await gateways()).find(({ name, restarts }) => name === victim.name && restarts === victim.restarts + 1), "the kubelet to restart the container");
    await calm(3);
    return { restarts: restarted.restarts, seconds: since(began) };
  });
  return row("SIGKILL", `of one gateway's process; the kubelet restarted the container (restarts: ${did.restarts}), ready again after ${did.seconds} s`, counts);
}
