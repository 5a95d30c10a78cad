// What one receiver got of one stream of numbered messages: what is missing, what came twice, what came late.
//
// A stream numbers its messages 0, 1, 2, …, and sends one only after the one before was accepted. Who joins while it runs must
// get each message whose sending began after the join was confirmed; one that was under way at that moment may come or not.
// No k6 here: `ledger.test.js` runs in Node.js.

export class Ledger {
  #next = 0; // the least number that has not come or been missed
  #missing = new Set(); // numbers below it that have not come
  #fresh = true; // nothing has come since the receiver joined
  #required = Infinity; // the first number that is due to a fresh one

  /** The receiver begins to join, with so many messages accepted: those come no more, or are doubles. */
  join(accepted) {
    this.#next = Math.max(this.#next, accepted);
    this.#fresh = true;
    this.#required = Infinity;
  }

  /** It has joined: message number `sent` and all after it are due. */
  joined(sent) {
    if (this.#fresh) this.#required = Math.max(sent, this.#next);
  }

  /** What this message is: "received", "duplicate" or "out_of_order". */
  take(number) {
    if (number < this.#next) return this.#missing.delete(number) ? "out_of_order" : "duplicate";
    const due = this.#fresh ? Math.min(this.#required, number) : this.#next;
    for (let n = due; n < number; n++) this.#missing.add(n);
    this.#fresh = false;
    this.#next = number + 1;
    return "received";
  }

  /** How many of the first `due` messages have not come. */
  lacks(due) {
    const from = this.#fresh ? this.#required : this.#next;
    return this.#missing.size + Math.max(0, due - from);
  }

  /**
   * The session ended and another begins; the receiver is told so, and what came between the two is no loss. Returns how many
   * were missing within the old one.
   */
  interrupt() {
    const lost = this.#missing.size;
    this.#missing.clear();
    return lost;
  }
}
