// Tokens of every algorithm, and broken ones, with Node's own crypto only.

import { constants, createHmac, createPublicKey, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { createServer } from "node:http";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./gateway.js";

export const algorithms = ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

const encoded = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const seconds = () => Math.floor(Date.now() / 1000);

const rsa = () => generateKeyPairSync("rsa", { modulusLength: 2048 });
const makePair = { RS: rsa, PS: rsa, ES: (bits) => generateKeyPairSync("ec", { namedCurve: `P-${bits}` }), Ed: () => generateKeyPairSync("ed25519") };

/** A key of its own, or that of another signer, and the tokens that it signs. */
export class Signer {
  constructor(algorithm, { kid, keyOf } = {}) {
    Object.assign(this, { algorithm, kid });
    if (keyOf) return Object.assign(this, { secret: keyOf.secret, privateKey: keyOf.privateKey, publicPem: keyOf.publicPem });
    if (algorithm.startsWith("HS")) return Object.assign(this, { secret: randomBytes(64).toString("hex") });
    const { privateKey, publicKey } = makePair[algorithm.slice(0, 2)](algorithm.slice(2));
    Object.assign(this, { privateKey, publicPem: publicKey.export({ type: "spki", format: "pem" }) });
  }

  /** What this key is in a JWKS. */
  get jwk() {
    const own = this.secret ? { kty: "oct", k: encoded(this.secret) } : createPublicKey(this.publicPem).export({ format: "jwk" });
    return { ...own, use: "sig", alg: this.algorithm, ...(this.kid && { kid: this.kid }) };
  }

  /** The settings of `[namespaces.auth]` for tokens of this key. */
  get settings() {
    const settings = { method: "jwt", algorithms: [this.algorithm] };
    if (this.secret) return { ...settings, secret: this.secret };
    this.file ??= join(temporaryFolder(), "public.pem");
    writeFileSync(this.file, this.publicPem);
    return { ...settings, public_key_file: this.file };
  }

  /** A token for an hour, of user "ann"; `undefined` takes a claim away. */
  token(claims = {}, header = {}) {
    return this.raw({ alg: this.algorithm, typ: "JWT", ...(this.kid && { kid: this.kid }), ...header }, { sub: "ann", iat: seconds(), exp: seconds() + 3600, ...claims });
  }

  /** A token that ends so many seconds from now; `issued` of the same kind. */
  lasting(ends, claims = {}, issued = 0) {
    return this.token({ iat: seconds() + issued, exp: seconds() + ends, ...claims });
  }

  /** Signs whatever it is told to. */
  raw(header, payload) {
    const text = `${encoded(header)}.${encoded(payload)}`;
    return `${text}.${this.#sign(text).toString("base64url")}`;
  }

  #sign(text) {
    const hash = `sha${this.algorithm.slice(2)}`;
    const data = Buffer.from(text);
    if (this.secret) return createHmac(hash, this.secret).update(data).digest();
    if (this.algorithm === "EdDSA") return sign(null, data, this.privateKey);
    const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
    const more = { RS: {}, PS: pss, ES: { dsaEncoding: "ieee-p1363" } }[this.algorithm.slice(0, 2)];
    return sign(hash, data, { key: this.privateKey, ...more });
  }
}

const claims = () => ({ sub: "mallory", iat: seconds(), exp: seconds() + 3600 });

/** `alg: none`, in the spellings that have fooled others. */
export const unsigned = (alg = "none") => `${encoded({ alg, typ: "JWT" })}.${encoded(claims())}.`;

/** Key confusion: the public key, which everybody knows, taken for the secret of an HMAC. */
export function confused(publicPem, alg = "HS256") {
  const text = `${encoded({ alg, typ: "JWT" })}.${encoded(claims())}`;
  return `${text}.${createHmac(`sha${alg.slice(2)}`, publicPem).update(text).digest("base64url")}`;
}

/** The token with other claims under the old signature. */
export function tampered(token, more = { sub: "mallory" }) {
  const [header, payload, signature] = token.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url"));
  return [header, encoded({ ...claims, ...more }), signature].join(".");
}

/** A server that gives out the public keys of these signers. */
export class KeyServer {
  requests = 0;
  /** What it answers instead: a status, or a body that is no key set. */
  broken = undefined;

  constructor(...signers) {
    this.signers = signers;
    this.server = createServer((_, response) => {
      this.requests += 1;
      if (typeof this.broken === "number") return response.writeHead(this.broken).end();
      response.writeHead(200, { "content-type": "application/json" }).end(this.broken ?? JSON.stringify({ keys: this.signers.map(({ jwk }) => jwk) }));
    });
  }

  async start() {
    await new Promise((done) => this.server.listen(0, "127.0.0.1", done));
    this.url = `http://127.0.0.1:${this.server.address().port}/keys.json`;
    return this;
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }
}
