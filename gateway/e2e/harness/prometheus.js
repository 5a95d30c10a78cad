// A Prometheus of the test's own, that scrapes gateways and judges them by the alert rules of deploy/chart.

import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "./gateway.js";
import { freePort } from "./ports.js";
import { Part } from "./process.js";
import { eventually } from "./wait.js";

const repository = fileURLToPath(new URL("../../..", import.meta.url));
const binary = join(process.env.TOOLS ?? resolve(repository, "target/tools"), "bin/prometheus");
const rules = join(repository, "deploy/chart/files/alerts.yaml");

/** The rules as they are, but that an alert has to hold for a thirtieth of the time: 30 s are one, a quarter of an hour is half a minute. */
export function hurried(text) {
  const seconds = { s: 1, m: 60, h: 3600 };
  return text.replace(/^( +for: )(\d+)([smh])$/gm, (_, key, count, unit) => `${key}${Math.ceil((count * seconds[unit]) / 30)}s`);
}

/** JSON is YAML, too. It looks each second, and judges as often. */
const configuration = (targets) =>
  JSON.stringify({
    global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" },
    rule_files: ["alerts.yaml"],
    scrape_configs: [{ job_name: "carillon", static_configs: [{ targets }] }],
  });

export class Prometheus {
  /** `targets`: hosts and ports. */
  async start(targets) {
    assert.ok(existsSync(binary), `no Prometheus at ${binary}; deploy/prometheus/install puts one there`);
    const folder = temporaryFolder();
    writeFileSync(join(folder, "alerts.yaml"), hurried(readFileSync(rules, "utf8")));
    writeFileSync(join(folder, "prometheus.yaml"), configuration(targets));
    const port = await freePort();
    this.url = `http://127.0.0.1:${port}`;
    this.part = new Part(binary, [`--config.file=${folder}/prometheus.yaml`, `--storage.tsdb.path=${folder}/data`, `--web.listen-address=127.0.0.1:${port}`, "--log.level=warn"]);
    await eventually(async () => {
      this.part.assertAlive();
      return (await fetch(`${this.url}/-/ready`).catch(() => undefined))?.ok;
    }, "prometheus to be ready");
    return this;
  }

  async get(path) {
    const answer = await (await fetch(`${this.url}/api/v1/${path}`)).json();
    assert.equal(answer.status, "success", `${path}: ${answer.error}`);
    return answer.data;
  }

  /** The series that an expression has now: labels and `value`. */
  async query(expression) {
    const { result } = await this.get(`query?query=${encodeURIComponent(expression)}`);
    return result.map(({ metric, value: [, value] }) => ({ ...metric, value: Number(value) }));
  }

  async targets() {
    return (await this.get("targets?state=active")).activeTargets;
  }

  async rules() {
    return (await this.get("rules?type=alert")).groups.flatMap((group) => group.rules);
  }

  /** Until every rule has been judged twice from now on. */
  async judged() {
    for (let n = 0; n < 2; n++) {
      const since = Date.now();
      await eventually(async () => (await this.rules()).every((rule) => Date.parse(rule.lastEvaluation) > since), "all rules to be judged");
    }
  }

  /** Names of the alerts in one of these states; a pending one has not held for long enough yet. */
  async alerts(...states) {
    const { alerts } = await this.get("alerts");
    return [...new Set(alerts.filter(({ state }) => states.includes(state)).map(({ labels }) => labels.alertname))].sort();
  }

  stop() {
    return this.part.end();
  }
}

export const startPrometheus = (targets) => new Prometheus().start(targets);
