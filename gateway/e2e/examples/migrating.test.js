// docs/migrating.md: its chat as it stands there, by Node's server before and by the gateway after, with the same client.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { foreign, reference, startGateway, temporaryFolder } from "../harness/gateway.js";
import { Part } from "../harness/process.js";
import { Signer } from "../harness/tokens.js";
import { Recorder, eventually } from "../harness/wait.js";

const page = readFileSync(fileURLToPath(new URL("../../../docs/migrating.md", import.meta.url)), "utf8");
const folder = temporaryFolder();
const names = [];
for (const [, name, text] of page.matchAll(/^```\w+\n(?:\/\/|#) (\S+\.\w+)\n([^]*?)^```$/gm)) {
  writeFileSync(join(folder, name), text);
  names.push(name);
}
writeFileSync(join(folder, "package.json"), '{"type":"module"}');
symlinkSync(fileURLToPath(new URL("../node_modules", import.meta.url)), join(folder, "node_modules"));
const signer = Object.assign(new Signer("HS256"), { secret: /const secret = "(.*)"/.exec(page)[1] });

/** A client of the page, and what it prints. */
class Person extends Recorder {
  constructor(server, user, rooms) {
    super();
    const env = { ...foreign, SERVER: server, TOKEN: user ? signer.token({ sub: user, rooms }) : "none" };
    this.child = spawn(process.execPath, [join(folder, "client.js")], { env, stdio: ["pipe", "pipe", "inherit"] });
    createInterface({ input: this.child.stdout }).on("line", (line) => this.push(line));
  }

  type(text) {
    this.child.stdin.write(`${text}\n`);
  }

  prints(line) {
    return this.find((printed) => printed === line, `"${line}"`);
  }

  end() {
    this.child.kill("SIGKILL");
  }
}

/** A port that was free a moment ago. */
const freePort = () => new Promise((done) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => done(String(port)));
  });
});

const listening = (url) => eventually(() => fetch(url).then(() => true, () => false), `${url} to listen`);

const servers = {
  async before() {
    const PORT = await freePort();
    const server = new Part(process.execPath, [join(folder, "server.js")], { env: { PORT } });
    await listening(`http://127.0.0.1:${PORT}`);
    return { url: `http://127.0.0.1:${PORT}`, stop: () => server.end() };
  },
  async after() {
    const PORT = await freePort();
    const backend = new Part(process.execPath, [join(folder, "backend.js")], { env: { PORT } });
    await listening(`http://127.0.0.1:${PORT}`);
    const gateway = await startGateway({ upstream: { url: `http://127.0.0.1:${PORT}` } }, { file: join(folder, "carillon.toml") });
    return { url: gateway.url, stop: async () => (await gateway.stop(), await backend.end()) };
  },
};

it("has the files that the page speaks of", () => {
  assert.deepEqual(names, ["app.js", "client.js", "server.js", "carillon.toml", "backend.js"]);
});

for (const [when, start] of Object.entries(servers)) {
  describe(`the chat ${when}`, { skip: reference }, () => {
    let server;
    const people = [];
    before(async () => (server = await start()));
    after(async () => {
      for (const person of people) person.end();
      await server?.stop();
    });
    const person = (user, rooms) => {
      people.push(new Person(server.url, user, rooms));
      return people.at(-1);
    };

    it("answers, tells the others, and mentions a user", async () => {
      const ann = person("ann", ["rust"]);
      const bob = person("bob", ["rust"]);
      await Promise.all([ann.prints("joined"), bob.prints("joined")]);
      ann.type("hello @bob");
      await Promise.all([ann.prints("sent"), ann.prints("ann: hello @bob"), bob.prints("mentioned by ann")]);
      assert.deepEqual(bob.entries, ["joined", "somebody types in rust", "ann: hello @bob", "mentioned by ann"]);
      assert.equal(ann.entries.length, 3, `one who types is told of nobody: ${ann.entries}`);
    });

    it("lets nobody in without a token, and into no room that is not in it", async () => {
      const [nobody, carol] = [person(), person("carol", ["go"])];
      await nobody.find((line) => line.startsWith("refused:"));
      await carol.prints("not joined");
      carol.type("let me in");
      await carol.prints("not sent");
    });
  });
}
