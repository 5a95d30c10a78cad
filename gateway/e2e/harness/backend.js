// A backend as the gateway calls it: verifies every call, remembers it, and answers as a test wants it to.

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { Recorder } from "./wait.js";

export const SECRET = "end-to-end secret between gateway and backend";

/** Whether this body carries the signature of the secret, made within five minutes. */
export function verified(headers, body, secret = SECRET, now = Date.now()) {
  const { "x-carillon-timestamp": time = "", "x-carillon-signature": signature = "" } = headers;
  const expected = Buffer.from(`v1=${createHmac("sha256", secret).update(`${time}.`).update(body).digest("hex")}`);
  const given = Buffer.from(signature);
  return Math.abs(now / 1000 - Number(time)) < 300 && given.length === expected.length && timingSafeEqual(given, expected);
}

export class Backend {
  /** Verified calls, as their bodies say, with `headers`. */
  calls = new Recorder();
  /** Calls that were not signed as they should be. */
  unverified = 0;
  /** Calls that wait for an answer now, and the most there were at once. */
  waiting = 0;
  most = 0;

  /** `answer(call, response)` gives the JSON of the answer, a status, or nothing; or it answers by itself and gives `false`. */
  constructor(answer = () => undefined) {
    this.answer = answer;
  }

  async start(port = 0) {
    this.server = createServer((request, response) => this.#take(request, response).catch(() => response.destroy()));
    this.server.keepAliveTimeout = 60_000;
    await new Promise((done, fail) => this.server.once("error", fail).listen(port, "127.0.0.1", done));
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}/carillon`;
    return this;
  }

  /** The settings of `[upstream]` that reach it. */
  get settings() {
    return { url: this.url, secret: SECRET };
  }

  async #take(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    if (!verified(request.headers, body)) {
      this.unverified += 1;
      return response.writeHead(401).end();
    }
    const call = { ...JSON.parse(body), headers: request.headers };
    this.waiting += 1;
    this.most = Math.max(this.most, this.waiting);
    response.once("close", () => (this.waiting -= 1));
    this.calls.push(call);
    const answer = await this.answer(call, response);
    if (answer === false || response.destroyed) return;
    if (answer === undefined) response.writeHead(204).end();
    else if (typeof answer === "number") response.writeHead(answer).end();
    else response.writeHead(answer.status ?? 200, { "content-type": "application/json" }).end(JSON.stringify(answer.body ?? answer));
  }

  /** The calls of this type so far; of this event, if one is named. */
  of(type, event) {
    return this.calls.entries.filter((call) => call.type === type && (event === undefined || call.event === event));
  }

  /** The first call of this type, now or later, that passes the test. */
  find(type, test = () => true) {
    return this.calls.find((call) => call.type === type && test(call), `a call of type ${type}`);
  }

  /** As if it had died: connections are cut, and new ones refused. Started again, it has the same address. */
  async die() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  async revive() {
    await this.start(this.port);
  }

  async stop() {
    if (this.server.listening) await this.die();
  }
}

export const startBackend = (answer) => new Backend(answer).start();
