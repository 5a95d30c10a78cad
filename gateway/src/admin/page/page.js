"use strict";
const at = (id) => document.getElementById(id);
const all = (selector) => document.querySelectorAll(selector);
const count = (n) => Math.round(n).toLocaleString("en");
const rate = (n) => (n > 0 && n < 10 ? n.toFixed(1) : count(n));
const bytes = (n) => { let unit = 0; while (n >= 1024 && unit < 3) { n /= 1024; unit++; } return `${n < 10 && unit ? n.toFixed(1) : Math.round(n)} ${["B", "KiB", "MiB", "GiB"][unit]}`; };
const span = (s) => (s < 90 ? `${Math.round(s)} s` : s < 5400 ? `${Math.round(s / 60)} min` : s < 129600 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} d`);
const add = (object) => Object.values(object ?? {}).reduce((sum, n) => sum + n, 0);

/** An element; whatever is inside becomes text. */
function make(name, { dataset, ...properties } = {}, ...inside) {
  const element = Object.assign(document.createElement(name), properties);
  Object.assign(element.dataset, dataset);
  element.append(...inside.filter((it) => it !== undefined && it !== ""));
  return element;
}

// ---- the API

let key = sessionStorage.getItem("key") ?? "";
const headers = (more) => ({ ...more, ...(key ? { authorization: `Bearer ${key}` } : {}) });

async function call(path, body) {
  const init = body === undefined ? { headers: headers() } : { method: "POST", headers: headers({ "content-type": "application/json" }), body };
  const response = await fetch(path, { ...init, signal: AbortSignal.timeout(8000) }).catch(() => { throw new Error("this node does not answer"); });
  return answer(response);
}

async function answer(response) {
  const json = await response.json().catch(() => ({}));
  if (response.ok) return json;
  if (response.status === 401) lock(key ? json.error?.message : "");
  throw new Error(json.error?.message ?? `status ${response.status}`);
}

function lock(why) {
  at("locked").hidden = false;
  at("key-complaint").textContent = why ?? "";
  state("warn", "locked");
  show();
}

function state(kind, text) { at("state").className = `dot ${kind}`; at("state").textContent = text; }

// ---- tabs

const place = () => location.hash.slice(1).split("/").map(decodeURIComponent);

function show() {
  const locked = !at("locked").hidden;
  const [tab] = place();
  const known = [...all("[data-tab]")].some((it) => it.dataset.tab === tab) ? tab : "overview";
  for (const part of all("[data-tab]")) part.hidden = locked || part.dataset.tab !== known;
  for (const link of all("#tabs a")) link.hash === `#${known}` ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  at("tabs").hidden = locked;
  at("forget").hidden = !key;
  return known;
}

/** A link such as #tail/room/lobby fills a form in. */
function follow() {
  const [tab, kind, name] = place();
  if (name !== undefined && tab === "tail") { at("tail-kind").value = kind; at("tail-name").value = name; }
  if (name !== undefined && tab === "publish") { at("to").value = `${kind}s`; at("name").value = name; target(); }
  if (name !== undefined && tab === "disconnect") at("user").value = name;
  show();
  look();
}

// ---- overview

const before = new Map(); // the last status of each node
const samples = 60; // that charts show
const history = [];
let namespaces = "";

/** A node's growth in a second, by its own clock. */
function growth(node, read) {
  const [now, last] = [node.status, before.get(node.node)];
  const seconds = now && last ? now.uptime_seconds - last.uptime_seconds : 0;
  return seconds > 0 ? Math.max(0, read(now) - read(last)) / seconds : 0;
}

function bars(list, entries, most, row) {
  list.replaceChildren(...entries.map((entry) => {
    const bar = make("span", { className: "bar" });
    bar.style.width = `${most ? (100 * entry.value) / most : 0}%`;
    return make("li", {}, ...row(entry), bar);
  }));
}

function draw(name, attributes, ...inside) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  element.append(...inside);
  return element;
}

function chart(values) {
  const most = Math.max(1, ...values) * 1.1;
  const [begin, end] = [samples - values.length, samples - 1];
  const points = values.map((value, n) => `${begin + n},${20 - (20 * value) / most}`).join(" ");
  return draw("svg", { viewBox: `0 0 ${end} 20`, preserveAspectRatio: "none", "aria-hidden": true },
    draw("polygon", { points: `${begin},20 ${points} ${end},20` }), draw("polyline", { points }));
}

const figure = (name, value, values) => make("div", { className: "figure" }, make("span", {}, name), make("b", {}, value), chart(values));
const small = (name, value) => make("div", {}, make("span", {}, name), make("b", {}, value));

