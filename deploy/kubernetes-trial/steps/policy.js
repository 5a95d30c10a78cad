// The NetworkPolicies are there; whether anything enforces them is the network's.

import { NAME, exec, get, kubectl, namespace } from "../cluster.js";
import { expect } from "../run.js";

export async function policy() {
  const stored = (await get("networkpolicies")).items.map(({ metadata }) => metadata.name).sort();
  expect(stored.join() === `${NAME},${NAME}-redis`, `NetworkPolicies: ${stored.join()}`);
  // stock clients are among those who may publish, and nobody but gateways may speak to Redis
  const open = await exec("stock", ["node", "-e", `
    const socket = require("net").connect(6379, "${NAME}-redis");
    const tell = (what) => () => { console.log(what); process.exit(); };
    socket.on("connect", tell("open")).on("error", tell("closed"));
    setTimeout(tell("closed"), 3000);
  `]);
  const enforced = open.trim() === "closed";
  return {
    what: "NetworkPolicy",
    happened: `${stored.length} stored; ${enforced ? "enforced: Redis is closed to a pod that is no gateway" : "not enforced by this network: Redis is open to a pod that is no gateway"}`,
    counts: "",
  };
}
