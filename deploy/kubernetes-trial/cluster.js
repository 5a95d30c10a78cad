// The cluster: kubectl and helm, the gateways in it, and pods that the trial puts beside them.

import { createHash } from "node:crypto";
import { expect, run, until } from "./run.js";
import { settings } from "./settings.js";

export const NAME = "carillon";
export const { namespace } = settings;
export const tools = `${namespace}-tools`;
const SELECTOR = `app.kubernetes.io/name=carillon,app.kubernetes.io/component=gateway`;

export const kubectl = (args, options) => run(settings.kubectl[0], [...settings.kubectl.slice(1), ...args], options);
export const helm = (args) => run(settings.helm[0], [...settings.helm.slice(1), ...args, "-n", namespace], { ms: 600_000 });
export const get = async (...args) => JSON.parse(await kubectl(["get", "-n", namespace, "-o", "json", ...args]));
const apply = (object) => kubectl(["apply", "-f", "-"], { input: JSON.stringify(object) });
// server-side: a larger ConfigMap does not fit into the annotation that it takes otherwise
const put = (object) => kubectl(["apply", "--server-side", "--force-conflicts", "-f", "-"], { input: JSON.stringify(object) });

/** Makes them, and fails where there is one already: at the end they are removed with all that is in them. */
export async function makeNamespaces() {
  const made = (name, level) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels: { "pod-security.kubernetes.io/enforce": level } } });
  // gateways and clients must do with the strictest rules; who looks into other processes needs rights
  const items = [made(namespace, "restricted"), made(tools, "privileged")];
  const found = await kubectl(["get", "namespace", "--ignore-not-found", "-o", "name", namespace, tools]);
  expect(found === "", `there is already ${found.trim().split("\n").join(" and ")}`);
  for (const item of items) await apply(item);
}

export const removeNamespaces = () => kubectl(["delete", "namespace", "--ignore-not-found", namespace, tools], { ms: 300_000 });

const secret = (name, stringData) => apply({ apiVersion: "v1", kind: "Secret", metadata: { name, namespace }, stringData });
export const configMap = (name, data, where = namespace) => put({ apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: where }, data });

const CONFIG = `
[log]
format = "json"
[[namespaces]]
name = "/"
auth = { method = "jwt", algorithms = ["HS256"], secret_file = "/etc/carillon/secrets/trial-jwt/secret" }
events = [{ event = "join", action = "join", room = "{args.0}" }]
`;

/** Installs or upgrades, and returns when helm says that all is ready. */
export async function release(tag, more = {}) {
  const backends = ["k6", "stock"].map((app) => ({ podSelector: { matchLabels: { app } } }));
  const values = {
    image: { repository: settings.image, tag, pullPolicy: settings.pullPolicy },
    config: CONFIG,
    secrets: { apiKeys: { name: "trial" }, mounts: ["trial-jwt"] },
    trialRedis: { enabled: true, image: settings.redisImage, pullPolicy: settings.pullPolicy },
    networkPolicy: { backends },
    // so that four of them fit on one small node
    resources: { requests: { cpu: "100m", memory: "128Mi" } },
    ...more,
  };
  const files = settings.values ? ["-f", settings.values] : [];
  const set = Object.entries(values).flatMap(([name, value]) => ["--set-json", `${name}=${JSON.stringify(value)}`]);
  await helm(["upgrade", "--install", NAME, "deploy/chart", ...files, ...set, "--wait", "--timeout", "8m"]);
}

export async function makeSecrets() {
  const sha256 = createHash("sha256").update(settings.apiKey).digest("hex");
  await secret("trial", { "api-keys": `[{name="trial", sha256="${sha256}", scopes=["publish"]}]` });
  await secret("trial-jwt", { secret: settings.jwtSecret });
}

const holds = (pod, type) => pod.status.conditions?.some((condition) => condition.type === type && condition.status === "True") ?? false;

