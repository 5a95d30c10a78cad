// The admin API and its live tails.

import { Recorder, within } from "./wait.js";

const open = new Set();

/** Ends the tails that the tests of this file opened. */
export function closeTails() {
  for (const tail of open) tail.close();
}

/** A live tail, which remembers its lines. */
export class Tail {
  lines = new Recorder();
  #stop = new AbortController();

  constructor(gateway, query, headers = gateway.headers) {
    open.add(this);
    this.response = fetch(`${gateway.internal}/admin/v1/tail?${new URLSearchParams(query)}`, { headers, signal: this.#stop.signal });
    this.ended = this.#read().catch(() => {});
  }

  async #read() {
    const { body } = await this.response;
    let text = "";
    for await (const part of body.pipeThrough(new TextDecoderStream())) {
      const lines = (text + part).split("\n");
      text = lines.pop();
      for (const line of lines.filter(Boolean)) this.lines.push(JSON.parse(line));
    }
  }

  async listening() {
    await this.lines.find((line) => line.listening, "the tail to listen");
    return this;
  }

  /** The events so far, as they were shown. */
  get events() {
    return this.lines.entries.filter((line) => line.event !== undefined);
  }

  /** Until this event was shown; what came before was shown, or left out, by then. */
  event(name) {
    return this.lines.find((line) => line.event === name, `the event ${name}`);
  }

  get leftOut() {
    return this.lines.entries.reduce((sum, line) => sum + (line.left_out ?? 0), 0);
  }

  close() {
    open.delete(this);
    this.#stop.abort();
    return within(this.ended, "the tail to end");
  }
}

export const tail = (gateway, query, headers) => new Tail(gateway, query, headers).listening();
