// The counting, without a load: every way in which a few messages can go wrong, and joins in the middle.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Ledger } from "./ledger.js";

/** What a receiver counts that joined at the beginning, got these of so many messages, and then left. */
function count(numbers, due) {
  const ledger = new Ledger();
  ledger.join(0);
  ledger.joined(0);
  const counts = { received: 0, duplicate: 0, out_of_order: 0 };
  for (const number of numbers) counts[ledger.take(number)] += 1;
  return { ...counts, lost: ledger.lacks(due) };
}

/** All sequences of this length of the numbers below `size`. */
function* sequences(size, length) {
  if (length === 0) return yield [];
  for (const rest of sequences(size, length - 1)) for (let n = 0; n < size; n++) yield [...rest, n];
}

describe("ledger", () => {
  it("counts all sequences of up to six of four messages as a plain count does", () => {
    let checked = 0;
    for (let length = 0; length <= 6; length++) {
      for (const numbers of sequences(4, length)) {
        const distinct = new Set(numbers);
        const first = numbers.filter((n, i) => numbers.indexOf(n) === i);
        const late = first.filter((n, i) => first.slice(0, i).some((before) => before > n)).length;
        const expected = { received: distinct.size - late, duplicate: numbers.length - distinct.size, out_of_order: late, lost: 4 - distinct.size };
        assert.deepEqual(count(numbers, 4), expected, numbers.join(" "));
        checked += 1;
      }
    }
    assert.equal(checked, 5461);
  });

  const joinedAt = (accepted, sent) => {
    const ledger = new Ledger();
    ledger.join(accepted);
    ledger.joined(sent);
    return ledger;
  };

  it("does not expect what was sent before the join was confirmed", () => {
    for (const first of [5, 6, 7]) {
      const ledger = joinedAt(5, 7);
      assert.equal(ledger.lacks(7), 0);
      assert.equal(ledger.take(first), "received");
      assert.equal(ledger.lacks(first + 1), 0, `from ${first}`);
    }
  });

  it("expects everything after it, also when nothing comes at all", () => {
    const ledger = joinedAt(5, 7);
    assert.equal(ledger.lacks(10), 3);
    assert.equal(ledger.take(9), "received");
    assert.equal(ledger.lacks(10), 2, "7 and 8");
  });

  it("expects everything after the first message that came before the confirmation", () => {
    const ledger = new Ledger();
    ledger.join(5);
    ledger.take(5);
    ledger.joined(9);
    assert.equal(ledger.lacks(9), 3, "6, 7 and 8");
  });

  it("expects nothing of who has not joined", () => {
    const ledger = new Ledger();
    ledger.join(5);
    assert.equal(ledger.lacks(100), 0);
  });

  it("calls what was accepted before the join a duplicate", () => {
    assert.equal(joinedAt(5, 5).take(4), "duplicate");
  });

  it("does not count what fell between two sessions, but what was missing within the first", () => {
    const ledger = joinedAt(0, 0);
    for (const number of [0, 1, 3, 4]) ledger.take(number);
    assert.equal(ledger.interrupt(), 1, "2");
    ledger.join(8);
    ledger.joined(9);
    assert.equal(ledger.take(9), "received");
    assert.equal(ledger.lacks(10), 0);
  });

  it("knows what an older session got already", () => {
    const ledger = joinedAt(0, 0);
    for (const number of [0, 1, 2]) ledger.take(number);
    ledger.interrupt();
    ledger.join(2); // the publisher has not heard yet that 2 was accepted
    assert.equal(ledger.take(2), "duplicate");
  });
});
