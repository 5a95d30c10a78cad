// The application's server in small: it serves the page, signs people in, and publishes what happens in their sessions.
//
//   PORT             3000                    where it listens
//   GATEWAY          http://127.0.0.1:8080   the gateway as clients reach it
//   GATEWAY_API      http://127.0.0.1:9100   its internal API

import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const { PORT = "3000", GATEWAY = "http://127.0.0.1:8080", GATEWAY_API = "http://127.0.0.1:9100" } = process.env;
const SECRET = "an example's secret, for nothing else"; // as in carillon.toml
const here = (file) => fileURLToPath(new URL(file, import.meta.url));

// Who takes part in what. A real application asks its database.
const sessions = {
  "first-round": { title: "First round", users: ["ann", "bob"] },
  "second-round": { title: "Second round", users: ["bob"] },
};

function token(user) {
  const now = Math.floor(Date.now() / 1000);
  const own = Object.keys(sessions).filter((id) => sessions[id].users.includes(user));
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ iss: "interview", sub: user, sessions: own, iat: now, exp: now + 3600 })}`;
  return { token: `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`, sessions: own, gateway: GATEWAY };
}

async function publish(target, event, payload) {
  const body = JSON.stringify({ target, event, args: [payload] });
  const response = await fetch(`${GATEWAY_API}/v1/publish`, { method: "POST", headers: { "content-type": "application/json" }, body });
  if (!response.ok) throw new Error(`publish ${event}: ${response.status} ${await response.text()}`);
}

const room = (sessionId) => ({ rooms: [`session:${sessionId}`] });

// POST /sessions/{sessionId}/{name}
const changes = {
  async update(sessionId, change) {
    Object.assign(sessions[sessionId], change);
    await publish(room(sessionId), "session-updated", { sessionId, session: sessions[sessionId] });
  },
  /** `role` is interviewer, interviewee or observer. */
  async role(sessionId, { userId, role }) {
    if (!["interviewer", "interviewee", "observer"].includes(role)) throw new Error(`no such role: ${role}`);
    await publish(room(sessionId), "role-selected", { sessionId, userId, role });
  },
  /** To the people, wherever they are in the application. */
  async "require-feedback"(sessionId) {
    await publish({ users: sessions[sessionId].users }, "feedback-required", { sessionId });
  },
  async feedback(sessionId, { feedbackId, updates }) {
    const newFeedback = { id: feedbackId, ...updates };
    await publish(room(sessionId), "feedback-updated", { sessionId, feedbackId, updates, newFeedback, timestamp: Date.now() });
  },
};

const bundle = await build({ entryPoints: [here("client/App.jsx")], bundle: true, write: false, jsx: "automatic", define: { "process.env.NODE_ENV": '"development"' } });
const pages = { "/": ["text/html; charset=utf-8", readFileSync(here("index.html"))], "/app.js": ["text/javascript; charset=utf-8", bundle.outputFiles[0].contents] };

async function answer(request) {
  const { pathname } = new URL(request.url, "http://backend");
  if (request.method === "GET") return pages[pathname] ?? [404];
  let text = "";
  for await (const chunk of request) text += chunk;
  const body = JSON.parse(text || "{}");
  if (pathname === "/sign-in") return ["application/json", JSON.stringify(token(body.user))];
  const [, , sessionId, change] = pathname.split("/");
  if (!Object.hasOwn(sessions, sessionId) || !Object.hasOwn(changes, change)) return [404];
  await changes[change](sessionId, body);
  return ["application/json", "{}"];
}

createServer(async (request, response) => {
  const [type, body] = await answer(request).catch((error) => [500, error.message]);
  if (typeof type === "number") response.writeHead(type).end(body);
  else response.writeHead(200, { "content-type": type }).end(body);
}).listen(Number(PORT), "127.0.0.1", function listening() {
  console.log(`listening on http://127.0.0.1:${this.address().port}`);
});
