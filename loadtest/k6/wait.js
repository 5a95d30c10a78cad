// Waiting, in a VU.

const LOOK = 50; // milliseconds between two looks

export const elapse = (ms) => new Promise((done) => setTimeout(done, ms));

/** Until the condition holds, but no longer than so many milliseconds. */
export async function until(condition, ms) {
  for (const end = Date.now() + ms; !condition() && Date.now() < end; ) await elapse(LOOK);
}
