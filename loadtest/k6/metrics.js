// Everything that is counted or timed.

import { Counter, Trend } from "k6/metrics";

const COUNTED = [
  // messages
  "sent", // accepted by the publish API
  "received",
  "replayed", // of those received: published before the receiver was recovered
  "lost",
  "duplicate",
  "out_of_order",
  "publish_repeated", // attempts that were not accepted, and were made again
  "publish_late", // messages not even tried, since those before were under way
  "publish_failed", // publishes that were given up
  // connections
  "connected", // clients that came in
  "unconnected", // clients that never did
  "refused", // clients that were refused by CONNECT_ERROR
  "connect_failed", // attempts that came to nothing
  "disconnects", // connections lost
  "reconnects",
  "recovered",
  "not_recovered",
  // the run
  "finished", // VUs that came to the end of their scenario
  "faults", // made on purpose by FAULT
];
const TIMED = [
  "delivery", // from publish to receiver, of messages that were not replayed
  "connect_time", // of an attempt that succeeded: TCP, WebSocket, CONNECT
  "away_time", // from the loss of a connection to the answered CONNECT of the next
  "publish_time", // of a publish, until it was accepted
];

export const METRICS = {
  ...Object.fromEntries(COUNTED.map((name) => [name, new Counter(name)])),
  ...Object.fromEntries(TIMED.map((name) => [name, new Trend(name, true)])),
};

/** So that a count of nothing is 0 in the summary, and not absent. */
export function addZeros() {
  for (const name of COUNTED) METRICS[name].add(0);
}
