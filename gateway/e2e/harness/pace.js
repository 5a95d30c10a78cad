// How fast the nodes of a cluster let clients in.

import { elapse } from "./wait.js";

export const sum = (values) => values.reduce((total, value) => total + value, 0);

/** Handshakes that all nodes accept, looked at until `stop`. The last count of a node that ends is kept. */
export class Pace {
  looks = [];
  #last = new Map();
  #stopped = false;

  constructor(cluster) {
    this.cluster = cluster;
    this.running = this.#run();
  }

  async #run() {
    while (!this.#stopped) {
      const before = performance.now();
      await Promise.all(this.cluster.alive.map(async (node) => this.#last.set(node, await node.metric("carillon_handshakes_total").catch(() => this.#last.get(node) ?? 0))));
      this.looks.push({ before, after: performance.now(), count: this.handshakes });
      await elapse(100);
    }
  }

  get handshakes() {
    return sum([...this.#last.values()]);
  }

  /**
   * How many were let in beyond `rate` a second, over whichever time it was most; a budget allows one second's worth. A look takes a
   * while, so the time between two is that from the beginning of the first to the end of the second.
   */
  async stop(rate) {
    this.#stopped = true;
    await this.running;
    const beyond = this.looks.flatMap((from, index) => this.looks.slice(index).map((to) => to.count - from.count - (rate * (to.after - from.before)) / 1000));
    return Math.max(...beyond);
  }
}
