// Headless Chromium, and a page that carries the client script of the gateway.

import { createServer } from "node:http";
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import { within } from "./wait.js";

const executablePath = process.env.CARILLON_E2E_CHROMIUM ?? "/usr/bin/chromium";
const args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export async function startBrowser() {
  if (!existsSync(executablePath)) throw new Error(`no Chromium at ${executablePath}: run ./install`);
  return chromium.launch({ executablePath, args, headless: true });
}

/** A page of another origin than the gateway, so that CORS is at work. */
export async function servePage() {
  const server = createServer((request, response) => {
    if (request.url !== "/") return response.writeHead(404).end();
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end("<!doctype html><title>Carillon end-to-end</title>");
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { url: `http://localhost:${server.address().port}/`, close: () => server.close() };
}

/** Opens the page, loads the client script from the gateway and connects; errors of the page fail the test. */
export async function openClient(browser, page, gateway, url, options) {
  const context = await browser.newContext();
  const tab = await context.newPage();
  const errors = [];
  tab.on("pageerror", (error) => errors.push(error));
  await tab.goto(page.url);
  await tab.addScriptTag({ url: `${gateway.url}/socket.io/socket.io.js` });
  await tab.evaluate(
    ([address, more]) => {
      window.received = [];
      window.connects = [];
      const plain = (value) => {
        if (value instanceof ArrayBuffer) return { bytes: [...new Uint8Array(value)] };
        return typeof value === "function" ? "function" : value;
      };
      window.socket = io(address, { reconnectionDelay: 20, reconnectionDelayMax: 200, ...more });
      socket.on("connect", () => connects.push({ id: socket.id, recovered: socket.recovered }));
      socket.onAny((event, ...values) => received.push([event, ...values.map(plain)]));
    },
    [url, options],
  );
  const client = {
    tab,
    errors,
    run: (fn, arg) => within(tab.evaluate(fn, arg), "the page"),
    until: (fn, arg) => tab.waitForFunction(fn, arg, { timeout: 15_000 }),
    close: () => context.close(),
  };
  await client.until(() => connects.length === 1);
  return client;
}
