// Load on a cluster, and the count of what came of it: stock clients through the balancer, publishers that repeat what was not
// accepted, and afterwards for each client whether it got exactly what was for it.

import assert from "node:assert/strict";
import { Client } from "./client.js";
import { elapse, eventually, within } from "./wait.js";

const ROOMS = 20;
const PUBLISHERS = 4;

const room = (number) => `load-${number % ROOMS}`;
const homes = (index) => [room(index), room(index * 7 + 3)];

/** Where message n of publisher p goes: mostly one room, sometimes two, a user, or everybody. */
function target(p, n, clients) {
  if (n % 100 === 50) return "all";
  if (n % 20 === 7) return { rooms: [room(p + n), room(p + n + 1)] };
  if (n % 20 === 13) return { users: [`load-${(p * 131 + n) % clients}`], rooms: [room(n)] };
  return { rooms: [room(p * 5 + n)] };
}

const meant = (to, index) => to === "all" || to.users?.includes(`load-${index}`) || homes(index).some((name) => to.rooms.includes(name));

export class Load {
  clients = [];
  accepted = 0;
  /** Answers that were none, by what they were: the publishes were repeated. */
  failures = {};
  disconnects = 0;
  #stopping = false;

  constructor(cluster, { clients, polling = 0, pace = 40 }) {
    Object.assign(this, { cluster, size: clients, polling, pace });
    // What each client is to receive, by publisher; and what it did, by session: a client that is not recovered starts another.
    this.expected = Array.from({ length: clients }, () => Array.from({ length: PUBLISHERS }, () => []));
    this.sessions = Array.from({ length: clients }, () => []);
  }

  async start() {
    for (let index = 0; index < this.size; index++) {
      const transports = index < this.polling ? ["polling"] : ["websocket"];
      const client = new Client(this.cluster.url, { user: `load-${index}`, recovery: true, transports, reconnectionDelay: 100, reconnectionDelayMax: 1000 });
      const sessions = this.sessions[index];
      client.socket.on("connect", () => {
        if (client.socket.recovered) return;
        sessions.push([]);
        // a new session is in no room that the application did not put it in
        if (sessions.length > 1) this.#enter(client, index).catch(() => {});
      });
      client.socket.on("disconnect", () => (this.disconnects += 1));
      client.socket.on("load", (p, n) => sessions.at(-1).push([p, n]));
      this.clients.push(client);
    }
    await Promise.all(this.clients.map((client) => within(client.connected(), "all to connect", 60_000)));
    await Promise.all(this.clients.map((client, index) => this.#enter(client, index)));
    this.ids = this.clients.map(({ id }) => id);
    this.publishing = Promise.all(Array.from({ length: PUBLISHERS }, (_, p) => this.#publish(p)));
    this.publishing.catch(() => {});
    return this;
  }

  #enter(client, index) {
    return Promise.all(homes(index).map((name) => client.emit("join", name)));
  }

  /** n + 1 is not sent before n is accepted. */
  async #publish(p) {
    for (let n = 0; !this.#stopping; n++) {
      const to = target(p, n, this.size);
      for (const failure of await this.cluster.publishSurely("load", [p, n], { target: to })) this.failures[failure] = (this.failures[failure] ?? 0) + 1;
      this.accepted += 1;
      this.expected.forEach((lists, index) => meant(to, index) && lists[p].push(n));
      await elapse(this.pace);
    }
  }

  /** Until so many more have been accepted. */
  more(count) {
    const enough = this.accepted + count;
    return Promise.race([eventually(() => this.accepted >= enough, `${count} more publishes`, 30_000), this.publishing]);
  }

  get away() {
    return this.clients.filter(({ socket }) => !socket.connected).length;
  }

  back() {
    return eventually(() => this.away === 0, () => `all clients to be back; ${this.away} are away`, 30_000);
  }

  /** Ends the publishing, waits until all has come or will not, counts, and prints the counts after the title. */
  async finish(title) {
    this.#stopping = true;
    await this.publishing;
    await this.back();
    await this.cluster.publishSurely("end", []);
    const ended = () => this.clients.filter((client) => client.all("end").length > 0).length;
    await eventually(() => ended() === this.size, "the end to reach all").catch(() => {}); // counted below
    const { disconnects } = this; // before they are closed
    const counts = { ...this.#count(), disconnects };
    const returns = this.clients.flatMap(({ connects }) => connects.entries.slice(1));
    counts.recovered = returns.filter(({ recovered }) => recovered).length;
    counts.notRecovered = returns.length - counts.recovered;
    counts.idsKept = this.clients.filter(({ id }, index) => id === this.ids[index]).length;
    counts.ended = ended();
    const failed = Object.entries(this.failures).map(([kind, count]) => `${count} ${kind}`).join(", ") || "none";
    console.log(
      `${title}: ${this.size} clients (${this.polling} polling), disconnects ${disconnects}, sent ${this.accepted}, repeated (${failed}), ` +
        `to receive ${counts.due}, received ${counts.received}, lost ${counts.lost}, doubled ${counts.doubled}, reordered ${counts.reordered}, ` +
        `recovered ${counts.recovered}, not recovered ${counts.notRecovered}, ids kept ${counts.idsKept}, reached the end ${counts.ended}`,
    );
    for (const client of this.clients) client.close();
    return counts;
  }

  /**
   * Lost is what a session should have had: from the beginning for a client's first, from its first message for a later one; up
   * to the end for its last, else up to its last message. What fell between two sessions the client was told.
   */
  #count() {
    const counts = { due: this.expected.flat(2).length, received: 0, lost: 0, doubled: 0, reordered: 0, foreign: 0 };
    this.sessions.forEach((sessions, index) => {
      for (let p = 0; p < PUBLISHERS; p++) {
        const due = this.expected[index][p];
        const all = [];
        sessions.forEach((session, number) => {
          const got = session.filter(([publisher]) => publisher === p).map(([, n]) => n);
          all.push(...got);
          const from = number === 0 ? 0 : due.indexOf(got[0]);
          const to = number === sessions.length - 1 ? due.length : due.indexOf(got.at(-1)) + 1;
          const had = new Set(got);
          if (from >= 0) counts.lost += due.slice(from, Math.max(to, from)).filter((n) => !had.has(n)).length;
        });
        const known = new Set(due);
        counts.received += all.length;
        counts.doubled += all.length - new Set(all).size;
        counts.reordered += all.filter((n, i) => i > 0 && n < all[i - 1]).length;
        counts.foreign += all.filter((n) => !known.has(n)).length;
      }
    });
    return counts;
  }
}

export const startLoad = (cluster, options) => new Load(cluster, options).start();

/** Nothing lost, doubled or out of order, and everybody reached the end. */
export function assertExact(load, { lost, doubled, reordered, foreign, ended }) {
  assert.deepEqual({ lost, doubled, reordered, foreign, ended }, { lost: 0, doubled: 0, reordered: 0, foreign: 0, ended: load.size });
}

/** And all of them in the session that they began with. */
export function assertAllRecovered(load, counts) {
  assertExact(load, counts);
  const { received, notRecovered, idsKept } = counts;
  assert.deepEqual({ received, notRecovered, idsKept }, { received: counts.due, notRecovered: 0, idsKept: load.size });
}
