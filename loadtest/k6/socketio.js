// A Socket.IO client for k6: Engine.IO 4 and Socket.IO 5 in JSON, by WebSocket alone. Many of them fit into one VU.
//
//   const socket = new Socket("http://127.0.0.1:8080", { auth: () => ({ token }) });
//   socket.on("connect", ({ recovered, took }) => …);
//   socket.on("news", (...args) => …);
//   socket.open();
//   const [answer] = await socket.emit("join", "lobby");
//
// It does as the stock client does: it keeps the private session id and the last offset, asks for recovery with them, and comes
// back by itself, with jitter, unless it or the server disconnected. An emit before it is connected, or whose acknowledgement
// was lost with the connection, is rejected; nothing is buffered. No polling, no binary events.
//
// Its own events: "opening" before each attempt; "connect" { recovered, again, took, away } in milliseconds; "disconnect" reason;
// "failed" reason, an attempt that came to nothing; "refused" error, by CONNECT_ERROR, after which it stays away.

import { WebSocket } from "k6/websockets";

// what frames begin with: an Engine.IO type, and for messages a Socket.IO type
const OPEN = "0", CLOSE = "1", PING = "2", MESSAGE = "4";
const CONNECT = "0", DISCONNECT = "1", EVENT = "2", ACK = "3", CONNECT_ERROR = "4";

const DEFAULTS = {
  path: "/socket.io/",
  namespace: "/",
  query: {},
  headers: {},
  auth: () => ({}), // the payload of CONNECT, asked for at each
  timeout: 20000, // of one attempt
  delay: 1000, // before the first attempt to come back; doubled with each, and up to half of it more or less
  delayMax: 5000,
};

export class Socket {
  #options;
  #url;
  #prefix; // of this namespace, in each packet
  #listeners = {};
  #acks = new Map();
  #nextAck = 0;
  #ws; // of the present attempt or connection; events of an older one are ignored
  #timer; // until the attempt has failed, the next ping is overdue, or the next attempt is due
  #patience = 45000; // milliseconds between two pings, and until one is missed; the handshake says
  #attempts = 0;
  #began;
  #left; // when the connection was lost
  #pid;
  #offset;

  id;
  connected = false;

