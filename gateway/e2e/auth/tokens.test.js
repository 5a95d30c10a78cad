// Every algorithm, every place for a token, and every token that must be refused.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Client, closeClients, connect, fence, transports } from "../harness/client.js";
import { startGateway } from "../harness/gateway.js";
import { algorithms, confused, Signer, tampered, unsigned } from "../harness/tokens.js";
import { eventually, next, Recorder } from "../harness/wait.js";
import { Wire } from "../harness/wire.js";

/** A signer for each algorithm; one RSA key serves them all, because it takes long to make. */
const makeSigners = () => {
  const rsa = new Signer("RS256");
  return Object.fromEntries(algorithms.map((algorithm) => [algorithm, new Signer(algorithm, /^[RP]S/.test(algorithm) ? { keyOf: rsa } : {})]));
};
const [signers, foreign] = [makeSigners(), makeSigners()];
const hs = signers.HS256;
// another algorithm, by the same key where it can be
const sibling = { HS256: "HS384", HS384: "HS512", HS512: "HS256", RS256: "PS256", RS384: "RS256", RS512: "RS384", PS256: "RS256", PS384: "PS256", PS512: "PS384" };
const places = ["auth.token", "query.token", "header", "cookie.token"];
const failure = "connection-auth-error";

const namespace = (name, auth, more = {}) => ({ name, auth: { ...hs.settings, ...auth }, ...more });
let gateway;
before(async () => {
  gateway = await startGateway({
    namespaces: [
      ...algorithms.map((algorithm) => ({ name: `/${algorithm}`, auth: signers[algorithm].settings })),
      namespace("/order", { token: places }),
      namespace("/reverse", { token: [...places].reverse() }),
      namespace("/deep", { token: ["auth.session.token"] }),
      namespace("/issued", { issuer: "me", audience: ["us", "them"], leeway: "0s", user: "account.id", max_token: 1024 }),
      namespace("/named", { token: places, failure_event: failure }, { on_connect: { join: ["hall"] }, events: [{ event: "say", action: "relay", to: "room", room: "hall", as: "said" }] }),
      { name: "/open" },
    ],
  });
});
after(() => gateway?.stop());
afterEach(closeClients);

async function outcome(name, options) {
  const client = new Client(gateway.url, { namespace: name, ...options });
  const how = await client.attempt();
  client.close();
  return how;
}
const presented = (name, token) => outcome(name, { auth: { token } });

describe("algorithms", () => {
  for (const algorithm of algorithms) {
    const own = signers[algorithm];
    it(`${algorithm} lets its own tokens in, and no others`, async () => {
      const client = await connect(gateway, { namespace: `/${algorithm}`, auth: { token: own.token({ sub: `user of ${algorithm}` }) } });
      assert.equal(await gateway.count(`namespace=/${algorithm}&user=user of ${algorithm}`), 1);
      client.close();

      const other = sibling[algorithm] ? new Signer(sibling[algorithm], { keyOf: own }) : signers[algorithm === "ES256" ? "ES384" : "ES256"];
      const cases = [
        ["another key", foreign[algorithm].token(), "token_bad_signature"],
        ["other claims", tampered(own.token()), "token_bad_signature"],
        ["another algorithm, and its key where it can be", other.token(), "token_wrong_algorithm"],
        ["alg none", unsigned(), "token_wrong_algorithm"],
        ["alg None", unsigned("None"), "token_wrong_algorithm"],
        ["alg nOnE", unsigned("nOnE"), "token_wrong_algorithm"],
        ["an empty alg", unsigned(""), "token_wrong_algorithm"],
        ["its own signature, called none", `${unsigned()}${own.token().split(".")[2]}`, "token_wrong_algorithm"],
        ["no signature", own.token().replace(/[^.]*$/, ""), "token_bad_signature"],
        ["expired", own.lasting(-60, {}, -120), "token_expired"],
        ["not yet valid", own.token({ nbf: Math.floor(Date.now() / 1000) + 60 }), "token_not_yet_valid"],
      ];
      if (own.publicPem) {
        for (const hmac of ["HS256", "HS384", "HS512"]) cases.push([`the public key as the secret of ${hmac}`, confused(own.publicPem, hmac), "token_wrong_algorithm"]);
        cases.push(["a key that it brings itself", foreign[algorithm].token({}, { jwk: foreign[algorithm].jwk }), "token_bad_signature"]);
      }
      for (const [title, token, code] of cases) assert.equal(await presented(`/${algorithm}`, token), code, title);
    });
  }
});