function condition({ status, draining }) {
  if (!status) return make("span", { className: "dot bad" }, "no answer");
  if (draining || status.unready.includes("draining")) return make("span", { className: "dot warn" }, "draining");
  return status.unready.length ? make("span", { className: "dot bad" }, status.unready.join(", ")) : make("span", { className: "dot good" }, "ready");
}

const columns = [
  ["", (it) => [make("b", {}, it.node), " ", make("span", { className: "soft" }, [it.address, it.this ? "this page" : ""].filter(Boolean).join(" · "))]],
  ["", (it) => [condition(it)]],
  ["Version", ({ status }) => [status.version]],
  ["Up", ({ status }) => [span(status.uptime_seconds)]],
  ["WebSocket", ({ status }) => [count(status.connections.websocket ?? 0)]],
  ["Polling", ({ status }) => [count(status.connections.polling ?? 0)]],
  ["Rooms", ({ status }) => [count(status.rooms)]],
  ["Delivered/s", (it) => [rate(growth(it, (s) => s.deliveries))]],
  ["Behind", ({ status }) => [make("span", { className: status.age_seconds > 3.5 ? "bad" : "" }, `${status.age_seconds.toFixed(1)} s`)]],
  ["Queued", ({ status }) => [bytes(status.queued_bytes)]],
  ["Memory", ({ status }) => [bytes(status.resident_bytes)]],
];

function overview(found) {
  const nodes = found.nodes;
  const answered = nodes.filter((node) => node.status);
  const sum = (read) => answered.reduce((total, node) => total + read(node.status), 0);
  const grown = (read) => answered.reduce((total, node) => total + growth(node, read), 0);
  const sums = (name) => answered.reduce((totals, { status }) => Object.entries(status[name]).reduce((all, [label, n]) => ({ ...all, [label]: (all[label] ?? 0) + n }), totals), {});
  const open = sum((s) => add(s.connections));
  if (before.size) history.push({ open, deliveries: grown((s) => s.deliveries), publishes: grown((s) => s.publishes) });
  if (history.length > samples) history.shift();
  at("figures").replaceChildren(
    figure("Connections", count(open), history.map((it) => it.open)),
    figure("Deliveries/s", rate(grown((s) => s.deliveries)), history.map((it) => it.deliveries)),
    figure("Publishes/s", rate(grown((s) => s.publishes)), history.map((it) => it.publishes)),
    make("section", { className: "small" },
      small("Sockets", count(sum((s) => s.sockets))),
      small("Handshakes/s", rate(grown((s) => s.handshakes))),
      small("Refused/s", rate(grown((s) => s.handshakes_refused))),
      small("Recovered/s", rate(grown((s) => s.recoveries.recovered ?? 0))),
      small("Closed/s", rate(grown((s) => add(s.closes)))),
      small("Events/s", rate(grown((s) => s.events)))),
  );
  at("nodes").tHead.replaceChildren(make("tr", {}, ...columns.map(([name]) => make("th", {}, name))));
  at("nodes").tBodies[0].replaceChildren(...nodes.map((node) => make("tr", {}, ...columns.map(([name, cell], n) =>
    make("td", { dataset: name ? { label: name } : {} }, ...(node.status || n < 2 ? cell(node) : ["–"]))))));
  for (const name of ["recoveries", "closes"]) {
    const entries = Object.entries(sums(name)).map(([label, value]) => ({ label, value })).filter((it) => it.value > 0).sort((a, b) => b.value - a.value);
    bars(at(name), entries, entries[0]?.value, ({ label, value }) => [make("span", {}, label.replaceAll("_", " ")), make("span", {}, count(value))]);
    if (!entries.length) at(name).replaceChildren(make("li", { className: "soft" }, "None since the nodes started."));
  }
  at("reach").textContent = found.reach === "all" ? "" : "The other nodes cannot be asked now: this is this node alone.";
  const silent = nodes.length - answered.length;
  const unready = answered.filter((node) => node.status.unready.length > 0).length;
  state(silent || unready || found.reach !== "all" ? "bad" : "good", `${nodes.length} ${nodes.length === 1 ? "node" : "nodes"}${silent ? `, ${silent} silent` : ""}${unready ? `, ${unready} not ready` : ""}`);
  answered.forEach((node) => before.set(node.node, node.status));
  if (namespaces !== (namespaces = JSON.stringify(found.namespaces)))
    for (const select of all(".namespace")) select.replaceChildren(...found.namespaces.map(({ name }) => make("option", { value: name }, name)));
  at("publish").disabled = !found.may.publish;
  at("may-publish").textContent = found.may.publish ? "" : "This key lacks the scope publish: it can explain, not publish.";
  at("disconnect").disabled = !found.may.manage;
  if (!found.may.manage) at("disconnect-note").textContent = "This key lacks the scope manage.";
}

