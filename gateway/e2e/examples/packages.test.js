// What an example tells its users to install is what is tested here.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { it } from "node:test";
import { exampleFile } from "../harness/example.js";

const tested = JSON.parse(readFileSync(new URL("../package.json", import.meta.url))).dependencies;
const names = readdirSync(exampleFile(".", "."), { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name);

it("every example names the versions that are tested", () => {
  assert.ok(names.length >= 5, names.join());
  for (const name of names) {
    const { dependencies } = JSON.parse(readFileSync(exampleFile(name, "package.json")));
    for (const [dependency, version] of Object.entries(dependencies)) assert.equal(version, tested[dependency], `${dependency} of ${name}`);
  }
});
