// Breaks a receiver on purpose, to show that a run notices: each fourth message is not taken, taken twice, or taken after the one
// behind it; or each reconnect begins a new session (receiver.js), or nothing is published (world.js).

import { METRICS } from "./metrics.js";

export const FAULTS = ["drop", "double", "swap", "forget", "silent"];

const EVERY = 4;
const PATIENCE = 300; // milliseconds for which a message waits for one behind it

export function broken(fault, take) {
  if (!["drop", "double", "swap"].includes(fault)) return take;
  let count = 0;
  let held;
  const release = (behind) => {
    const message = held;
    held = undefined;
    if (behind) METRICS.faults.add(1), take(behind);
    take(message);
  };
  return (message) => {
    if (held) return release(message);
    count += 1;
    if (count % EVERY !== 0) return take(message);
    if (fault === "swap") {
      held = message;
      return setTimeout(() => held === message && release(), PATIENCE);
    }
    METRICS.faults.add(1);
    if (fault === "double") take(message), take(message);
  };
}