/** What matters of a pod. */
export function seen(pod) {
  const [container] = pod.status.containerStatuses ?? [];
  return {
    name: pod.metadata.name,
    node: pod.spec.nodeName,
    address: pod.status.podIP,
    leaving: pod.metadata.deletionTimestamp !== undefined,
    ready: holds(pod, "Ready") && pod.metadata.deletionTimestamp === undefined,
    image: pod.spec.containers[0].image,
    grace: pod.spec.terminationGracePeriodSeconds,
    container: container?.containerID?.replace(/^.*\/\//, ""),
    restarts: container?.restartCount ?? 0,
  };
}

export const gateways = async () => (await get("pods", "-l", SELECTOR)).items.map(seen);
export const watchGateways = [...settings.kubectl, "get", "pods", "-n", namespace, "-l", SELECTOR, "-o", "json", "--watch"];

/** Waits until there are exactly so many gateways, all ready and none leaving. */
export function calm(count, ms = 300_000) {
  const settled = (pods) => pods.length === count && pods.every(({ ready }) => ready) && pods;
  return until(async () => settled(await gateways()), `${count} gateways, all ready and no other`, ms);
}

/** What the API says to the eviction of a pod. */
export async function evict(name) {
  const object = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name, namespace } };
  try {
    await kubectl(["create", "--raw", `/api/v1/namespaces/${namespace}/pods/${name}/eviction`, "-f", "-"], { input: JSON.stringify(object) });
    return "evicted";
  } catch (error) {
    if (/TooManyRequests/.test(error.message) && /disruption budget/.test(error.message)) return "refused";
    throw error;
  }
}

const SECURITY = { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } };
const POD_SECURITY = { runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: { type: "RuntimeDefault" } };

export const removePod = (name, where = namespace) => kubectl(["delete", "pod", name, "-n", where, "--ignore-not-found", "--wait"]);

/** Starts a pod of the trial, with a ConfigMap as /trial, away from the node whose power is cut; resolves when it runs. */
export async function startPod(app, { image, command, env = {}, files }) {
  const { powerNode } = settings;
  const away = { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "NotIn", values: [powerNode] }] };
  await apply({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: app, namespace, labels: { app } },
    spec: {
      restartPolicy: "Never",
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 1,
      securityContext: POD_SECURITY,
      ...(powerNode && { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [away] } } } }),
      containers: [{
        name: app,
        image,
        imagePullPolicy: settings.pullPolicy,
        command,
        env: Object.entries(env).map(([name, value]) => ({ name, value: String(value) })),
        securityContext: SECURITY,
        volumeMounts: [{ name: "files", mountPath: "/trial" }, { name: "tmp", mountPath: "/tmp" }],
      }],
      volumes: [{ name: "files", configMap: { name: files } }, { name: "tmp", emptyDir: {} }],
    },
  });
  await until(async () => (await get("pod", app)).status.phase === "Running", `${app} to run`, 120_000);
}

export const exec = (pod, command) => kubectl(["exec", "-n", namespace, pod, "--", ...command]);
export const logs = (pod, ...args) => kubectl(["logs", "-n", namespace, pod, ...args]);

/** What an address in the cluster answers, to a pod that is in it. */
export const fetched = (url) => exec("stock", ["node", "-e", `fetch("${url}").then((it) => it.text()).then(console.log)`]);

/** The metrics of a gateway, by name, summed over labels. */
export async function metrics({ address }) {
  const text = await fetched(`http://${address}:9100/metrics`);
  const sums = {};
  for (const [, name, value] of text.matchAll(/^([a-z_]+)(?:\{.*\})? (\S+)$/gm)) sums[name] = (sums[name] ?? 0) + Number(value);
  return sums;
}

/** Looks at the process of a gateway, or kills it, from its node. */
export async function onNode(gateway, action) {
  const name = `agent-${action}`;
  await apply({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: tools },
    spec: {
      nodeName: gateway.node,
      hostPID: true,
      restartPolicy: "Never",
      automountServiceAccountToken: false,
      containers: [{
        name,
        image: settings.nodeImage,
        imagePullPolicy: settings.pullPolicy,
        command: ["node", "/trial/agent.mjs", action, gateway.container],
        securityContext: { privileged: true, runAsUser: 0 },
        volumeMounts: [{ name: "files", mountPath: "/trial" }],
      }],
      volumes: [{ name: "files", configMap: { name: "agent" } }],
    },
  });
  const phase = await until(async () => {
    const pod = JSON.parse(await kubectl(["get", "pod", name, "-n", tools, "-o", "json"]));
    return ["Succeeded", "Failed"].includes(pod.status.phase) && pod.status.phase;
  }, `${name} to end`);
  const output = await kubectl(["logs", name, "-n", tools]);
  await removePod(name, tools);
  expect(phase === "Succeeded", `${name}: ${output}`);
  return JSON.parse(output);
}
