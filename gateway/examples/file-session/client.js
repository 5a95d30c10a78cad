// A client that works on the files of a session: node client.js TOKEN

import { pathToFileURL } from "node:url";
import { io } from "socket.io-client";

export class FileSession {
  sessionId;

  /** `work(file)` gives the content to send back; `closed(type)` is told how it ended. */
  constructor(url, token, { work, closed = () => {}, failed = () => {}, ...options }) {
    Object.assign(this, { work, closed, failed });
    this.socket = io(url, { query: { token }, transports: ["websocket"], ...options });
    this.socket.on("connect", () => this.#connected());
    this.socket.on("connection-auth-error", (error) => failed("connection-auth-error", error));
    this.socket.on("session-start-success", ({ sessionId }) => (this.sessionId = sessionId));
    this.socket.on("session-file-available", (file) => this.#take(file));
    this.socket.on("session-close", ({ type }) => {
      this.socket.disconnect();
      closed(type);
    });
    for (const event of ["session-start", "session-reconnect", "session-file-repeat", "session-file-send", "session-client-abort", "logs-send"]) {
      this.socket.on(`${event}-error`, (error) => failed(event, error));
    }
  }

  #connected() {
    if (this.sessionId === undefined) this.socket.emit("session-start", {});
    // a recovered connection has missed nothing; otherwise the server sends again what is open
    else if (!this.socket.recovered) this.socket.emit("session-reconnect", { sessionId: this.sessionId });
  }

  async #take({ sessionId, fileId, content }) {
    const result = await this.work({ fileId, content });
    if (result === undefined) return; // not now
    this.socket.emit("session-file-send", { sessionId, fileId, content: result });
  }

  repeat(fileId) {
    this.socket.emit("session-file-repeat", { sessionId: this.sessionId, fileId });
  }

  abort(reason) {
    this.socket.emit("session-client-abort", { sessionId: this.sessionId, reason });
  }

  sendLogs(logs) {
    this.socket.emit("logs-send", { sessionId: this.sessionId, logs });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const session = new FileSession(process.env.GATEWAY ?? "https://127.0.0.1:8443", process.argv[2], {
    work({ fileId, content }) {
      console.log("got", fileId, JSON.stringify(content));
      return content.toUpperCase();
    },
    closed: (type) => console.log("closed:", type),
    failed: (event, { message }) => console.log(`${event} failed:`, message),
  });
  session.socket.onAny((event) => console.log("event", event));
}