describe("places", () => {
  const good = () => hs.token();
  const bad = () => hs.lasting(-60);
  const at = {
    "auth.token": (token) => ({ auth: { token } }),
    "query.token": (token) => ({ query: { token } }),
    header: (token) => ({ extraHeaders: { authorization: `Bearer ${token}` } }),
    "cookie.token": (token) => ({ extraHeaders: { cookie: `other=1; token=${token}; more=x` } }),
  };
  const both = (first, second) => ({ ...first, ...second, extraHeaders: { ...first.extraHeaders, ...second.extraHeaders } });

  for (const [transport, options] of Object.entries(transports)) {
    it(`each place will do, over ${transport}`, async () => {
      for (const place of places) {
        assert.equal(await outcome("/order", { ...options, ...at[place](good()) }), "connected", place);
        assert.equal(await outcome("/order", { ...options, ...at[place](bad()) }), "token_expired", place);
      }
      assert.equal(await outcome("/order", options), "token_missing");
    });
  }

  it("are looked at in the order of the configuration", async () => {
    for (const [first, second] of [[0, 1], [1, 2], [2, 3], [0, 3]].map((pair) => pair.map((index) => places[index]))) {
      assert.equal(await outcome("/order", both(at[first](good()), at[second](bad()))), "connected", `${first} before ${second}`);
      assert.equal(await outcome("/order", both(at[first](bad()), at[second](good()))), "token_expired", `${first} before ${second}`);
      assert.equal(await outcome("/reverse", both(at[first](bad()), at[second](good()))), "connected", `${second} before ${first}`);
      assert.equal(await outcome("/reverse", both(at[first](good()), at[second](bad()))), "token_expired", `${second} before ${first}`);
    }
  });

  it("that are empty hold no token", async () => {
    assert.equal(await outcome("/order", both(at["auth.token"](""), at["query.token"](good()))), "connected");
    assert.equal(await outcome("/order", both(at["query.token"](""), at["cookie.token"](good()))), "connected");
    for (const auth of [{ token: "" }, { token: null }, { token: {} }, { token: [good()] }]) assert.notEqual(await outcome("/order", { auth }), "connected");
  });

  it("that the configuration does not name are not looked at", async () => {
    for (const place of ["query.token", "header", "cookie.token"]) assert.equal(await outcome("/deep", at[place](good())), "token_missing", place);
    assert.equal(await outcome("/deep", { auth: { token: good() } }), "token_missing");
    assert.equal(await outcome("/deep", { auth: { session: { token: good() } } }), "connected");
    assert.equal(await outcome("/HS256", at["cookie.token"](good())), "token_missing", "cookies are not among the defaults");
    for (const place of places.slice(0, 3)) assert.equal(await outcome("/HS256", at[place](good())), "connected", `${place} is`);
  });

  it("may be nowhere, for a namespace without authentication", async () => {
    assert.equal(await outcome("/open", {}), "connected");
    assert.equal(await outcome("/open", { auth: { token: bad() } }), "connected");
  });
});

