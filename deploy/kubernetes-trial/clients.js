// The stock clients in the cluster (inside/stock.js), which are there from the beginning of the trial to its end.

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { NAME, configMap, logs, startPod } from "./cluster.js";
import { expect, until } from "./run.js";
import { settings } from "./settings.js";

const POLLING = 4;
const WEBSOCKETS = 16;
export const clientCount = POLLING + WEBSOCKETS;

/** One file of the program and the packages of the end-to-end suite. */
async function bundle(file) {
  const packages = new URL("../../gateway/e2e/node_modules/", import.meta.url);
  const { build } = createRequire(packages)("esbuild");
  const entryPoints = [fileURLToPath(new URL(file, import.meta.url))];
  const banner = { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' };
  const options = { bundle: true, write: false, platform: "node", format: "esm", minify: true, banner, nodePaths: [fileURLToPath(packages)] };
  return (await build({ ...options, entryPoints })).outputFiles[0].text;
}

export async function prepare() {
  await configMap("stock", { "stock.mjs": await bundle("inside/stock.js") });
}

export async function start() {
  const env = {
    URL: `http://${NAME}`, PUBLISH: `http://${NAME}-internal:9100`, API_KEY: settings.apiKey, JWT_SECRET: settings.jwtSecret,
    CLIENTS: clientCount, POLLING, EVERY_MS: 500,
  };
  await startPod("stock", { image: settings.nodeImage, command: ["node", "/trial/stock.mjs"], env, files: "stock" });
  await until(state, "the stock clients to say something");
}

/** What they count at present. */
export async function state() {
  const lines = (await logs("stock", "--tail=20")).split("\n").filter((line) => line.startsWith("{"));
  return lines.length > 0 && JSON.parse(lines.at(-1));
}

/** Waits until all are connected and have every message until now; `lost` and the like must be 0. */
export async function wellServed(ms = 120_000) {
  const { sent } = await state();
  const all = await until(async () => {
    const now = await state();
    return now.connected === WEBSOCKETS && now.polling === POLLING && now.complete === clientCount && now.sent > sent + 2 && now;
  }, "the stock clients to be connected and to have all messages", ms);
  const { lost, duplicate, out_of_order } = all;
  expect(lost + duplicate + out_of_order === 0, `stock clients: lost ${lost}, duplicate ${duplicate}, out of order ${out_of_order}`);
  return all;
}

/** Waits until all that may have a WebSocket have one. */
export const upgraded = () => until(async () => (await state()).websockets === WEBSOCKETS, "the stock clients to go on by WebSocket");
