// Prints a token: node token.js USER [SECONDS]

import { createHmac } from "node:crypto";

const secret = "an example's secret, for nothing else";
const [user = "ann", lifetime = "3600"] = process.argv.slice(2);
const now = Math.floor(Date.now() / 1000);
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, iat: now, exp: now + Number(lifetime) })}`;
console.log(`${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`);
