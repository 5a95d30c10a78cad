// What docs/metrics.md says that there is.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The metrics of its tables: name to "type{labels}". */
export function documented() {
  const text = readFileSync(fileURLToPath(new URL("../../../docs/metrics.md", import.meta.url)), "utf8");
  const rows = [...text.matchAll(/^\| `(\w+)` \| (\w+) \|([^|]*)\|/gm)];
  const words = (cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, label]) => label).sort();
  return new Map(rows.map(([, name, type, labels]) => [name, `${type}{${words(labels)}}`]));
}
