// A TCP proxy between clients and the gateway: the network that tests may cut, stall, and make forget.

import { fork } from "node:child_process";
import net from "node:net";
import { fileURLToPath } from "node:url";
import { next } from "./wait.js";

export class Proxy {
  #links = new Set();
  #orphans = new Set();
  #refusing = false;
  #stalled = false;

  constructor(port) {
    this.target = port;
    this.accepted = 0;
    this.server = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#link(client));
  }

  async listen() {
    await new Promise((done) => this.server.listen(0, "127.0.0.1", done));
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}`;
    return this;
  }

  #link(client) {
    client.on("error", () => {});
    if (this.#refusing) return client.resetAndDestroy();
    this.accepted += 1;
    const upstream = net.connect({ port: this.target, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const link = { client, upstream };
    this.#links.add(link);
    const drop = () => {
      this.#links.delete(link);
      client.destroy();
      upstream.destroy();
    };
    link.detach = () => {
      client.removeAllListeners("close").removeAllListeners("data");
      upstream.removeAllListeners("close").removeAllListeners("data");
      client.unpipe(upstream);
      upstream.unpipe(client);
    };
    upstream.on("error", () => {});
    client.on("close", drop);
    upstream.on("close", drop);
    client.pipe(upstream);
    if (this.#stalled) upstream.pause();
    else upstream.pipe(client);
  }

  /** Both ends lose their connection at once, with whatever was under way. */
  cut() {
    const links = [...this.#links];
    for (const { client, upstream } of links) {
      client.resetAndDestroy();
      upstream.resetAndDestroy();
    }
    return links.length;
  }

  /** New connections are refused until `accept()`. */
  refuse() {
    this.#refusing = true;
  }

  accept() {
    this.#refusing = false;
  }

  /**
   * The clients lose their connections, and the gateway is not told: its ends stay open and silent. Resolves, as `closed`,
   * once the gateway has closed all of them by itself.
   */
  orphan() {
    const links = [...this.#links];
    const closed = links.map(({ client, upstream, detach }, index) => {
      detach();
      this.#links.delete(links[index]);
      this.#orphans.add(upstream);
      const ended = new Promise((done) => upstream.once("close", done).once("end", done));
      upstream.on("data", () => {});
      upstream.resume();
      client.resetAndDestroy();
      return ended.then(() => upstream.destroy());
    });
    return { count: links.length, closed: Promise.all(closed) };
  }

  /** Nothing from the gateway is read any more, now and on new connections; its buffers fill. */
  stall() {
    this.#stalled = true;
    for (const { client, upstream } of this.#links) {
      upstream.unpipe(client);
      upstream.pause();
    }
  }

  resume() {
    this.#stalled = false;
  }

  close() {
    this.server.close();
    for (const { client, upstream } of this.#links) {
      client.destroy();
      upstream.destroy();
    }
    for (const upstream of this.#orphans) upstream.destroy();
  }
}

const open = new Set();

export async function startProxy(port) {
  const proxy = await new Proxy(port).listen();
  open.add(proxy);
  return proxy;
}

export function closeProxies() {
  for (const proxy of open) proxy.close();
  open.clear();
}

/** The same in a process of its own, for many clients: cut() and close() only. */
export async function startProxyProcess(port) {
  const child = fork(fileURLToPath(import.meta.url), ["--proxy-to", String(port)]);
  process.on("exit", () => child.kill("SIGKILL"));
  const answer = () => next(child, "message", "the proxy to answer").then(([message]) => message);
  const { url } = await answer();
  return {
    url,
    cut() {
      child.send("cut");
      return answer();
    },
    close: () => child.kill("SIGKILL"),
  };
}

if (process.argv[2] === "--proxy-to") {
  const proxy = await new Proxy(Number(process.argv[3])).listen();
  process.on("message", (command) => command === "cut" && process.send(proxy.cut()));
  process.on("disconnect", () => process.exit());
  process.send({ url: proxy.url });
}