  constructor(url, options = {}) {
    this.#options = { ...DEFAULTS, ...options };
    const { path, namespace, query } = this.#options;
    const more = Object.entries(query).map(([name, value]) => `&${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join("");
    this.#url = `${url.replace(/^http/, "ws").replace(/\/$/, "")}${path}?EIO=4&transport=websocket${more}`;
    this.#prefix = namespace === "/" ? "" : `${namespace},`;
  }

  /** One listener for each event; a second one replaces it. */
  on(event, listener) {
    this.#listeners[event] = listener;
    return this;
  }

  open() {
    const ws = new WebSocket(this.#url, null, { headers: this.#options.headers, tags: { name: "socket.io" } });
    const mine = (handler) => (event) => this.#ws === ws && handler(event);
    this.#ws = ws;
    this.#began = Date.now();
    this.#tell("opening");
    ws.addEventListener("open", () => {
      // one that is still connecting must not be closed, which would stop the VU: it is when it opens
      if (this.#ws !== ws) return ws.close();
      // not when the handshake packet is here: k6 loses a frame that comes faster than its own "open"
      this.#connect();
    });
    ws.addEventListener("message", mine(({ data, timestamp }) => this.#read(data, timestamp)));
    ws.addEventListener("error", () => {}); // "close" follows
    ws.addEventListener("close", mine(({ code }) => this.#lose(`closed ${code ?? ""}`)));
    this.#wait(this.#options.timeout, () => this.#lose("timeout"));
  }

  /** Emits, and resolves to the arguments of the acknowledgement. */
  emit(event, ...args) {
    if (!this.connected) return Promise.reject(new Error("not connected"));
    const id = this.#nextAck++;
    this.#send(EVENT, `${id}${JSON.stringify([event, ...args])}`);
    return new Promise((done, fail) => this.#acks.set(id, { done, fail }));
  }

  /** Emits without asking for an acknowledgement. */
  send(event, ...args) {
    if (this.connected) this.#send(EVENT, JSON.stringify([event, ...args]));
  }

  /** Drops the connection, with whatever is under way; the session is not told, and the client comes back. */
  cut() {
    if (this.#ws) this.#lose("cut");
  }

  /** Forgets the session, so that the next connection begins another. */
  forget() {
    this.#pid = this.#offset = undefined;
  }

  /** Ends the session and stays away; its listeners hear nothing more. */
  disconnect() {
    this.#listeners = {};
    if (this.connected) this.#send(DISCONNECT);
    this.#drop("disconnected");
    this.forget();
  }

  #read(data, timestamp) {
    if (typeof data !== "string") return this.#lose("binary");
    switch (data[0]) {
      case OPEN:
        return this.#greet(JSON.parse(data.slice(1)));
      case PING:
        this.#expectPing();
        return this.#ws.readyState === 1 && this.#ws.send("3");
      case MESSAGE:
        return this.#packet(data, timestamp);
      case CLOSE:
        return this.#lose("engine close");
    }
  }

  #connect() {
    const recovery = this.#pid === undefined ? {} : { pid: this.#pid, offset: this.#offset };
    this.#send(CONNECT, JSON.stringify({ ...recovery, ...this.#options.auth() }));
  }

  #greet({ pingInterval, pingTimeout }) {
    this.#patience = pingInterval + pingTimeout;
  }

  #packet(data, timestamp) {
    const type = data[1];
    let at = 2;
    if (data[at] === "/") at = data.indexOf(",", at) + 1 || data.length;
    const digits = at;
    while (data[at] >= "0" && data[at] <= "9") at++;
    const id = at > digits ? Number(data.slice(digits, at)) : undefined;
    const payload = at < data.length ? JSON.parse(data.slice(at)) : undefined;
    switch (type) {
      case CONNECT:
        return this.#enter(payload);
      case EVENT:
        return this.#event(payload, id, timestamp);
      case ACK:
        this.#acks.get(id)?.done(payload);
        return this.#acks.delete(id);
      case CONNECT_ERROR:
        this.#drop("refused");
        return this.#tell("refused", payload);
      case DISCONNECT:
        this.#drop("disconnected by the server");
        return this.forget();
    }
    throw new Error(`a packet that this client does not know: ${data.slice(0, 40)}`);
  }

  #enter({ sid, pid }) {
    const now = Date.now();
    const recovered = pid !== undefined && pid === this.#pid;
    const away = this.#left === undefined ? undefined : now - this.#left;
    this.#attempts = 0;
    this.#pid = pid;
    this.id = sid;
    this.connected = true;
    this.#expectPing();
    this.#tell("connect", { recovered, again: away !== undefined, took: now - this.#began, away });
  }

  #event(args, id, timestamp) {
    const last = args[args.length - 1];
    if (id !== undefined) args.push((...answer) => this.#send(ACK, `${id}${JSON.stringify(answer)}`));
    this.received = timestamp; // when the frame came in, for listeners that measure
    this.#listeners[args.shift()]?.apply(undefined, args);
    if (this.#pid !== undefined && typeof last === "string") this.#offset = last;
  }

  #send(type, payload = "") {
    if (this.#ws?.readyState === 1) this.#ws.send(`${MESSAGE}${type}${this.#prefix}${payload}`);
  }

  #expectPing() {
    this.#wait(this.#patience, () => this.#lose("ping timeout"));
  }

  /** The connection or the attempt is over; another follows. */
  #lose(reason) {
    this.#drop(reason);
    const { delay, delayMax } = this.#options;
    const base = Math.min(delayMax, delay * 2 ** this.#attempts++);
    this.#wait(base * (0.5 + Math.random()), () => this.open());
  }

  #drop(reason) {
    const { connected } = this;
    const ws = this.#ws;
    this.#ws = undefined;
    this.connected = false;
    if (ws?.readyState === 1) ws.close();
    clearTimeout(this.#timer);
    for (const { fail } of this.#acks.values()) fail(new Error(reason));
    this.#acks.clear();
    if (connected) this.#left = Date.now();
    this.#tell(connected ? "disconnect" : "failed", reason);
  }

  #wait(ms, then) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
  }

  #tell(event, value) {
    this.#listeners[event]?.(value);
  }
}
