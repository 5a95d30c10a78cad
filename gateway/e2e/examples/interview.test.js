// The example interview: its page in Chromium, its backend, and a client that looks at what exactly is sent.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { startBrowser } from "../harness/browser.js";
import { Client, closeClients, connect, fence } from "../harness/client.js";
import { deployments, post, startScript } from "../harness/example.js";
import { closeProxies, startProxy } from "../harness/proxy.js";
import { eventually, next } from "../harness/wait.js";

let browser;
before(async () => (browser = await startBrowser()));
after(() => browser?.close());

for (const [where, start] of Object.entries(deployments)) {
  describe(`interview on ${where}`, () => {
    let gateway, backend, proxy;
    before(async () => {
      gateway = await start("interview");
      proxy = await startProxy(new URL(gateway.url).port);
      const [{ internal }] = gateway.nodes ?? [gateway];
      backend = await startScript("interview", "backend.js", { PORT: "0", GATEWAY: proxy.url, GATEWAY_API: internal });
    });
    after(async () => {
      closeProxies();
      await backend?.end();
      await gateway?.stop();
    });
    const contexts = [];
    afterEach(async () => {
      closeClients();
      for (const context of contexts.splice(0)) await context.close();
    });

    const session = (id, change, body) => post(`${backend.url}/sessions/${id}/${change}`, body);
    const token = async (user) => (await post(`${backend.url}/sign-in`, { user })).token;
    const watcher = async (user) => connect(gateway, { recovery: true, auth: { token: await token(user) } });
    const members = (id, count) => eventually(async () => (await gateway.count(`namespace=/&room=session:${id}`)) === count, `${count} in session ${id}`);

    /** The page, signed in. */
    async function open(user) {
      const context = await browser.newContext();
      contexts.push(context);
      const tab = await context.newPage();
      tab.setDefaultTimeout(15_000);
      tab.errors = [];
      tab.logged = [];
      tab.on("pageerror", (error) => tab.errors.push(String(error)));
      tab.on("console", (message) => tab.logged.push(message.text()));
      await tab.goto(backend.url);
      await tab.fill("input[name=user]", user);
      await tab.click("#sign-in");
      await tab.waitForFunction(() => document.querySelector("#status")?.textContent.startsWith("connected as "));
      return tab;
    }
    const text = (tab, id, wanted) => tab.waitForFunction(([query, expected]) => document.querySelector(query)?.innerText.replaceAll("\n", " ") === expected, [id, wanted]);

    it("shows in the page what happens in its session, and logs every event", async () => {
      const [ann, bob] = await Promise.all([open("ann"), open("bob")]);
      for (const tab of [ann, bob]) await tab.click("#open-first-round");
      await members("first-round", 2);
      await session("first-round", "update", { title: "Backend engineer" });
      for (const [userId, role] of [["ann", "interviewer"], ["bob", "interviewee"], ["carol", "observer"]]) await session("first-round", "role", { userId, role });
      await session("first-round", "feedback", { feedbackId: "f1", updates: { text: "clear" } });
      await session("first-round", "require-feedback");
      for (const tab of [ann, bob]) {
        await text(tab, "#title", "Backend engineer");
        await text(tab, "#roles", "ann: interviewer bob: interviewee carol: observer");
        await text(tab, "#feedback", "f1: clear");
        await text(tab, "#due", "first-round");
        for (const event of ["session-updated", "role-selected", "feedback-updated", "feedback-required"]) assert.ok(tab.logged.some((line) => line.startsWith(`[socket] ${event}`)), `${event} in ${tab.logged}`);
        assert.deepEqual(tab.errors, []);
      }
    });

    it("sends each event with its fields, to the session or to its people", async () => {
      const [member, bystander] = await Promise.all([watcher("bob"), watcher("ann")]);
      assert.deepEqual(await member.emit("join-session", "second-round"), { ok: true });
      const before = Date.now();
      await session("second-round", "update", { level: 3 });
      await session("second-round", "role", { userId: "bob", role: "observer" });
      await session("second-round", "require-feedback");
      await session("second-round", "feedback", { feedbackId: "f2", updates: { score: 4 } });
      await Promise.all([fence(gateway, member), fence(gateway, bystander)]);
      const events = member.received.filter(([event]) => event !== "fence");
      const { timestamp } = events.at(-1)[1];
      assert.deepEqual(events, [
        ["session-updated", { sessionId: "second-round", session: { title: "Second round", users: ["bob"], level: 3 } }],
        ["role-selected", { sessionId: "second-round", userId: "bob", role: "observer" }],
        ["feedback-required", { sessionId: "second-round" }],
        ["feedback-updated", { sessionId: "second-round", feedbackId: "f2", updates: { score: 4 }, newFeedback: { id: "f2", score: 4 }, timestamp }],
      ]);
      assert.ok(timestamp >= before && timestamp <= Date.now());
      assert.deepEqual(bystander.received.filter(([event]) => event !== "fence"), []);
    });

    it("lets nobody into a session that he takes no part in", async () => {
      const tab = await open("ann");
      await tab.fill("input[name=session]", "second-round");
      await tab.click("#ask");
      await tab.waitForFunction(() => document.querySelector("#answer").textContent.startsWith("forbidden: "));
      const client = await watcher("ann");
      for (const id of ["second-round", "", "*", null, ["second-round"], { 0: "second-round" }, "first-round:x", "first-round\n"]) {
        const { ok, error } = await client.emit("join-session", id);
        assert.equal(ok, false, JSON.stringify(id));
        assert.equal(typeof error.message, "string");
      }
      assert.equal(await gateway.count("namespace=/&room=session:second-round"), 0);
      await session("second-round", "update", { secret: true });
      await fence(gateway, client);
      assert.deepEqual(client.all("session-updated"), []);
    });

    it("lets nobody connect without a token that the application gave", async () => {
      for (const [value, code] of [[undefined, "token_missing"], ["x.y.z", "token_malformed"], [`${await token("ann")}A`, "token_bad_signature"]]) {
        const stranger = new Client(gateway.url, { auth: { token: value } });
        const [error] = await next(stranger.socket, "connect_error");
        assert.equal(error.data?.code, code);
      }
    });

    it("misses nothing while its page is away, and leaves the session when its component goes", async () => {
      const tab = await open("ann");
      await tab.click("#open-first-round");
      await members("first-round", 1);
      const status = await tab.textContent("#status");
      proxy.refuse();
      await tab.click("#cut");
      await text(tab, "#status", "not connected");
      await session("first-round", "update", { title: "Changed meanwhile" });
      await session("first-round", "require-feedback");
      proxy.accept();
      await text(tab, "#status", status); // with the same id
      await text(tab, "#title", "Changed meanwhile");
      await text(tab, "#due", "first-round");
      assert.equal(await gateway.count("namespace=/&room=session:first-round"), 1, "still in the session");
      await tab.click("#close");
      await members("first-round", 0);
      const heard = tab.logged.length;
      await session("first-round", "update", { title: "Nobody looks" });
      await session("first-round", "require-feedback");
      await text(tab, "#due", "first-round, first-round");
      assert.ok(!tab.logged.slice(heard).some((line) => line.includes("session-updated")));
      assert.deepEqual(tab.errors, []);
    });
  });
}
