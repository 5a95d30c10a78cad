// The scenarios, by name: what they are about, the settings in which they differ, which counts must not be zero, and what they
// do with a world.

import { elapse, until } from "./wait.js";

/** Everybody is there, messages flow; meanwhile `what` happens. */
const underLoad = (what) => async (world) => {
  await world.ramp();
  world.publish();
  await what(world, world.settings, Date.now() + world.settings.DURATION);
};

const rest = (world, _, end) => until(() => world.ended, end - Date.now());

export const SCENARIOS = {
  "connect-ramp": {
    about: "Clients connect at an even pace, each into a room in which messages flow already.",
    settings: { SOCKETS: 500, RATE: 2, RAMP: "20s", DURATION: "2s" },
    must: [],
    async run(world) {
      world.publish();
      await world.ramp();
      await elapse(world.settings.DURATION);
    },
  },
  fanout: {
    about: "All clients are in rooms; each message goes to everybody in one of them.",
    settings: { SOCKETS: 200, RATE: 20 },
    must: [],
    run: underLoad(rest),
  },
  personal: {
    about: "Each message goes to one client: to its user if there are tokens, else to its socket.",
    settings: { SOCKETS: 200, RATE: 200 },
    personal: true,
    must: [],
    run: underLoad(rest),
  },
  churn: {
    about: "While messages flow, clients leave for good and others come.",
    settings: { SOCKETS: 200, RATE: 20, CHURN: 10 },
    must: [],
    run: underLoad(async (world, { CHURN }, end) => {
      const leaving = [];
      while (Date.now() < end) {
        leaving.push(world.replace());
        await elapse(1000 / CHURN);
      }
      await Promise.all(leaving);
    }),
  },
  "reconnect-storm": {
    about: "While messages flow, all clients lose their connection at once, come back and recover.",
    settings: { SOCKETS: 200, RATE: 20, DURATION: "20s" },
    must: ["reconnects", "recovered", "replayed"],
    run: underLoad(async (world, { CUT_EVERY, CUT_SHARE }, end) => {
      do {
        world.cut(CUT_SHARE);
        await elapse(Math.min(CUT_EVERY, Math.max(0, end - Date.now())));
      } while (Date.now() < end);
    }),
  },
  "rolling-restart": {
    about: "Messages flow and clients stay, while somebody else restarts the nodes one after the other.",
    settings: { SOCKETS: 200, RATE: 20, DURATION: "10m" },
    must: ["reconnects", "recovered"],
    run: underLoad(rest),
  },
};

/** What must hold at the end of a scenario for the run to pass. */
export function thresholds({ must }, { VUS, DELIVERY_P99, CONNECT_P95, NEW_SESSIONS }) {
  const none = ["lost", "duplicate", "out_of_order", "publish_failed", "unconnected", "refused"];
  const some = ["sent", "received", "connected", ...must];
  return {
    ...Object.fromEntries(none.map((name) => [name, ["count==0"]])),
    ...Object.fromEntries(some.map((name) => [name, ["count>0"]])),
    not_recovered: [`count<=${NEW_SESSIONS}`],
    finished: [`count==${VUS}`],
    delivery: [`p(99)<${DELIVERY_P99}`],
    connect_time: [`p(95)<${CONNECT_P95}`],
  };
}
