// The load test: `k6 run -e SCENARIO=fanout -e URL=… -e PUBLISH=… load.js`. The README in the folder above tells what each scenario
// does and what its numbers mean; settings.js has all settings.

import exec from "k6/execution";
import { SharedArray } from "k6/data";
import { SCENARIOS, thresholds } from "./scenarios.js";
import { settings as read } from "./settings.js";
import { html, text } from "./summary.js";
import { World } from "./world.js";

const name = __ENV.SCENARIO ?? "fanout";
const scenario = SCENARIOS[name];
if (!scenario) throw new Error(`SCENARIO: expected one of ${Object.keys(SCENARIOS).join(", ")}, found "${name}"`);

const settings = read(__ENV, scenario.settings);

const tokens = new SharedArray("tokens", () => (settings.TOKENS ? open(settings.TOKENS).split("\n").filter(Boolean) : []));
const { RAMP, DURATION, GRACE } = settings;

export const options = {
  scenarios: {
    [name]: { executor: "per-vu-iterations", vus: settings.VUS, iterations: 1, maxDuration: `${RAMP + DURATION + 3 * GRACE + 60000}ms` },
  },
  thresholds: thresholds(scenario, settings),
  summaryTrendStats: ["min", "med", "p(90)", "p(95)", "p(99)", "max", "count"],
  systemTags: ["name", "status"], // each sample carries them, so as few as will do
};

export function setup() {
  return { run: `${Date.now().toString(36)}${Math.random().toString(36).slice(2, 6)}` };
}

export default async function ({ run }) {
  const world = new World({ settings, personal: scenario.personal, run, vu: exec.vu.idInTest - 1, tokens });
  await scenario.run(world);
  await world.finish();
}

export function handleSummary(data) {
  const report = { name, about: scenario.about, settings, metrics: data.metrics, seconds: data.state.testRunDurationMs / 1000 };
  return {
    stdout: text(report),
    [settings.HTML || `carillon-${name}.html`]: html(report),
    ...(settings.JSON && { [settings.JSON]: JSON.stringify(data.metrics) }),
  };
}
