// The admin page in Chromium, on a phone and on a desktop: every tab is used, nothing of it is markup that somebody else wrote.
// With CARILLON_E2E_SCREENSHOTS=docs it also takes the pictures of docs/admin.md.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, it } from "node:test";
import { startBrowser } from "../harness/browser.js";
import { closeClients, connect, fence } from "../harness/client.js";
import { startCluster } from "../harness/cluster.js";
import { reference, temporaryFolder } from "../harness/gateway.js";
import { openNamespace } from "../harness/rules.js";
import { elapse, eventually } from "../harness/wait.js";

const options = { skip: reference && "it has no admin page" };
const sizes = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };
const folder = process.env.CARILLON_E2E_SCREENSHOTS;
const pictures = folder ?? temporaryFolder();
// so that the charts of the pictures have something to show
const samples = folder ? 40 : 4;
const hostile = `<img src=x onerror="document.title='owned'"> <script>document.title='owned'</script>`;
const tabs = ["overview", "rooms", "tail", "publish", "disconnect"];

const keys = { operator: ["admin", "publish", "manage", "read"], looker: ["admin"] };
const api_keys = Object.entries(keys).map(([name, scopes]) => ({ name, sha256: createHash("sha256").update(name).digest("hex"), scopes }));
let cluster, browser;
before(async () => {
  if (reference) return;
  cluster = await startCluster({ namespaces: [openNamespace("/", true), openNamespace("/orders", false)], internal: { api_keys } });
  for (const node of cluster.nodes) node.headers = { authorization: "Bearer operator" };
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await cluster?.stop();
});
afterEach(closeClients);

/** The page, in a window of this size; what a browser complains of is a failure. */
async function open(size, more = {}) {
  const context = await browser.newContext({ viewport: sizes[size], ...more });
  const tab = await context.newPage();
  tab.setDefaultTimeout(15_000);
  const complaints = [];
  tab.on("pageerror", (error) => complaints.push(String(error)));
  // a request without a key is refused, which Chromium tells in the console
  tab.on("console", (message) => message.type() === "error" && !/status of 401/.test(message.text()) && complaints.push(message.text()));
  await tab.addInitScript(() => addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));
  await tab.goto(`${cluster.nodes[0].internal}/admin/`);
  const to = async (name) => {
    await tab.click(`#tabs a[href="#${name}"]`);
    await tab.locator(`[data-tab="${name}"]`).waitFor();
  };
  const unlock = async (key) => {
    await tab.fill("#key", key);
    await tab.click("#key-form button");
  };
  const text = (selector) => tab.locator(selector).innerText();
  const says = (selector, wanted) => tab.locator(selector, { hasText: wanted }).first().waitFor();
  const fits = async (name) => {
    const [wide, width] = await tab.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= width, `${name} at ${size}: ${wide} px in ${width}`);
  };
  const close = async () => {
    assert.deepEqual(complaints, []);
    assert.equal(await tab.title(), "Carillon admin");
    await context.close();
  };
  return { tab, to, unlock, text, says, fits, close };
}

/** Some people in some rooms, so that there is something to see. */
async function populate() {
  const people = await Promise.all(Array.from({ length: 24 }, (_, n) => connect(cluster.nodes[n % 3], { recovery: true, user: `person-${n}`, transports: [n % 8 === 7 ? "polling" : "websocket"] })));
  const rooms = ["lobby", "project:atlas", "project:borealis", "match:1204", "match:1207", "order:88172"];
  for (const [n, person] of people.entries()) for (const [m, room] of rooms.entries()) if (n % (m + 1) === 0) await person.emit("join", room);
  await people[3].emit("join", hostile);
  for (const person of people.slice(0, 5)) {
    await person.cut();
    await person.back();
  }
  people.at(-1).close();
  return people.slice(0, -1);
}

/** Publishes until it is told to stop. */
function traffic() {
  let [running, n] = [true, 0];
  const done = (async () => {
    while (running) {
      n++;
      await elapse(10 + 8 * Math.sin(n / 180));
      await cluster.publish(n % 3 ? "moved" : "message", [{ player: n % 24, x: (n * 37) % 100, y: (n * 61) % 100 }], { target: { rooms: [n % 2 ? "lobby" : "match:1204"] } });
    }
  })();
  return () => ((running = false), done);
}

