// The report at the end: for the terminal, and as one HTML file that needs nothing else.

const COUNTS = [
  ["Messages", [
    ["sent", "accepted by the publish API"],
    ["received", "by clients"],
    ["replayed", "of those: published while the client was away"],
    ["lost", "due to a client, and never came"],
    ["duplicate", "came to a client twice"],
    ["out_of_order", "came to a client after a later one"],
  ]],
  ["Connections", [
    ["connected", "clients that came in"],
    ["unconnected", "clients that never did"],
    ["refused", "clients refused by CONNECT_ERROR"],
    ["connect_failed", "attempts that came to nothing"],
    ["disconnects", "connections lost"],
    ["reconnects", "connections after a loss"],
    ["recovered", "of those: in the same session"],
    ["not_recovered", "of those: in a new session"],
  ]],
  ["Publishing", [
    ["publish_repeated", "attempts that were made again"],
    ["publish_late", "not even tried: those before were under way"],
    ["publish_failed", "given up"],
  ]],
];
const TIMES = [
  ["delivery", "publish to client, live messages"],
  ["connect_time", "TCP, WebSocket and CONNECT"],
  ["away_time", "loss of a connection to the next CONNECT"],
  ["publish_time", "a publish, until it was accepted"],
];
const STEPS = ["min", "med", "p(90)", "p(95)", "p(99)", "max"];

const whole = (number) => String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, " ");
const milliseconds = (number) => (number === undefined ? "–" : number < 10 ? number.toFixed(1) : whole(number));

/** The numbers, made ready for both forms. */
function read({ name, about, settings, metrics, seconds }) {
  const rules = (metric) => Object.entries(metrics[metric]?.thresholds ?? {}).map(([rule, { ok }]) => ({ metric, rule, ok }));
  const value = (metric) => metrics[metric]?.values.count ?? 0;
  const mark = (metric) => {
    const all = rules(metric);
    return all.length === 0 ? undefined : all.every(({ ok }) => ok);
  };
  const checks = Object.keys(metrics).flatMap(rules);
  const failed = checks.filter(({ ok }) => !ok);
  return {
    name,
    about,
    settings,
    seconds,
    failed,
    checks: checks.length,
    headline: `${whole(value("received"))} messages to ${whole(value("connected"))} clients, in ${seconds.toFixed(1)} s`,
    counts: COUNTS.map(([title, rows]) => [title, rows.map(([metric, what]) => ({ metric, what, value: value(metric), ok: mark(metric) }))]),
    times: TIMES.filter(([metric]) => value(metric) > 0).map(([metric, what]) => ({ metric, what, values: metrics[metric].values, ok: mark(metric) })),
  };
}

const SIGNS = new Map([[true, "✓"], [false, "✗"], [undefined, " "]]);

export function text(report) {
  const { name, about, failed, checks, headline, counts, times } = read(report);
  const lines = ["", `  ${name}: ${about}`, `  ${headline}`];
  for (const [title, rows] of counts) {
    lines.push("", `  ${title}`);
    for (const { metric, what, value, ok } of rows) lines.push(`  ${SIGNS.get(ok)} ${metric.padEnd(16)} ${whole(value).padStart(12)}  ${what}`);
  }
  lines.push("", `  Milliseconds       ${STEPS.map((step) => step.padStart(8)).join("")}`);
  for (const { metric, what, values, ok } of times) {
    lines.push(`  ${SIGNS.get(ok)} ${metric.padEnd(16)} ${STEPS.map((step) => milliseconds(values[step]).padStart(8)).join("")}  ${what}`);
  }
  lines.push("");
  for (const { metric, rule } of failed) lines.push(`  ✗ ${metric}: ${rule} does not hold`);
  lines.push(failed.length === 0 ? `  passed: all ${checks} thresholds hold` : `  FAILED: ${failed.length} of ${checks} thresholds`, "", "");
  return lines.join("\n");
}

const escaped = (value) => String(value).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
const classOf = (ok) => (ok === undefined ? "" : ok ? "good" : "bad");

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #667085; --line: #d9dee7; --paper: #fff; --good: #11803c; --bad: #c0242b; --bar: #3b6fd4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #98a2b3; --line: #343b48; --paper: #14181f; --good: #4cc27a; --bad: #ff6b70; --bar: #7ba4f5; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 0 auto; padding: 2rem 1rem; }
h1 { margin: 0; font-size: 1.6rem } h2 { margin: 2rem 0 .5rem; font-size: 1.05rem } p { margin: .25rem 0; color: var(--soft) }
.verdict { display: inline-block; margin: 1rem 0 0; padding: .3rem .8rem; border: 2px solid; border-radius: .5rem; font-weight: 600 }
table { width: 100%; border-collapse: collapse } td, th { padding: .3rem .5rem; border-bottom: 1px solid var(--line); text-align: right; font-variant-numeric: tabular-nums }
th { font-weight: 500; color: var(--soft); font-size: .85rem } td:first-child, th:first-child, td.what { text-align: left } td.what { color: var(--soft); width: 50% }
.good { color: var(--good) } .bad { color: var(--bad) } .scroll { overflow-x: auto }
.bar { height: .4rem; border-radius: .2rem; background: var(--bar); min-width: 2px } code { font-size: .9em }`;

export function html(report) {
  const { name, about, settings, failed, checks, headline, counts, times } = read(report);
  const sign = (ok) => `<span class="${classOf(ok)}">${SIGNS.get(ok).trim()}</span>`;
  const count = ({ metric, what, value, ok }) => `<tr><td>${sign(ok)} ${metric}</td><td class="${classOf(ok)}">${whole(value)}</td><td class="what">${what}</td></tr>`;
  // bars on a scale of roots, so that both a median and a maximum can be seen
  const bar = (values) => (step) => {
    const share = values.max > 0 ? Math.sqrt(values[step] / values.max) * 100 : 0;
    return `<td>${milliseconds(values[step])}<div class="bar" style="width:${share.toFixed(1)}%"></div></td>`;
  };
  const time = ({ metric, what, values, ok }) => `<tr><td title="${what}">${sign(ok)} ${metric}</td>${STEPS.map(bar(values)).join("")}</tr>`;
  const setting = ([key, value]) => `<tr><td><code>${key}</code></td><td class="what">${escaped(/SECRET|API_KEY/.test(key) ? "(set)" : typeof value === "object" ? JSON.stringify(value) : value)}</td></tr>`;
  const verdict = failed.length === 0 ? `passed: all ${checks} thresholds hold` : `failed: ${failed.map(({ metric, rule }) => `${metric} ${rule}`).join(", ")}`;
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${name} – Carillon load test</title>
<style>${STYLE}</style>
<h1>${name}</h1><p>${about}</p><p>${headline}</p>
<div class="verdict ${classOf(failed.length === 0)}">${escaped(verdict)}</div>
${counts.map(([title, rows]) => `<h2>${title}</h2><table>${rows.map(count).join("")}</table>`).join("\n")}
<h2>Milliseconds</h2><div class="scroll"><table><tr><th></th>${STEPS.map((step) => `<th>${step}</th>`).join("")}</tr>${times.map(time).join("")}</table></div>
<h2>Settings</h2><p>Times are in milliseconds.</p><table>${Object.entries(settings).filter(([, value]) => value !== "").map(setting).join("")}</table>
</html>
`;
}