describe("claims", () => {
  const claims = { iss: "me", aud: "us", account: { id: "ann" } };
  const wrong = [
    [{}, "connected"],
    [{ aud: ["others", "them"] }, "connected"],
    [{ account: { id: 7 } }, "connected"],
    [{ iss: "you" }, "token_wrong_issuer"],
    [{ iss: undefined }, "token_wrong_issuer"],
    [{ aud: "others" }, "token_wrong_audience"],
    [{ aud: [] }, "token_wrong_audience"],
    [{ aud: undefined }, "token_wrong_audience"],
    [{ account: "ann" }, "token_no_user"],
    [{ account: { id: "" } }, "token_no_user"],
    [{ account: { id: ["ann"] } }, "token_no_user"],
    [{ account: { id: null } }, "token_no_user"],
    [{ filler: "x".repeat(1024) }, "token_too_long"],
    [{ exp: "soon" }, "token_malformed"],
  ];
  for (const [more, code] of wrong) {
    it(`${JSON.stringify(more).slice(0, 60)}: ${code}`, async () => {
      assert.equal(await presented("/issued", hs.token({ ...claims, ...more })), code);
    });
  }

  it("no token at all, in many forms", async () => {
    const parts = hs.token(claims).split(".");
    const forms = ["x", "a.b.c", "..", "....", `${parts[0]}.${parts[1]}`, `${parts.join(".")}.x`, `=.${parts[1]}.${parts[2]}`, `${parts[0]}.${parts[1]}.=`, " ", "null", "\u0000", "世界.世界.世界"];
    for (const form of forms) assert.equal(await presented("/issued", form), "token_malformed", JSON.stringify(form));
    const raw = (header) => hs.raw(header, { ...claims, exp: 9999999999 });
    for (const header of [[], "x", null, { alg: 5 }, {}]) assert.notEqual(await presented("/issued", raw(header)), "connected", JSON.stringify(header));
  });

  it("the user's id is the user", async () => {
    for (const id of ["世界 7", "urn:user:7", "x".repeat(200)]) {
      const client = await connect(gateway, { namespace: "/issued", auth: { token: hs.token({ ...claims, account: { id } }) } });
      const { sockets } = await gateway.ok("GET", "/v1/sockets?namespace=/issued");
      assert.deepEqual(sockets.map(({ id: socket, user }) => [socket, user]), [[client.id, id]]);
      await gateway.publish("personal", [1], { namespace: "/issued", target: { users: [id] } });
      await client.event("personal");
      client.close();
      await eventually(async () => (await gateway.count("namespace=/issued")) === 0, "it to be gone");
    }
  });
});

describe("failure as a named event", () => {
  it("tells the reason, ends the namespace, and lets nothing else through", async () => {
    for (const [token, code] of [[undefined, "token_missing"], [hs.lasting(-60), "token_expired"], [foreign.HS256.token(), "token_bad_signature"]]) {
      const client = new Client(gateway.url, { namespace: "/named", query: token ? { token } : {} });
      const heard = new Recorder();
      client.socket.onAny((event, payload) => heard.push([event, payload]));
      const left = next(client.socket, "disconnect");
      const [event, { code: told, message }] = await heard.take(failure);
      assert.deepEqual([event, told, typeof message], [failure, code, "string"]);
      assert.equal((await left)[0], "io server disconnect");
      assert.equal(client.socket.active, false);
      assert.equal(heard.entries.length, 1);
    }
    assert.equal(await outcome("/named", { query: { token: hs.token() } }), "connected");
  });

  it("a client that hurries gets nothing done", async () => {
    const member = await connect(gateway, { namespace: "/named", recovery: true, auth: { token: hs.token() } });
    const socket = await new Wire(gateway).websocket();
    socket.send("40/named,", '42/named,7["say","too early"]');
    // an event for a namespace that it is not in closes the connection, after it was told why
    assert.equal(await socket.closed(), 1002);
    const answer = [/^40\/named,{"sid":/, /^42\/named,\["connection-auth-error",{.*"code":"token_missing"/, /^41\/named,$/];
    const packets = socket.messages.entries.slice(1);
    assert.equal(packets.length, answer.length, packets.join());
    for (const [index, packet] of packets.entries()) assert.match(packet, answer[index]);
    await fence(gateway, member, "/named");
    assert.deepEqual(member.all("said"), []);
    assert.equal(await gateway.count("namespace=/named"), 1);
  });
});

it("every refusal is counted, and no token is in the log", async () => {
  const failures = (code) => gateway.metric("carillon_auth_failures_total", `code="${code}"`);
  const token = hs.lasting(-60);
  for (const [value, code] of [[token, "token_expired"], [undefined, "token_missing"], [foreign.HS256.token(), "token_bad_signature"]]) {
    const before = await failures(code);
    assert.equal(await presented("/HS256", value), code);
    assert.equal((await failures(code)) - before, 1, code);
  }
  const verified = await gateway.metric("carillon_auth_verified_total");
  assert.equal(await presented("/HS256", hs.token()), "connected");
  assert.equal((await gateway.metric("carillon_auth_verified_total")) - verified, 1);
  assert.ok(!gateway.output.some((line) => line.includes(token) || line.includes(token.split(".")[2])));
});
