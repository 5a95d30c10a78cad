// Three gateways and a Redis for trials; what their processes may do; stock clients come in.

import { NAME, calm, get, kubectl, logs, makeSecrets, onNode, release } from "../cluster.js";
import * as clients from "../clients.js";
import { elapse, expect, since, until } from "../run.js";
import { settings } from "../settings.js";

const CALM = 10_000; // without a warning

/** Redis is not what loses its power. */
async function moveRedis() {
  const { powerNode } = settings;
  const redis = async () => (await get("pods", "-l", "app.kubernetes.io/component=trial-redis")).items;
  const [pod] = await redis();
  if (!powerNode || pod.spec.nodeName !== powerNode) return;
  await kubectl(["cordon", powerNode]);
  await kubectl(["delete", "pod", "-n", pod.metadata.namespace, pod.metadata.name]);
  await until(async () => (await redis()).every(({ spec }) => spec.nodeName && spec.nodeName !== powerNode), "Redis on another node").finally(() => kubectl(["uncordon", powerNode]));
  await kubectl(["rollout", "status", "-n", pod.metadata.namespace, `deployment/${NAME}-redis`, "--timeout=60s"]);
}

export async function install() {
  await makeSecrets();
  const began = Date.now();
  await release(settings.tag);
  const seconds = since(began);
  await moveRedis();
  const pods = await calm(3);
  const nodes = new Set(pods.map(({ node }) => node)).size;

  for (const pod of pods) {
    const { user, capabilities, noNewPrivileges, seccomp, readOnlyRoot } = await onNode(pod, "inspect");
    expect(user === 65532 && capabilities === "0" && noNewPrivileges && seccomp && readOnlyRoot,
      `${pod.name}: user ${user}, capabilities ${capabilities}, no new privileges ${noNewPrivileges}, seccomp ${seccomp}, read-only ${readOnlyRoot}`);
  }
  return {
    what: "install",
    happened: `helm says ready after ${seconds} s; ${pods.length} gateways on ${nodes} nodes, in a namespace that enforces "restricted"; each process is user 65532, without capabilities, with seccomp, on a read-only root`,
    counts: "",
  };
}

/** Warnings and worse in the logs of all gateways since then. */
async function warnings(pods, began) {
  const all = await Promise.all(pods.map(({ name }) => logs(name, `--since-time=${new Date(began).toISOString()}`)));
  return all.flatMap((text) => text.split("\n").filter((line) => /"level":"(WARN|ERROR)"/.test(line)));
}

export async function stock() {
  const began = Date.now(); // gateways that start before Redis say so
  await clients.start();
  await clients.upgraded();
  await elapse(CALM);
  const { sent, received, connected, polling } = await clients.wellServed();
  const pods = await calm(3);
  const said = await warnings(pods, began);
  expect(said.length === 0, `the gateways warn, and nothing has happened:\n${said.join("\n")}`);
  return {
    what: "stock clients",
    happened: `${connected} by WebSocket, which began with polling, and ${polling} that only poll, with tokens, through the Service; nothing in the gateways' logs above "info"`,
    counts: `sent ${sent}, received ${received}`,
  };
}
