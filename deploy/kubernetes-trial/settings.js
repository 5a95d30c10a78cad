// What the environment says; try-on-kubernetes explains it.

import { randomBytes } from "node:crypto";

const { env } = process;
const secret = () => randomBytes(32).toString("hex");
const words = (text) => text.trim().split(/\s+/);

export const settings = {
  kubectl: words(env.KUBECTL ?? "kubectl"),
  helm: words(env.HELM ?? "helm"),
  namespace: env.NAMESPACE ?? "carillon-trial",
  image: env.IMAGE ?? "carillon",
  tag: env.TAG,
  nextTag: env.NEXT_TAG,
  redisImage: env.REDIS_IMAGE ?? "redis:7.2",
  nodeImage: env.NODE_IMAGE ?? "node:22-slim",
  k6Image: env.K6_IMAGE ?? "grafana/k6:1.8.1",
  pullPolicy: env.PULL_POLICY ?? "IfNotPresent",
  sockets: Number(env.SOCKETS ?? 500),
  rate: Number(env.RATE ?? 20),
  values: env.VALUES,
  powerNode: env.POWER_NODE,
  powerOff: env.POWER_OFF,
  powerOn: env.POWER_ON,
  out: env.OUT ?? "target/kubernetes-trial",
  apiKey: secret(),
  jwtSecret: secret(),
};

if (!(settings.sockets > 0 && settings.sockets % 5 === 0)) throw new Error("SOCKETS: expected a multiple of 5, as many for each room");
for (const name of ["tag", "nextTag"]) {
  if (!settings[name]) throw new Error("TAG and NEXT_TAG are required; the head of deploy/try-on-kubernetes says what they are");
}
