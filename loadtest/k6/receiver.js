// One client: its socket, and a ledger for each stream that it hears.

import { broken } from "./faults.js";
import { Ledger } from "./ledger.js";
import { METRICS } from "./metrics.js";
import { Socket } from "./socketio.js";

export class Receiver {
  #joined = false; // in this session
  #entered = false; // in any
  #since = 0; // when it was recovered: what was published before is replayed
  #received = 0;
  #replayed = 0;

  /** `streams` are what it hears; `rooms` those of them that it has to join. */
  constructor({ auth, streams, rooms, settings }) {
    Object.assign(this, { streams, rooms, settings });
    this.ledgers = new Map(streams.map(({ index }) => [index, new Ledger()]));
    this.floors = new Map(); // what was accepted when the present attempt to connect began
    const { URL, ENGINE_PATH, NAMESPACE, DELAY, DELAY_MAX, FAULT } = settings;
    const take = broken(FAULT, (message) => this.#take(message));
    this.socket = new Socket(URL, { path: ENGINE_PATH, namespace: NAMESPACE, auth, delay: DELAY, delayMax: DELAY_MAX })
      .on("opening", () => this.#opening())
      .on("connect", (how) => this.#connected(how))
      .on("disconnect", () => METRICS.disconnects.add(1))
      .on("failed", () => METRICS.connect_failed.add(1))
      .on("refused", (error) => this.#refused(error))
      .on("load", (index, number, at) => take({ index, number, at, came: this.socket.received }));
  }

  open() {
    this.socket.open();
    return this;
  }

  /** Whether it has been in all its rooms. */
  get ready() {
    return this.#entered;
  }

  #opening() {
    for (const { index, accepted } of this.streams) this.floors.set(index, accepted);
    if (this.settings.FAULT === "forget" && this.#joined) {
      METRICS.faults.add(1);
      this.socket.forget();
    }
  }

  #connected({ recovered, again, took, away }) {
    METRICS.connect_time.add(took);
    this.#since = recovered ? Date.now() : 0;
    if (again) {
      METRICS.reconnects.add(1);
      METRICS[recovered ? "recovered" : "not_recovered"].add(1);
      METRICS.away_time.add(away);
    }
    if (recovered && this.#joined) return;
    if (!recovered) this.#begin();
    this.#join();
  }

  /** A new session: in it, what is accepted before it can be in its rooms is not due. */
  #begin() {
    this.#joined = false;
    for (const { index } of this.streams) {
      METRICS.lost.add(this.ledgers.get(index).interrupt());
      this.ledgers.get(index).join(this.floors.get(index));
    }
  }

  async #join() {
    try {
      for (const room of this.rooms) {
        const [answer] = await this.socket.emit(this.settings.JOIN, room);
        if (!answer?.ok) throw new Error(`${this.settings.JOIN} ${room}: ${JSON.stringify(answer)}`);
      }
    } catch (error) {
      // a connection that was lost meanwhile: the next one joins
      if (this.socket.connected) console.error(error.message);
      return;
    }
    this.#joined = this.#entered = true;
    for (const { index, sent } of this.streams) this.ledgers.get(index).joined(sent);
  }

  #refused(error) {
    METRICS.refused.add(1);
    console.error(`refused: ${JSON.stringify(error)}`);
  }

  #take({ index, number, at, came }) {
    const what = this.ledgers.get(index).take(number);
    this.#received += 1;
    if (what !== "received") METRICS[what].add(1);
    if (at < this.#since) this.#replayed += 1;
    else METRICS.delivery.add(Math.max(0, came - at));
  }

  /** What it is due from this moment on: so many messages of each stream. */
  due() {
    return new Map(this.streams.map(({ index, accepted }) => [index, accepted]));
  }

  lacks(due) {
    let sum = 0;
    for (const [index, count] of due) sum += this.ledgers.get(index).lacks(count);
    return sum;
  }

  /** Counts what it lacks of what it is due, and leaves. */
  close(due) {
    METRICS.lost.add(this.lacks(due));
    METRICS.received.add(this.#received);
    METRICS.replayed.add(this.#replayed);
    METRICS[this.#entered ? "connected" : "unconnected"].add(1);
    this.socket.disconnect();
  }
}
