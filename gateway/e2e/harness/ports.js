// Ports for parts that are stopped and started again on the same one. They lie below those that the system gives to outgoing
// connections, which could otherwise take a port while its owner is away.

import net from "node:net";

const [LOWEST, HIGHEST] = [15_000, 32_000];
const given = new Set();

const free = (port) =>
  new Promise((done) => {
    const server = net.createServer();
    server.once("error", () => done(false));
    server.listen(port, "127.0.0.1", () => server.close(() => done(true)));
  });

/** A free port of 127.0.0.1, each time another; or the first of several in a row. */
export async function freePort(count = 1) {
  for (;;) {
    const first = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST - count));
    const ports = Array.from({ length: count }, (_, n) => first + n);
    if (ports.some((port) => given.has(port))) continue;
    if (!(await Promise.all(ports.map(free))).every(Boolean)) continue;
    for (const port of ports) given.add(port);
    return first;
  }
}
