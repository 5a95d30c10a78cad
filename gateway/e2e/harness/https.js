// `fetch` for an address with an authority, and perhaps a client certificate, of the test's own.

import https from "node:https";

/** `tls`: `ca`, `cert` and `key` as texts, or other options of Node's `tls.connect`. Fails as `fetch` does when there is no answer. */
export function secureFetch(url, { method = "GET", headers = {}, body } = {}, tls = {}) {
  return new Promise((done, fail) => {
    const request = https.request(url, { method, headers, agent: false, ...tls }, (response) => {
      const pieces = [];
      response.on("data", (piece) => pieces.push(piece));
      response.once("error", fail);
      response.once("end", () => done(new Response(pieces.length ? Buffer.concat(pieces) : null, { status: response.statusCode, headers: response.headers })));
    });
    request.once("error", fail);
    request.end(body);
  });
}
