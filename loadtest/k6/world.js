// What one VU runs: clients, the streams that they hear, and the publisher of those. It knows what each client is due, so it
// counts exactly; nothing is shared with other VUs, nor with another k6.

import { identity } from "./identity.js";
import { METRICS, addZeros } from "./metrics.js";
import { Publisher, Stream } from "./publisher.js";
import { Receiver } from "./receiver.js";
import { elapse, until } from "./wait.js";

const LINGER = 500; // milliseconds, for what comes although nothing is due any more

export class World {
  receivers = []; // those that are there
  ended = false; // an event `load-end` came: whoever drives the run wants no more
  #admitted = 0;

  /** `personal`: a stream for each client instead of rooms. `vu` counts from 0. */
  constructor({ settings, personal, run, vu, tokens }) {
    Object.assign(this, { settings, personal, run, vu, tokens });
    this.publisher = new Publisher(settings);
    this.streams = [];
    if (!personal) for (let room = 0; room < settings.ROOMS; room++) this.#stream(() => ({ rooms: [this.#room(room)] }));
  }

  #room(index) {
    return `k6-${this.run}-${this.vu}-${index}`;
  }

  #stream(target) {
    const stream = new Stream(this.streams.length, target, this.publisher);
    this.streams.push(stream);
    return stream;
  }

  /** One more client, which connects. */
  admit() {
    const { settings } = this;
    const number = this.#admitted++;
    const { user, auth } = identity(number * settings.VUS + this.vu, this.run, settings, this.tokens);
    let receiver;
    let streams;
    let rooms = [];
    if (this.personal) {
      streams = [this.#stream(() => (user ? { users: [user] } : receiver.socket.id && { sockets: [receiver.socket.id] }))];
    } else {
      const homes = Array.from({ length: settings.JOINS }, (_, join) => (number * settings.JOINS + join) % settings.ROOMS);
      streams = homes.map((room) => this.streams[room]);
      rooms = homes.map((room) => this.#room(room));
    }
    receiver = new Receiver({ auth, streams, rooms, settings });
    receiver.socket.on("load-end", () => (this.ended = true));
    this.receivers.push(receiver.open());
  }

  /** All clients, evenly over RAMP; resolves when they are in their rooms, or GRACE is over. */
  async ramp() {
    const { SOCKETS, RAMP, GRACE } = this.settings;
    const began = Date.now();
    for (let n = 0; n < SOCKETS; n++) {
      const early = began + (n * RAMP) / SOCKETS - Date.now();
      if (early >= 1) await elapse(early);
      this.admit();
    }
    await until(() => this.receivers.every(({ ready }) => ready), GRACE);
  }

  publish() {
    if (this.settings.FAULT !== "silent") this.publisher.start(this.streams);
  }

  /** The oldest client leaves, once it has what was accepted until now; another comes. */
  async replace() {
    const receiver = this.receivers.shift();
    this.admit();
    if (!receiver) return;
    const due = receiver.due();
    await until(() => receiver.lacks(due) === 0, this.settings.GRACE);
    receiver.close(due);
  }

  cut(share) {
    for (const { socket } of this.receivers) if (Math.random() < share) socket.cut();
  }

  /** Ends the publishing, waits for what is on its way, and counts. */
  async finish() {
    await this.publisher.stop();
    await until(() => this.receivers.every((receiver) => receiver.lacks(receiver.due()) === 0), this.settings.GRACE);
    await elapse(LINGER);
    for (const receiver of this.receivers) receiver.close(receiver.due());
    addZeros();
    METRICS.finished.add(1);
  }
}
