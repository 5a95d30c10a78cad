// Parts that are no gateway (Redis, the balancer), as child processes that end at the latest with this one.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { after } from "node:test";
import { foreign } from "./gateway.js";
import { within } from "./wait.js";

const running = new Set();
const killAll = () => {
  for (const child of running) child.kill("SIGKILL");
};
process.on("exit", killAll);
// A test that failed has perhaps not stopped its parts, which would keep this process waiting.
after(() => void setTimeout(killAll, 5000).unref());

export class Part {
  constructor(command, args, { env = {} } = {}) {
    this.name = command;
    this.output = [];
    const path = `${process.env.PATH}:/usr/sbin`;
    // it is told when this process is gone, however that came
    this.child = spawn("setpriv", ["--pdeathsig", "TERM", command, ...args], { env: { ...foreign, PATH: path, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    running.add(this.child);
    for (const stream of [this.child.stdout, this.child.stderr]) createInterface({ input: stream }).on("line", (line) => this.output.push(line));
    this.exited = new Promise((done) => {
      this.child.once("error", (error) => done({ error }));
      this.child.once("close", (code, signal) => {
        running.delete(this.child);
        done({ code, signal });
      });
    });
    this.exited.then((how) => (this.how = how));
  }

  signal(name) {
    this.child.kill(name);
  }

  /** Ends it and waits until it has. */
  async end(signal = "SIGTERM") {
    this.signal(signal);
    await within(this.exited, `${this.name} to end`);
  }

  /** Fails when it has ended by itself. */
  assertAlive() {
    if (this.how) throw new Error(`${this.name} has ended: ${JSON.stringify(this.how)}\n${this.output.slice(-20).join("\n")}`);
  }
}

/** A command to its end: its output, or a failure that holds it. */
export async function run(command, args) {
  const part = new Part(command, args);
  const { code, error } = await within(part.exited, `${command} ${args.join(" ")}`);
  if (code !== 0) throw new Error(`${command} ${args.join(" ")}: ${error ?? `code ${code}`}\n${part.output.join("\n")}`);
  return part.output.join("\n");
}
