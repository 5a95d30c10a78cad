// Publishes numbered messages by the HTTP API, as a careful backend does: each under an idempotency key, and again, on the next
// node, until one has accepted it.

import exec from "k6/execution";
import http from "k6/http";
import { METRICS } from "./metrics.js";
import { elapse } from "./wait.js";

const TRANSIENT = new Set([0, 429, 502, 503, 504]); // 0: no answer
const ATTEMPTS = 100;

/** Messages to one target, numbered; one after the other. */
export class Stream {
  sent = 0; // begun
  accepted = 0;
  #wanted = 0; // begun, and waiting for their turn
  #running = false;
  #key = `${Date.now()}-${Math.random()}`;

  /** `target` is called for each message, since a socket's id may change; while it is undefined nothing is sent. */
  constructor(index, target, publisher) {
    Object.assign(this, { index, target, publisher });
  }

  /** One message more; unless so many wait already, because publishing does not keep up. */
  push(most) {
    if (this.#wanted - this.sent >= most) return METRICS.publish_late.add(1);
    this.#wanted += 1;
    if (!this.#running) this.#run();
  }

  async #run() {
    this.#running = true;
    while (this.sent < this.#wanted) {
      const target = this.target();
      if (!target) {
        this.#wanted = this.sent;
        break;
      }
      const number = this.sent++;
      if (await this.publisher.publish(target, [this.index, number, Date.now()], `${this.#key}-${number}`)) {
        this.accepted = this.sent;
        METRICS.sent.add(1);
      } else {
        METRICS.publish_failed.add(1);
      }
    }
    this.#running = false;
  }

  /** Until nothing is under way; what waits is given up. */
  async stop() {
    this.#wanted = this.sent;
    while (this.#running) await elapse(20);
  }
}

export class Publisher {
  #nodes;
  #node = 0;
  #timer;

  constructor({ PUBLISH, API_KEY, NAMESPACE, RATE, SIZE }) {
    this.#nodes = PUBLISH.split(",").map((url) => `${url.trim().replace(/\/$/, "")}/v1/publish`);
    Object.assign(this, { namespace: NAMESPACE, rate: RATE, padding: "x".repeat(SIZE) });
    this.headers = { "content-type": "application/json", ...(API_KEY && { authorization: `Bearer ${API_KEY}` }) };
  }

  /** So many messages per second, to one stream after the other. */
  start(streams) {
    this.streams = streams;
    const began = Date.now();
    const most = Math.max(2, this.rate / streams.length); // those of a second
    let pushed = 0;
    this.#timer = setInterval(() => {
      const due = Math.floor(((Date.now() - began) * this.rate) / 1000);
      for (; pushed < due; pushed++) streams[pushed % streams.length].push(most);
    }, Math.max(1, Math.floor(1000 / this.rate))); // timers are in whole milliseconds
  }

  async stop() {
    clearInterval(this.#timer);
    await Promise.all((this.streams ?? []).map((stream) => stream.stop()));
  }

  /** Whether it was accepted in the end. */
  async publish(target, args, key) {
    const body = JSON.stringify({ namespace: this.namespace, target, event: "load", args: [...args, this.padding] });
    const params = { headers: { ...this.headers, "idempotency-key": key }, tags: { name: "publish" }, timeout: "10s" };
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const began = Date.now();
      const { status, body: answer } = await http.asyncRequest("POST", this.#nodes[this.#node % this.#nodes.length], body, params);
      if (status === 200) {
        METRICS.publish_time.add(Date.now() - began);
        return true;
      }
      if (!TRANSIENT.has(status)) exec.test.abort(`publish: ${status} ${answer}`);
      METRICS.publish_repeated.add(1);
      this.#node += 1;
      await elapse(50 + 100 * Math.random());
    }
    return false;
  }
}