// ---- rooms

async function rooms() {
  const namespace = at("rooms-form").querySelector("select").value || "/";
  const found = await call(`/admin/v1/rooms?${new URLSearchParams({ namespace, prefix: at("prefix").value })}`);
  const entries = found.rooms.map(({ room, members }) => ({ kind: room.user === undefined ? "room" : "user", name: room.user ?? room.room, value: members }));
  bars(at("rooms"), entries, entries[0]?.value, ({ kind, name, value }) => [
    make("span", {}, kind === "user" ? make("span", { className: "tag" }, "user") : undefined, name),
    make("a", { href: `#tail/${kind}/${encodeURIComponent(name)}` }, "Tail"),
    make("a", { href: `#publish/${kind}/${encodeURIComponent(name)}` }, "Publish"),
    make("span", { className: "count" }, count(value)),
  ]);
  const notes = [entries.length ? "" : "No rooms.", found.more ? "There are more. Counts may be a little low where rooms were cut off." : "", found.partial || found.missing.length || found.reach !== "all" ? "Not all nodes have answered." : ""];
  at("rooms-note").textContent = notes.filter(Boolean).join(" ");
}

// ---- tail

let tail; // ends the one that is open

async function listen() {
  const here = (tail = new AbortController());
  const name = at("tail-name").value;
  const query = new URLSearchParams({ namespace: at("tail-form").querySelector("select").value, [at("tail-kind").value]: name, rate: at("tail-rate").value });
  at("events").replaceChildren();
  at("tail-button").textContent = "Stop";
  const say = (text) => tail === here && (at("tail-note").textContent = text);
  try {
    const response = await fetch(`/admin/v1/tail?${query}`, { headers: headers(), signal: here.signal });
    if (!response.ok) await answer(response);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let [text, shown, left] = ["", 0, 0];
    for (let part; !(part = await reader.read()).done; ) {
      const lines = (text + part.value).split("\n");
      text = lines.pop();
      for (const entry of lines.filter(Boolean).map((it) => JSON.parse(it))) {
        if (entry.left_out) left += entry.left_out;
        if (entry.event !== undefined) shown++, append(event(entry));
        if (entry.left_out) append(make("li", { className: "warn" }, "", make("span", {}, `${count(entry.left_out)} left out`)));
        say(entry.ended ? "The node stops." : `Listening to ${name}: ${count(shown)} shown${left ? `, ${count(left)} left out` : ""}`);
      }
    }
    say("The tail has ended.");
  } catch (error) {
    say(here.signal.aborted ? "" : error instanceof TypeError ? "The connection was lost." : error.message);
  }
  if (tail === here) (tail = undefined), (at("tail-button").textContent = "Start");
}

