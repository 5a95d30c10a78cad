// What a run is told by `k6 run -e NAME=value`, checked. A scenario has defaults of its own (scenarios.js).

import { FAULTS } from "./faults.js";

const DEFAULTS = {
  // the deployment
  URL: "http://127.0.0.1:8080", // what clients connect to: a node or a balancer
  PUBLISH: "http://127.0.0.1:9100", // internal listeners that publish, with commas between; tried in turn
  API_KEY: "", // for them, if they ask for one
  NAMESPACE: "/",
  ENGINE_PATH: "/socket.io/",
  JOIN: "join", // the client event that joins the room of its argument
  // who clients are: nobody, or by tokens made from a secret, or by given ones
  JWT_SECRET: "",
  JWT_ALGORITHM: "HS256",
  JWT_CLAIMS: "{}", // more claims, as JSON
  TOKENS: "", // file with one token a line
  // the load
  VUS: 1, // each is a world of its own: its clients, rooms and publisher
  SOCKETS: 100, // clients of each
  ROOMS: 1, // rooms of each
  JOINS: 1, // rooms that each client is in
  RATE: 10, // messages per second, of each publisher
  SIZE: 100, // bytes of padding in a message
  RAMP: "5s", // over which the clients connect
  DURATION: "10s", // of publishing, when they are there
  GRACE: "20s", // for the last ones to connect, and for what is on its way at the end
  CHURN: 5, // clients that leave, and others that come, per second (churn)
  CUT_EVERY: "5s", // time between two cuts (reconnect-storm)
  CUT_SHARE: 1, // of the clients that are cut
  DELAY: "1s", // before a client comes back; doubled with each attempt, and jittered
  DELAY_MAX: "5s",
  // what passes
  DELIVERY_P99: "1s", // from publish to receiver, for messages that were not replayed
  CONNECT_P95: "5s", // from the first byte to the answered CONNECT
  NEW_SESSIONS: 0, // reconnects that may end in a new session instead of a recovered one
  // the rest
  HTML: "", // file for the report; carillon-SCENARIO.html
  JSON: "", // file for the numbers
  FAULT: "", // breaks the client on purpose (faults.js)
};

const CHOICES = {
  JWT_ALGORITHM: ["HS256", "HS384", "HS512"],
  FAULT: ["", ...FAULTS],
};

// whole numbers, at least 1
const COUNTS = ["VUS", "SOCKETS", "ROOMS", "JOINS"];
const RATES = ["RATE", "CHURN"];

const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m)$/;
const UNITS = { ms: 1, s: 1000, m: 60000 };

function parse(name, text, like) {
  if (typeof like === "number") {
    const number = Number(text);
    if (text === "" || !(number >= 0)) throw new Error(`${name}: expected a number, found "${text}"`);
    if (COUNTS.includes(name) && !(Number.isInteger(number) && number > 0)) throw new Error(`${name}: expected 1, 2, 3, …, found "${text}"`);
    if (RATES.includes(name) && number === 0) throw new Error(`${name}: must be more than 0`);
    return number;
  }
  if (DURATION.test(like)) {
    const [, count, unit] = DURATION.exec(text) ?? [];
    if (!unit) throw new Error(`${name}: expected a duration such as "500ms", "10s" or "2m", found "${text}"`);
    return Number(count) * UNITS[unit];
  }
  const choices = CHOICES[name];
  if (choices && !choices.includes(text)) throw new Error(`${name}: expected one of ${choices.filter(Boolean).join(", ")}, found "${text}"`);
  return text;
}

function claims(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`JWT_CLAIMS: expected a JSON object, found ${text}`);
  }
}

/** The settings of a scenario with these defaults; durations in milliseconds. */
export function settings(env, own) {
  const merged = { ...DEFAULTS, ...own };
  const all = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, parse(name, env[name] ?? String(merged[name]), DEFAULTS[name])]));
  if (all.JOINS > all.ROOMS) throw new Error(`JOINS: a client cannot be in ${all.JOINS} of ${all.ROOMS} rooms`);
  all.JWT_CLAIMS = claims(all.JWT_CLAIMS);
  return all;
}
