// The wire, by hand: Engine.IO 4 over fetch and over the `ws` package, without any Socket.IO client code.

import assert from "node:assert/strict";
import WebSocket from "ws";
import { Recorder, within } from "./wait.js";

export const SEPARATOR = "\x1e";

export class Wire {
  constructor(gateway) {
    this.gateway = gateway;
  }

  url(query, base = this.gateway.url) {
    return `${base}${this.gateway.path}?${new URLSearchParams(query)}`;
  }

  request(query, init) {
    return fetch(this.url(query), init);
  }

  /** A polling session, opened. */
  async polling() {
    const response = await this.request({ EIO: "4", transport: "polling" });
    assert.equal(response.status, 200);
    const body = await response.text();
    assert.equal(body[0], "0", "the first packet is the handshake");
    return new Polling(this, JSON.parse(body.slice(1)));
  }

  /** A WebSocket session, opened: its handshake is taken already. */
  async websocket() {
    const socket = this.openWebSocket({ EIO: "4", transport: "websocket" });
    const first = await socket.take();
    assert.equal(first[0], "0", "the first packet is the handshake");
    socket.handshake = JSON.parse(first.slice(1));
    return socket;
  }

  openWebSocket(query, options) {
    return new Socket(new WebSocket(this.url(query, this.gateway.ws), options));
  }
}

export class Polling {
  constructor(wire, handshake) {
    Object.assign(this, { wire, handshake, sid: handshake.sid, pings: 0, waiting: [] });
    this.query = { EIO: "4", transport: "polling", sid: this.sid };
  }

  get(init) {
    return this.wire.request(this.query, init);
  }

  post(body) {
    return this.wire.request(this.query, { method: "POST", body, headers: { "content-type": "text/plain;charset=UTF-8" } });
  }

  async send(...packets) {
    const response = await this.post(packets.join(SEPARATOR));
    assert.equal(response.status, 200, await response.clone().text());
    assert.equal(await response.text(), "ok");
  }

  /** The next `count` packets; pings are answered, and counted in `pings`. */
  receive(count) {
    const polling = async () => {
      while (this.waiting.length < count) {
        const response = await this.get();
        const body = await response.text();
        assert.equal(response.status, 200, body);
        for (const packet of body.split(SEPARATOR)) {
          if (packet === "2") {
            this.pings += 1;
            await this.send("3");
          } else if (packet !== "6") this.waiting.push(packet);
        }
      }
      return this.waiting.splice(0, count);
    };
    return within(polling(), `${count} packets by polling`);
  }
}

export class Socket {
  constructor(ws) {
    this.ws = ws;
    this.pings = 0;
    this.answerPings = true;
    this.messages = new Recorder();
    ws.binaryType = "nodebuffer";
    ws.on("message", (data, binary) => {
      const packet = binary ? data : data.toString();
      if (packet === "2") {
        this.pings += 1;
        ws.emit("engine-ping");
        if (this.answerPings) ws.send("3");
      } else this.messages.push(packet);
    });
    this.opened = new Promise((done, fail) => {
      ws.once("open", done);
      ws.once("error", fail);
    });
    this.opened.catch(() => {});
    this.refused = new Promise((done) => ws.once("unexpected-response", (_, response) => done(response.statusCode)));
    this.ended = new Promise((done) => ws.once("close", (code) => done(code)));
    ws.on("error", () => {});
  }

  /** The next packet that is not a ping; pings are answered, and counted in `pings`. */
  take() {
    return this.messages.take("a packet on the WebSocket");
  }

  async takeMany(count) {
    const packets = [];
    while (packets.length < count) packets.push(await this.take());
    return packets;
  }

  send(...packets) {
    for (const packet of packets) this.ws.send(packet);
  }

  /** It has ended, or the handshake was refused. */
  closed(what = "the server to close the WebSocket") {
    return within(Promise.race([this.ended, this.refused]), what);
  }

  end() {
    this.ws.terminate();
  }
}
