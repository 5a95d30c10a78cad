// Commands on this machine, and waiting.

import { spawn } from "node:child_process";

/** A command to its end: what it printed, or an error with what it said. */
export function run(command, args, { input, ms = 60_000 } = {}) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
    const timer = setTimeout(() => child.kill("SIGKILL"), ms);
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"]) child[name].setEncoding("utf8").on("data", (text) => (output[name] += text));
    child.stdin.on("error", () => {}).end(input);
    child.on("error", fail);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (code === 0) return done(output.stdout);
      fail(new Error(`${command} ${args.join(" ").slice(0, 200)}: ${signal ?? `code ${code}`}\n${output.stderr.trim()}`));
    });
  });
}

export const elapse = (ms) => new Promise((done) => setTimeout(done, ms));

/** Asks again until the answer is something, and returns it; an error is asked again as well. */
export async function until(condition, what, ms = 60_000) {
  let error;
  for (const end = Date.now() + ms; Date.now() < end; await elapse(500)) {
    try {
      const answer = await condition();
      if (answer) return answer;
      error = undefined;
    } catch (thrown) {
      error = thrown;
    }
  }
  throw new Error(`waited ${ms / 1000} s in vain for ${what}${error ? `: ${error.message}` : ""}`);
}

/** Seconds since then, whole. */
export const since = (began) => Math.round((Date.now() - began) / 1000);

/** Fails with the words where the condition does not hold. */
export function expect(condition, words) {
  if (!condition) throw new Error(words);
}
