// k6 in the cluster: the scenario `rolling-restart`, during which something is done to the gateways.

import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { NAME, configMap, exec, fetched, gateways, get, metrics, removePod, seen, startPod } from "./cluster.js";
import { clientCount } from "./clients.js";
import { elapse, expect, since, until } from "./run.js";
import { settings } from "./settings.js";

const SCRIPTS = new URL("../../loadtest/k6/", import.meta.url);
const ROOMS = 5;
const API = 6565; // port at which k6 tells what it counts
const AFTER = 5000; // for which messages go on when all clients are back

export async function prepare() {
  const names = readdirSync(SCRIPTS).filter((name) => name.endsWith(".js") && !name.endsWith(".test.js") && name !== "run.js");
  await configMap("k6", Object.fromEntries(names.map((name) => [name, readFileSync(new URL(name, SCRIPTS), "utf8")])));
}

const all = async () => Promise.all((await gateways()).filter(({ ready }) => ready).map(metrics));
const connections = async () => (await all()).reduce((sum, { carillon_connections: count }) => sum + count, 0);

/** All clients are connected: k6's and the stock ones. */
const everybody = (ms) => until(async () => (await connections()) >= settings.sockets + clientCount, "all clients to be connected", ms);

/** Starts k6; resolves when all its clients are connected. */
async function start(scenario, more) {
  const { sockets, rate, apiKey, jwtSecret } = settings;
  const all = {
    SCENARIO: scenario, URL: `http://${NAME}`, PUBLISH: `http://${NAME}-internal:9100`, API_KEY: apiKey, JWT_SECRET: jwtSecret,
    SOCKETS: sockets, ROOMS, RATE: rate, RAMP: "10s", DURATION: "15m", GRACE: "60s", HTML: "/tmp/report.html", ...more,
  };
  const words = Object.entries(all).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
  const command = ["k6", "run", "--linger", "--quiet", "--no-usage-report", "--address", `0.0.0.0:${API}`, ...words, "/trial/load.js"];
  await startPod("k6", { image: settings.k6Image, command, env: { HOME: "/tmp" }, files: "k6" });
  await everybody(60_000);
}

const NONE = ["lost", "duplicate", "out_of_order", "publish_failed", "unconnected", "refused", "not_recovered"];

/** What k6 has counted until now, and the times of `away_time`. */
async function counted() {
  const { address } = seen(await get("pod", "k6"));
  const { data } = JSON.parse(await fetched(`http://${address}:${API}/v1/metrics`));
  const samples = Object.fromEntries(data.map(({ id, attributes }) => [id, attributes.sample]));
  const counts = Object.fromEntries(Object.entries(samples).map(([name, { count }]) => [name, count ?? 0]));
  return { ...counts, away: samples.away_time };
}

/** Ends it, and returns what it counted. It is asked: it lingers, and with connections to a lost node it would not end for long. */
async function end(title) {
  const [{ name }] = (await gateways()).filter(({ ready }) => ready);
  await exec(name, ["/carillon", "publish", "--key", settings.apiKey, "--all", "--event", "load-end"]);
  const counts = await until(async () => {
    const now = await counted();
    return now.finished === 1 && now;
  }, "k6 to have counted", 120_000);
  writeFileSync(`${settings.out}/k6-${title}.json`, JSON.stringify(counts, null, 1));
  const wrong = NONE.filter((what) => counts[what] !== 0).map((what) => `${what} ${counts[what]}`);
  expect(wrong.length === 0, `k6 counted ${wrong.join(", ")}`);
  const due = (counts.sent * settings.sockets) / ROOMS;
  expect(counts.received === due && due > 0, `${counts.received} messages came, and ${due} were due`);
  return counts;
}

/** What it counted, in words. */
export function told({ connected, sent, received, replayed, reconnects, recovered, not_recovered, lost, duplicate, out_of_order, away }) {
  const back = `${reconnects} reconnects, ${recovered} recovered, ${not_recovered} new sessions`;
  const longest = away?.max ? `, away ${(away.med / 1000).toFixed(1)} s (median), ${(away.max / 1000).toFixed(1)} s (longest)` : "";
  return `${connected} clients; sent ${sent}, received ${received}, replayed ${replayed}; ${back}; lost ${lost}, duplicate ${duplicate}, out of order ${out_of_order}${longest}`;
}

/** Memory of the gateway that takes most, in MiB. */
export async function memory() {
  const bytes = (await all()).map((it) => it.process_resident_memory_bytes);
  return Math.round(Math.max(...bytes) / 2 ** 20);
}

/** Does it while messages flow to all clients, and returns what was counted, and what it returned. */
export async function underLoad(title, act, { scenario = "rolling-restart", ...more } = {}) {
  try {
    await start(scenario, more);
    const did = await act();
    const began = Date.now();
    await everybody(180_000);
    const waited = since(began);
    await elapse(AFTER);
    const counts = await end(title);
    return { counts, did, waited };
  } finally {
    await removePod("k6");
  }
}
