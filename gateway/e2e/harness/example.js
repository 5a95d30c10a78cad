// The examples, run as they stand: their configuration, their scripts, their pages. What differs is where things listen.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startCluster } from "./cluster.js";
import { startGateway } from "./gateway.js";
import { Part } from "./process.js";
import { eventually } from "./wait.js";

const root = fileURLToPath(new URL("../../examples", import.meta.url));

export const exampleFile = (name, file) => join(root, name, file);

/** How each example is run: `start(name, config)` gives a gateway, or a cluster in its place. */
export const deployments = {
  "one node": (name, config) => startGateway(config, { file: exampleFile(name, "carillon.toml") }),
  "the cluster": (name, config) => startCluster(config, undefined, { file: exampleFile(name, "carillon.toml") }),
};

/** A script of an example, when it says where it listens: `url`. */
export async function startScript(name, file, env = {}) {
  const part = new Part(process.execPath, [exampleFile(name, file)], { env });
  await eventually(() => {
    part.assertAlive();
    return (part.url = part.output.join("\n").match(/listening on (http:\S+)/)?.[1]);
  }, () => `${file} to listen; it said ${part.output.join("\n")}`);
  return part;
}

/** Posts JSON to a script of an example: its answer. */
export async function post(url, body = {}) {
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`POST ${url}: ${response.status} ${text}`);
  return text && JSON.parse(text);
}
