// Runs the suites: the small files two at a time, then those that want the machine for themselves. Prints the counts.

import { spec } from "node:test/reporters";
import { run } from "node:test";
import { readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const reference = process.env.CARILLON_E2E_REFERENCE === "1";
const suites = ["protocol", "client", "recovery", "operations", "browser", ...(reference ? [] : ["cluster"])];
const alone = /storm\.test\.js$|browser\/|cluster\/|limits\.test\.js$/;

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

await runFiles(files.filter((file) => !alone.test(file)), 2);
await runFiles(files.filter((file) => alone.test(file)), 1);

const subject = reference ? "the reference server" : "the gateway";
const seconds = Math.round((Date.now() - started) / 1000);
console.log(`end-to-end against ${subject}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped, in ${files.length} files, ${seconds} s`);
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0;
