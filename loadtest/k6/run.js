// For the tests: runs k6 to its end, and reads what it counted.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "../../gateway/e2e/harness/gateway.js";
import { Part } from "../../gateway/e2e/harness/process.js";
import { within } from "../../gateway/e2e/harness/wait.js";

const script = fileURLToPath(new URL("load.js", import.meta.url));
export const secret = "a secret of more than thirty-two bytes";

/** What these runs want of a gateway: `/` for everybody, `/tokens` for users; who does not answer a ping is gone while they run. */
export const gatewaySettings = {
  engine: { ping_interval: "700ms", ping_timeout: "3s" },
  namespaces: [
    { name: "/", events: [{ event: "join", action: "join", room: "{args.0}" }] },
    { name: "/tokens", auth: { method: "jwt", algorithms: ["HS256"], secret }, events: [{ event: "join", action: "join", room: "{args.0}" }] },
  ],
};

// How long things take is for measurements, on machines with nothing else to do.
const untimed = { DELIVERY_P99: "60s", CONNECT_P95: "60s" };

/** Runs k6 with this scenario and settings, and resolves when it has ended. `nodes` are those that publish. */
export function launch(scenario, { url, nodes }, settings = {}) {
  const folder = temporaryFolder();
  const all = { SCENARIO: scenario, URL: url, PUBLISH: nodes.map(({ internal }) => internal).join(","), HTML: join(folder, "report.html"), JSON: join(folder, "numbers.json"), ...untimed, ...settings };
  const words = Object.entries(all).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
  const part = new Part(process.env.K6, ["run", "--quiet", "--no-usage-report", "--address", "", ...words, script]);
  const exited = within(part.exited, `k6 to end (${scenario})`, 150_000).then(({ code, error }) => {
    if (error) throw error;
    return { code, output: part.output.join("\n").replaceAll('\\"', '"'), report: read(all.HTML), ...counted(all.JSON) };
  });
  exited.catch(() => {});
  return exited;
}

function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined; // it ended before it had something to tell
  }
}

function counted(file) {
  const metrics = JSON.parse(read(file) ?? "{}");
  const counts = Object.fromEntries(Object.entries(metrics).map(([name, { values }]) => [name, values.count]));
  const failed = Object.entries(metrics).filter(([, { thresholds = {} }]) => Object.values(thresholds).some(({ ok }) => !ok));
  return { metrics, counts, failed: failed.map(([name]) => name).sort() };
}

/** One line of what came of it. */
export function tell(title, { counts, metrics }) {
  const { sent, received, lost, duplicate, out_of_order, reconnects, recovered, replayed } = counts;
  const moved = reconnects > 0 ? `, reconnects ${reconnects}, recovered ${recovered}, replayed ${replayed}` : "";
  const delay = metrics.delivery.values.count > 0 ? `, delivery p99 ${metrics.delivery.values["p(99)"].toFixed(1)} ms` : "";
  console.log(`${title}: sent ${sent}, received ${received}, lost ${lost}, duplicate ${duplicate}, out_of_order ${out_of_order}${moved}${delay}`);
}