it("shows the deployment on a desktop and on a phone", options, async () => {
  await populate();
  for (const [size, scale] of [["desktop", 1], ["phone", 2]]) {
    const page = await open(size, { deviceScaleFactor: scale });
    const picture = join(pictures, size === "desktop" ? "admin.png" : "admin-phone.png");
    await page.fits("the key");
    await page.unlock("wrong");
    await page.says("#key-complaint", "not valid");
    await page.unlock("operator");
    await page.says("#state", "3 nodes");
    await eventually(async () => (await page.tab.locator("#nodes tbody tr").count()) === 3, "three rows");
    assert.match(await page.text("#figures"), /Connections\s+23\b/);
    await page.says("#recoveries li", /^recovered\s*\d+$/);
    const stop = traffic();
    try {
      await eventually(async () => /Deliveries\/s\s+[1-9]/.test(await page.text("#figures")), "deliveries to be seen");
      await eventually(async () => (await page.tab.locator("#figures polyline").first().getAttribute("points")).split(" ").length > samples, "some samples", 120_000);
      await page.fits("overview");
      await page.tab.screenshot({ path: picture, fullPage: size === "desktop" });
      await page.tab.setViewportSize({ ...sizes[size], width: size === "phone" ? 360 : 1024 });
      for (const name of [...tabs].reverse()) {
        await page.to(name);
        await page.fits(name);
      }
    } finally {
      await stop();
    }
    assert.ok(statSync(picture).size > 10_000);
    await page.close();
    closeClients();
    if (size === "desktop") await populate();
  }
});

it("finds rooms, and listens to one", options, async () => {
  const people = await populate();
  const page = await open("phone");
  await page.unlock("operator");
  await page.to("rooms");
  await page.says("#rooms li", "lobby");
  await page.tab.fill("#prefix", "project:");
  await eventually(async () => (await page.tab.locator("#rooms li").count()) === 2, "two rooms");
  assert.deepEqual((await page.tab.locator("#rooms li").allInnerTexts()).map((text) => text.split("\n").filter(Boolean)), [["project:atlas", "Tail", "Publish", "12"], ["project:borealis", "Tail", "Publish", "8"]]);
  await page.tab.fill("#prefix", "<img");
  await page.says("#rooms li", hostile);
  await page.tab.click("#rooms a");
  assert.equal(await page.tab.inputValue("#tail-name"), hostile);
  await page.tab.click("#tail-button");
  await page.says("#tail-note", "Listening");
  for (const n of [1, 2, 3]) await cluster.publish(hostile, [hostile, n], { target: { rooms: [hostile] } });
  await page.says("#events li", ",3");
  assert.deepEqual((await page.tab.locator("#events .args").allInnerTexts()), [1, 2, 3].map((n) => `${JSON.stringify(hostile)},${n}`));
  assert.equal(await page.tab.locator("#events b").first().innerText(), hostile);
  await page.fits("a tail");
  await page.tab.click("#tail-button");
  await eventually(async () => (await cluster.nodes[0].metric("carillon_taps")) === 0, "the tail to end");
  assert.equal(await page.tab.locator("main img, main script").count(), 0, "text is shown as text");
  assert.equal(people.length, 23);
  await page.close();
});

it("explains, publishes and disconnects", options, async () => {
  const people = await populate();
  const page = await open("desktop");
  await page.unlock("operator");
  await page.to("publish");
  await page.tab.fill("#name", "project:atlas");
  await page.tab.fill("#except", "project:borealis");
  await page.tab.fill("#event", "notice");
  await page.tab.fill("#args", "[1");
  await page.tab.click("#explain");
  await page.says("#outcome .bad", "JSON");
  await page.tab.fill("#args", `[${JSON.stringify(hostile)}, 12345678901234567890]`);
  await page.tab.click("#explain");
  await page.says("#outcome", "It is logged");
  const [, told] = (await page.text("#outcome")).match(/(\d+) sockets? gets? it/);
  await page.says("#outcome li", "left out by room project:borealis");
  await page.fits("an explanation");
  await page.tab.click("#publish");
  await page.says("#outcome", "Published, and in the log");
  await Promise.all(people.map((person) => fence(cluster, person)));
  assert.equal(people.filter((person) => person.all("notice").length === 1).length, Number(told));

  const victim = people[6];
  await page.to("disconnect");
  await page.tab.fill("#user", victim.user);
  await page.tab.click("#disconnect");
  await page.says("#sure-text", `"${victim.user}"`);
  await page.tab.click("#sure button[value='']");
  assert.equal(await cluster.count(`user=${victim.user}`), 1, "asked first");
  await page.tab.click("#disconnect");
  await page.tab.click("#sure button[value='yes']");
  await page.says("#disconnect-note", `1 session of ${victim.user} ended`);
  assert.equal(await cluster.count(`user=${victim.user}`), 0);
  await page.close();
});

it("says what a key may not do, and forgets it", options, async () => {
  const page = await open("phone", { colorScheme: "dark" });
  await page.unlock("looker");
  await page.to("publish");
  await page.says("#may-publish", "lacks the scope publish");
  assert.equal(await page.tab.isDisabled("#publish"), true);
  await page.tab.selectOption("#to", "all");
  await page.tab.click("#explain");
  await page.says("#outcome", "0 sockets get it");
  await page.to("disconnect");
  assert.equal(await page.tab.isDisabled("#disconnect"), true);
  await page.fits("disconnect");
  await page.tab.click("#forget");
  await page.tab.locator("#key-form").waitFor();
  assert.equal(await page.tab.evaluate(() => sessionStorage.length), 0);
  await page.close();
});
