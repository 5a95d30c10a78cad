// Runs the suites: the small files two at a time, those that only wait all at once, then those that want the machine for
// themselves. Prints the counts.

import { spec } from "node:test/reporters";
import { run } from "node:test";
import { readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const reference = process.env.CARILLON_E2E_REFERENCE === "1";
// what the reference server has nothing of
const own = ["legacy", "auth", "policy", "upstream", "examples", "cluster"];
const suites = ["protocol", "client", "recovery", "operations", "browser", ...(reference ? [] : own)];
// those that wait for time to pass, and little else
const patient = /auth\/(keys|lifetime)|upstream\/(notices|presence|retold)|operations\/prometheus/;
// those with many clients, a browser, or much of the machine otherwise
const alone = /storm\.test\.js$|browser\/|legacy\/room|cluster\/|limits\.test\.js$|operations\/admin|upstream\/faults|examples\/(cheat-sheet|interview|legacy)/;

const expand = (path) => {
  const full = resolve(root, path);
  if (statSync(full).isFile()) return [full];
  return readdirSync(full).filter((name) => name.endsWith(".test.js")).map((name) => join(full, name));
};

const files = (process.argv.length > 2 ? process.argv.slice(2) : suites).flatMap(expand);
const counts = { passed: 0, failed: 0, skipped: 0 };
const started = Date.now();

async function runFiles(list, concurrency) {
  if (list.length === 0) return;
  const stream = run({ files: list, concurrency, timeout: 240_000 });
  const test = (event) => event.details?.type !== "suite" && !(event.nesting === 0 && list.includes(event.name));
  stream.on("test:pass", (event) => test(event) && (event.skip !== undefined ? counts.skipped++ : counts.passed++));
  stream.on("test:fail", (event) => (test(event) || event.details?.error?.failureType !== "subtestsFailed") && counts.failed++);
  stream.compose(new spec()).pipe(process.stdout, { end: false });
  await new Promise((done) => stream.once("end", done).resume());
}

const group = (file) => (patient.test(file) ? "patient" : alone.test(file) ? "alone" : "small");
for (const [name, concurrency] of [["small", 2], ["patient", 5], ["alone", 1]]) await runFiles(files.filter((file) => group(file) === name), concurrency);

const subject = reference ? "the reference server" : "the gateway";
const seconds = Math.round((Date.now() - started) / 1000);
console.log(`end-to-end against ${subject}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped, in ${files.length} files, ${seconds} s`);
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0;
