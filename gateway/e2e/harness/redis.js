// A Redis of the test's own, with the settings of deploy/redis, on a port that it keeps when it is started again.

import assert from "node:assert/strict";
import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "./ports.js";
import { Part, run } from "./process.js";
import { eventually } from "./wait.js";
import { temporaryFolder } from "./gateway.js";

const settings = fileURLToPath(new URL("../../../deploy/redis/redis.conf", import.meta.url));

export class Redis {
  /** `args` are more settings, as redis-server takes them; `cli` what redis-cli needs to reach it. */
  constructor(port, { args = [], cli = [] } = {}) {
    Object.assign(this, { port, args, cli, url: `redis://127.0.0.1:${port}/0`, folder: temporaryFolder() });
  }

  async start() {
    // a copy: a sentinel makes Redis write its settings back
    const own = join(this.folder, "redis.conf");
    copyFileSync(settings, own);
    this.part = new Part("redis-server", [own, "--port", String(this.port), "--dir", this.folder, ...this.args]);
    await eventually(async () => {
      this.part.assertAlive();
      return (await this.command("PING").catch(() => "")) === "PONG";
    }, "redis to answer");
    return this;
  }

  command(...words) {
    return run("redis-cli", ["-p", String(this.port), ...this.cli, ...words.map(String)]);
  }

  /** Stops it in the middle of whatever it does; connections stay open. */
  pause() {
    this.part.signal("SIGSTOP");
  }

  resume() {
    this.part.signal("SIGCONT");
  }

  kill() {
    return this.part.end("SIGKILL");
  }

  /** As after a crash: gone, and back on the same port with nothing in it. */
  async restartEmpty() {
    await this.kill();
    rmSync(join(this.folder, "appendonlydir"), { recursive: true, force: true });
    await this.start();
  }

  /** The same, with all its data. */
  async restartWithData() {
    await this.command("CONFIG", "SET", "appendonly", "yes");
    await eventually(async () => /aof_rewrite_in_progress:0[^]*aof_rewrite_scheduled:0/.test(await this.command("INFO", "persistence")), "the data to be in the file");
    await this.kill();
    this.args = [...this.args, "--appendonly", "yes"];
    await this.start();
    assert.notEqual(await this.command("DBSIZE"), "0");
  }

  async stop() {
    if (this.part.how) return;
    this.part.signal("SIGCONT");
    await this.part.end();
  }
}

export const startRedis = async (options) => new Redis(await freePort(), options).start();
