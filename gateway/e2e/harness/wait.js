// Waiting for what can be awaited. The limits only end a test that would hang; no test passes or fails by how long something took.

const limit = Number(process.env.CARILLON_E2E_WAIT_MS ?? 15_000);

/** The promise, or a failure that says what was awaited. */
export function within(promise, what, ms = limit) {
  let timer;
  const late = new Promise((_, fail) => {
    const error = new Error(`waited in vain for ${what}`);
    timer = setTimeout(() => fail(typeof what === "function" ? new Error(`waited in vain for ${what()}`) : error), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The arguments of the next `name` event of an emitter. */
export function next(emitter, name, what = `"${name}"`) {
  let listener;
  const event = new Promise((done) => {
    listener = (...args) => done(args);
    emitter.once(name, listener);
  });
  return within(event, what).finally(() => emitter.off(name, listener));
}

/** Asks again until the condition holds: for state that tells nobody when it changes. */
export async function eventually(condition, what, ms) {
  let over = false;
  const asking = (async () => {
    while (!over) {
      const value = await condition();
      if (value) return value;
      await new Promise((done) => setTimeout(done, 10));
    }
  })();
  return within(asking, what, ms).finally(() => (over = true));
}

/** For the passing of time itself (a session's expiry); never to wait for something to happen. */
export const elapse = (ms) => new Promise((done) => setTimeout(done, ms));

/** What arrived, in order, with awaiting: a queue whose history stays readable. */
export class Recorder {
  entries = [];
  #taken = 0;
  #waiting = [];

  push(entry) {
    this.entries.push(entry);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** The next entry that nobody has taken. */
  async take(what = "an entry") {
    await this.#until(() => this.entries.length > this.#taken, what);
    return this.entries[this.#taken++];
  }

  /** The first entry, now or later, that satisfies the test. */
  async find(test, what = "a certain entry") {
    await this.#until(() => this.entries.some(test), () => `${what}; there was ${JSON.stringify(this.entries).slice(0, 2000)}`);
    return this.entries.find(test);
  }

  #until(condition, what) {
    const wait = async () => {
      while (!condition()) await new Promise((wake) => this.#waiting.push(wake));
    };
    return within(wait(), what);
  }
}