function append(entry) {
  const list = at("events");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(entry);
  while (list.children.length > 300) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

const named = (room) => (room === "all" ? "the namespace" : room.room !== undefined ? `room ${room.room}` : room.user !== undefined ? `user ${room.user}` : `socket ${room.socket}`);

function event(it) {
  const more = [it.rooms.length > 1 ? `to ${it.rooms.map(named).join(", ")}` : "", it.except ? `except ${it.except.map(named).join(", ")}` : "", it.attachments ? `${it.attachments} binary` : "", it.cut ? `${bytes(it.cut)} more` : "", it.id ?? "not logged"];
  return make("li", {}, make("time", {}, new Date(it.at).toTimeString().slice(0, 8)), make("b", {}, it.event),
    it.args ? make("span", { className: "args" }, it.args) : undefined, make("span", { className: "more" }, more.filter(Boolean).join(" · ")));
}

// ---- publish

const fates = { sent: "gets it", held: "gets it once it has caught up", excepted: "left out", joining: "is not in the room yet", leaving: "is leaving the room", congested: "is too slow", closing: "is disconnecting" };
const because = { volatile: "it is volatile", acknowledged: "it is to be acknowledged", namespace_without_recovery: "its namespace has no recovery" };

function target() {
  at("name").disabled = at("to").value === "all";
  at("name-label").hidden = at("name").disabled;
}

function draft() {
  const args = at("args").value.trim() || "[]";
  if (!Array.isArray(JSON.parse(args))) throw new Error("the arguments are no JSON array");
  const head = { namespace: at("publish-form").querySelector("select").value, target: at("to").value === "all" ? "all" : { [at("to").value]: [at("name").value] }, event: at("event").value };
  if (at("except").value) head.except = { rooms: [at("except").value] };
  if (at("volatile").checked) head.volatile = true;
  return `${JSON.stringify(head).slice(0, -1)},"args":${args}}`;
}

const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;

function explanation(it) {
  const nodes = it.nodes.filter((node) => node.receivers);
  const parts = [make("p", {}, make("b", {}, `${plural(it.receivers, "socket gets", "sockets get")} it`), it.receivers ? ` on ${plural(nodes.length, "node", "nodes")}.` : ".")];
  const note = (text, kind = "") => parts.push(make("p", { className: `note ${kind}` }, text));
  if (!it.logged) note(`It is not logged: ${because[it.because]}. Who is away never gets it.`);
  else if (!it.away) note("It is logged. Who is away cannot be told now.");
  else note(`It is logged: ${it.away.complete ? "" : "at least "}${it.away.count ? plural(it.away.count, "client", "clients") : "no client"} away now, to get it when coming back in time.`);
  for (const { room, members } of it.rooms) note(`${members ? plural(members, "socket", "sockets") : "Nobody"} in ${named(room)}.`, members ? "" : "warn");
  if (it.missing.length || it.reach !== "all") note(`Not all nodes have answered${it.missing.length ? `: ${it.missing.join(", ")}` : ""}.`, "bad");
  for (const node of it.nodes.filter((node) => node.sockets.length)) {
    parts.push(make("h2", {}, `Node ${node.node}: `, Object.entries(node.fates).map(([fate, n]) => `${count(n)} ${fate}`).join(", ")));
    parts.push(make("ul", { className: "bars" }, ...node.sockets.map((socket) => make("li", {}, make("code", {}, socket.user ?? socket.socket),
      make("span", { className: ["sent", "held"].includes(socket.fate) ? "good" : "warn" }, socket.except ? `left out by ${named(socket.except)}` : fates[socket.fate] ?? socket.fate)))));
    const rest = add(node.fates) - node.sockets.length;
    if (rest) note(`and ${count(rest)} more`);
  }
  return parts;
}

async function publish(kind) {
  const outcome = at("outcome");
  try {
    const body = draft();
    if (kind === "explain") return outcome.replaceChildren(...explanation(await call("/admin/v1/explain", body)));
    const done = await call("/v1/publish", body);
    outcome.replaceChildren(make("p", { className: "good" }, done.logged ? "Published, and in the log." : "Published, not logged."), make("p", { className: "note" }, make("code", {}, done.id ?? "")));
  } catch (error) {
    outcome.replaceChildren(make("p", { className: "bad" }, error.message));
  }
}

// ---- what happens

async function disconnect() {
  const [namespace, user] = [at("disconnect-form").querySelector("select").value, at("user").value];
  try {
    const { sockets, partial } = await call("/v1/disconnect", JSON.stringify({ namespace, target: { users: [user] } }));
    at("disconnect-note").textContent = `${plural(sockets, "session", "sessions")} of ${user} ended${partial ? "; not all nodes have answered" : ""}.`;
  } catch (error) {
    at("disconnect-note").textContent = error.message;
  }
}

let [looking, again] = [false, false];
async function look() {
  if (looking) return void (again = true);
  if (document.hidden || !at("locked").hidden) return;
  looking = true;
  try {
    overview(await call("/admin/v1/overview"));
    if (show() === "rooms") await rooms();
  } catch (error) {
    if (at("locked").hidden) state("bad", error.message);
  }
  looking = false;
  if (again) (again = false), look();
}

const on = (id, name, act) => at(id).addEventListener(name, (event) => { event.preventDefault(); act(event); });
on("key-form", "submit", () => { sessionStorage.setItem("key", (key = at("key").value.trim())); at("key").value = ""; at("locked").hidden = true; show(); look(); });
on("forget", "click", () => { sessionStorage.removeItem("key"); tail?.abort(); location.reload(); });
on("rooms-form", "submit", look);
on("rooms-form", "input", look);
on("tail-form", "submit", () => (tail ? tail.abort() : listen()));
on("publish-form", "submit", (event) => publish(event.submitter?.value));
on("to", "change", target);
on("disconnect-form", "submit", () => { at("sure-text").textContent = `Disconnect all clients of "${at("user").value}"?`; at("sure").returnValue = ""; at("sure").showModal(); });
at("sure").addEventListener("close", () => at("sure").returnValue === "yes" && disconnect());
addEventListener("hashchange", follow);
document.addEventListener("visibilitychange", look);
setInterval(look, 2000);
follow();
