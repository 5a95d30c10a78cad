// The trial: its steps in order, a table, and everything removed again, also when a step failed.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { NAME, configMap, gateways, get, helm, kubectl, logs, makeNamespaces, removeNamespaces, tools } from "./cluster.js";
import * as clients from "./clients.js";
import { follow } from "./drains.js";
import * as load from "./load.js";
import { since } from "./run.js";
import { settings } from "./settings.js";
import { autoscaler } from "./steps/autoscaler.js";
import { install, stock } from "./steps/install.js";
import { policy } from "./steps/policy.js";
import { power, restorePower } from "./steps/power.js";
import { redis } from "./steps/redis.js";
import { eviction, kill, rollout } from "./steps/replaced.js";

const STEPS = { rollout, eviction, kill, power, autoscaler, redis, policy };

const wanted = process.argv.slice(2);
for (const name of wanted) if (!STEPS[name]) throw new Error(`no step ${name}; there are ${Object.keys(STEPS).join(", ")}`);
const began = Date.now();
const say = (text) => console.log(`${String(since(began)).padStart(5)} s  ${text}`);
const rows = [];
const failures = [];

async function step(name, act) {
  say(`${name} …`);
  try {
    const row = await act();
    rows.push(row);
    say(`${name}: ${row.happened}${row.counts && `. ${row.counts}`}`);
  } catch (error) {
    failures.push(name);
    rows.push({ what: name, happened: `FAILED: ${error.message.split("\n")[0]}`, counts: "" });
    say(`${name}: FAILED: ${error.stack}`);
    await keep(name).catch((why) => say(`what the cluster says could not be kept: ${why.message}`));
    throw error;
  }
}

/** What there is to look at after a failure. */
async function keep(name) {
  const { out } = settings;
  writeFileSync(`${out}/${name}-pods.json`, JSON.stringify((await get("pods")).items, null, 1));
  writeFileSync(`${out}/${name}-events.txt`, await kubectl(["get", "events", "-A", "--sort-by=.lastTimestamp"]));
  for (const pod of [...(await gateways()).map((it) => it.name), "stock", "k6"]) {
    writeFileSync(`${out}/${name}-${pod}.log`, await logs(pod).catch((error) => error.message));
  }
  say(`logs, pods and events are in ${out}/${name}-…`);
}

async function clean() {
  say("removing everything …");
  await helm(["uninstall", NAME, "--ignore-not-found", "--wait=false"]).catch((error) => say(error.message));
  await removeNamespaces();
  say("removed");
}

const table = () => [
  "| Step | What happened | Counts |",
  "|---|---|---|",
  ...rows.map(({ what, happened, counts }) => `| ${what} | ${happened} | ${counts} |`),
].join("\n");

async function trial() {
  mkdirSync(settings.out, { recursive: true });
  const nodes = (await kubectl(["get", "nodes", "--no-headers"])).trim().split("\n");
  say(`Kubernetes ${nodes[0].trim().split(/\s+/)[4]}, ${nodes.length} nodes`);
  await configMap("agent", { "agent.mjs": readFileSync(new URL("inside/agent.js", import.meta.url), "utf8") }, tools);
  await load.prepare();
  await clients.prepare();
  await step("install", install);
  await step("stock", stock);
  // a step that fails does not keep the others from being seen
  for (const name of Object.keys(STEPS)) if (wanted.length === 0 || wanted.includes(name)) await step(name, STEPS[name]).catch(() => {});
}

await makeNamespaces().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
process.on("SIGINT", () => restorePower().then(clean).finally(() => process.exit(1)));
const unfollow = follow();
try {
  await trial();
} catch (error) {
  if (failures.length === 0) say(`FAILED: ${error.stack}`), failures.push("beginning");
}
unfollow();
await clean().catch((error) => {
  say(`could not be removed: ${error.message}`);
  failures.push("removing");
});
console.log(`\n${table()}\n`);
console.log(failures.length === 0 ? `all ${rows.length} steps hold, after ${since(began)} s` : `FAILED: ${failures.join(", ")}`);
process.exit(failures.length === 0 ? 0 : 1);
