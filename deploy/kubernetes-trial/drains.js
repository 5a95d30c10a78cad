// Follows the gateways' pods, to tell how those that were told to go have gone.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { watchGateways } from "./cluster.js";

const told = new Map(); // name -> when it was told to go
const gone = new Map(); // name -> { code, seconds, grace }, when its process has ended
let asked = 0; // so many of them have been told

function note({ metadata: { name, deletionTimestamp, deletionGracePeriodSeconds }, spec, status }) {
  if (!deletionTimestamp) return;
  // the first word counts: at the end the kubelet makes the time shorter
  if (!told.has(name)) told.set(name, Date.parse(deletionTimestamp) - deletionGracePeriodSeconds * 1000);
  const ended = status.containerStatuses?.[0]?.state.terminated;
  if (!ended || gone.has(name)) return;
  const seconds = (Date.parse(ended.finishedAt) - told.get(name)) / 1000; // both are whole seconds
  gone.set(name, { code: ended.exitCode, seconds, grace: spec.terminationGracePeriodSeconds });
}

/** Begins to follow; the answer ends it. */
export function follow() {
  let over = false;
  let child;
  const open = () => {
    child = spawn(watchGateways[0], watchGateways.slice(1), { stdio: ["ignore", "pipe", "ignore"] });
    let lines = [];
    createInterface({ input: child.stdout }).on("line", (line) => {
      lines.push(line);
      if (line !== "}") return; // kubectl indents what is inside
      note(JSON.parse(lines.join("\n")));
      lines = [];
    });
    child.on("close", () => over || open());
  };
  open();
  return () => {
    over = true;
    child.kill();
  };
}

/** How pods have gone since it was last asked. */
export function taken() {
  const news = [...gone.values()].slice(asked);
  asked = gone.size;
  return news;
}
