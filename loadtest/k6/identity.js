// Who the clients are: nobody, or bearers of a JSON Web Token, which is made here from the secret or comes from a file.

import { hmac } from "k6/crypto";
import encoding from "k6/encoding";

const encoded = (value) => encoding.b64encode(JSON.stringify(value), "rawurl");

function mint(user, { JWT_SECRET, JWT_ALGORITHM, JWT_CLAIMS }) {
  const hash = JWT_ALGORITHM.replace("HS", "sha");
  const now = Math.floor(Date.now() / 1000);
  const claims = { ...JWT_CLAIMS, sub: user, iat: now, exp: now + 3600 };
  const text = `${encoded({ alg: JWT_ALGORITHM, typ: "JWT" })}.${encoded(claims)}`;
  return `${text}.${hmac(hash, JWT_SECRET, text, "base64rawurl")}`;
}

const subject = (token) => String(JSON.parse(encoding.b64decode(token.split(".")[1], "rawurl", "s")).sub);

/**
 * The identity of client `index` of all: { user, auth }, where `auth()` is the payload of its CONNECT. A user that is undefined
 * is nobody; a client that comes later (churn) is somebody else.
 */
export function identity(index, run, settings, tokens) {
  if (settings.JWT_SECRET) {
    const user = `k6-${run}-${index}`;
    return { user, auth: () => ({ token: mint(user, settings) }) };
  }
  if (settings.TOKENS) {
    if (index >= tokens.length) throw new Error(`TOKENS: ${tokens.length} tokens are too few, each client takes another one`);
    return { user: subject(tokens[index]), auth: () => ({ token: tokens[index] }) };
  }
  return { user: undefined, auth: () => ({}) };
}
