// A thousand clients that have nothing to do with what a test does to others: light ones, each a WebSocket and no client library.
// They sit in rooms, are sent numbers, and must get each once and in order, on the connection that they began with.

import assert from "node:assert/strict";
import WebSocket from "ws";
import { elapse, within } from "./wait.js";

class Bystander {
  got = [];
  #expected = Infinity;

  constructor(gateway, namespace) {
    const connect = namespace === "/" ? "" : `${namespace},`;
    const event = `42${connect}["bystander",`;
    this.ws = new WebSocket(`${gateway.ws}${gateway.path}?EIO=4&transport=websocket`, { perMessageDeflate: false });
    this.ended = new Promise((done) => this.ws.once("close", (code) => done((this.closed = code))));
    this.joined = new Promise((done, fail) => {
      this.ws.once("error", fail);
      this.ws.on("message", (data) => {
        const text = data.toString();
        if (text === "2") this.ws.send("3");
        else if (text[0] === "0") this.ws.send(`40${connect}`);
        else if (text.startsWith(`40${connect}{`)) done();
        else if (text.startsWith(event)) this.#take(Number.parseInt(text.slice(event.length), 10));
      });
    });
  }

  #take(number) {
    this.got.push(number);
    if (this.got.length >= this.#expected) this.complete();
  }

  /** Until it has so many. */
  until(count) {
    return new Promise((done) => {
      this.complete = done;
      this.#expected = count;
      if (this.got.length >= count) done();
    });
  }
}

export class Bystanders {
  sent = 0;
  #stopping = false;

  constructor(gateway, { clients = 1000, namespace = "/", pace = 100 } = {}) {
    Object.assign(this, { gateway, namespace, pace });
    this.clients = Array.from({ length: clients }, () => new Bystander(gateway, namespace));
  }

  async start() {
    await within(Promise.all(this.clients.map(({ joined }) => joined)), "the bystanders to connect", 60_000);
    this.publishing = this.#publish();
    this.publishing.catch(() => {});
    return this;
  }

  async #publish() {
    while (!this.#stopping) {
      await this.gateway.publish("bystander", [this.sent], { namespace: this.namespace });
      this.sent += 1;
      await elapse(this.pace);
    }
  }

  /** Until they have been sent so many more, while what is to be shown goes on. */
  async more(count) {
    const enough = this.sent + count;
    while (this.sent < enough) await Promise.race([elapse(this.pace), this.publishing]);
  }

  /** Ends the publishing, counts, prints the counts after the title, and fails unless nobody was harmed. */
  async finish(title) {
    this.#stopping = true;
    await this.publishing;
    await within(Promise.all(this.clients.map((client) => client.until(this.sent))), "all to have all").catch(() => {}); // counted below
    const counts = { lost: 0, doubled: 0, reordered: 0, closed: this.clients.filter(({ closed }) => closed !== undefined).length };
    let received = 0;
    for (const { got } of this.clients) {
      const distinct = new Set(got);
      received += got.length;
      counts.lost += this.sent - distinct.size;
      counts.doubled += got.length - distinct.size;
      counts.reordered += got.filter((n, i) => i > 0 && n < got[i - 1]).length;
    }
    const told = Object.entries(counts).map(([name, count]) => `${name} ${count}`);
    console.log(`${title}: ${this.clients.length} bystanders, sent ${this.sent} to each, received ${received}, ${told.join(", ")}`);
    this.close();
    assert.ok(this.sent > 10, "they were sent something");
    assert.deepEqual(counts, { lost: 0, doubled: 0, reordered: 0, closed: 0 });
  }

  close() {
    this.#stopping = true;
    for (const { ws } of this.clients) ws.terminate();
  }
}

export const startBystanders = (gateway, options) => new Bystanders(gateway, options).start();
