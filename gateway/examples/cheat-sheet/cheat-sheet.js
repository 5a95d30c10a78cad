// Every line of the sheet is a button of the page. `io` is of the script that the gateway serves.

const socket = io(gateway);

const value = (id) => document.getElementById(id).value;
const message = () => ({ text: value("text"), from: socket.id });
const log = (...what) => (document.getElementById("log").textContent += `${what.map((v) => (typeof v === "string" ? v : JSON.stringify(v))).join(" ")}\n`);

socket.on("connect", () => log("connect", socket.id, socket.recovered ? "recovered" : "new"));
socket.on("disconnect", (reason) => log("disconnect", reason));
socket.on("message", (...args) => log("message", ...args));

const sheet = {
  "to-all": () => socket.emit("to-all", message()),
  "to-others": () => socket.emit("to-others", message()),
  "to-room": () => socket.emit("to-room", value("room"), message()),
  "to-room-others": () => socket.emit("to-room-others", value("room"), message()),
  join: () => socket.emit("join", value("room"), (answer) => log("join", answer)),
  leave: () => socket.emit("leave", value("room"), (answer) => log("leave", answer)),
  echo: () => socket.emit("echo", message(), (back) => log("echo", back)),
  version: async () => log("version", await socket.emitWithAck("version")),
  // as a bad network would: the client comes back, and has missed nothing
  cut: () => socket.io.engine.close(),
  // on purpose: the session ends
  disconnect: () => socket.disconnect(),
  connect: () => socket.connect(),
};

for (const [name, act] of Object.entries(sheet)) {
  document.getElementById("actions").append(Object.assign(document.createElement("button"), { id: name, textContent: name, onclick: act }), " ");
}
