// The demo page at /: join a room, publish to it, see it arrive; cut the connection and see what was missed marked as recovered.

import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { after, before, it } from "node:test";
import { startBrowser } from "../harness/browser.js";
import { clientDist, reference, startGateway, temporaryFolder } from "../harness/gateway.js";
import { closeProxies, startProxy } from "../harness/proxy.js";

const options = { skip: reference && "it has no demo page" };
let gateway, browser, proxy;
before(async () => {
  if (reference) return;
  gateway = await startGateway({ demo: true, public: { client_dir: clientDist } });
  proxy = await startProxy(gateway.port);
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  closeProxies();
  await gateway?.stop();
});

it("shows messages of a room, and marks those that were recovered", options, async () => {
  const tab = await browser.newPage();
  tab.setDefaultTimeout(15_000);
  const errors = [];
  tab.on("pageerror", (error) => errors.push(String(error)));
  tab.on("response", (response) => response.status() >= 400 && !response.url().endsWith("favicon.ico") && errors.push(`${response.status()} ${response.url()}`));
  await tab.goto(`${proxy.url}/`);
  const status = (text) => tab.waitForFunction((wanted) => document.querySelector("#status").textContent.toLowerCase().match(/disconnected|connected/)?.[0] === wanted, text);
  const message = (text) => tab.locator("#messages > *", { hasText: text });
  await status("connected");

  await tab.fill("#room", "demo-room");
  await tab.click("#join");
  await tab.fill("#message", "first 你好 🔔");
  await tab.click("#publish");
  await message("first 你好 🔔").waitFor();

  await gateway.room("demo-room", "message", "from the backend");
  await message("from the backend").waitFor();
  assert.equal(await tab.locator("#messages .recovered").count(), 0, "nothing is recovered yet");

  proxy.refuse(); // it comes back when we say so
  await tab.click("#cut");
  await status("disconnected");
  for (const n of [1, 2, 3]) await gateway.room("demo-room", "message", `missed ${n}`);
  proxy.accept();
  await status("connected");
  await tab.locator("#messages .recovered").nth(2).waitFor();
  await gateway.room("demo-room", "message", "live again");
  await message("live again").waitFor();
  const recovered = await tab.locator("#messages .recovered").allTextContents();
  assert.equal(recovered.length, 3, recovered.join(" | "));
  for (const n of [1, 2, 3]) assert.ok(recovered.some((text) => text.includes(`missed ${n}`)), recovered.join(" | "));

  await tab.fill("#message", "<img src=x onerror=alert(1)>");
  await tab.click("#publish");
  await message("<img src=x").waitFor();
  assert.equal(await tab.locator("#messages img").count(), 0, "text is shown as text");

  const picture = join(temporaryFolder(), "demo.png");
  await tab.screenshot({ path: process.env.CARILLON_E2E_SCREENSHOT ?? picture, fullPage: true });
  assert.ok(statSync(process.env.CARILLON_E2E_SCREENSHOT ?? picture).size > 1000);
  assert.deepEqual(errors, []);
});

it("is not there without demo = true", options, async () => {
  const plain = await startGateway({ public: { client_dir: clientDist } });
  assert.equal((await fetch(`${plain.url}/`)).status, 404);
  await plain.stop();
});
