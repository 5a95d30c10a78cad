// Serves the page, and gives who opens it a token: http://localhost:3000/?user=ann. A system of its own has a login here.

import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const secret = "an example's secret, for nothing else";
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const types = { "index.html": "text/html; charset=utf-8", "topics.js": "text/javascript" };

function token(user) {
  const now = Math.floor(Date.now() / 1000);
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, iat: now, exp: now + 3600 })}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const name = pathname === "/" ? "index.html" : pathname.slice(1);
  if (!types[name]) return response.writeHead(404).end();
  const user = searchParams.get("user");
  if (user) response.setHeader("set-cookie", `auth=${token(user)}; Path=/; HttpOnly; SameSite=Lax`);
  response.writeHead(200, { "content-type": types[name] }).end(readFileSync(new URL(name, import.meta.url)));
});
server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => console.log(`listening on http://localhost:${server.address().port}`));
