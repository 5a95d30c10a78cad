// Runs on a node, among all its processes: looks at the process of a container as the kernel sees it, or kills it.
//
//   node agent.js inspect|kill CONTAINER_ID

import { readFileSync, readdirSync } from "node:fs";

const [action, id] = process.argv.slice(2);

const read = (pid, file) => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return ""; // it has ended meanwhile
  }
};

const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && read(name, "cgroup").includes(id));
if (pids.length !== 1) throw new Error(`expected one process in container ${id}, found ${pids.length}`);
const [pid] = pids;

if (action === "kill") {
  process.kill(Number(pid), "SIGKILL");
  console.log(JSON.stringify({ killed: pid }));
} else {
  const status = new Map(read(pid, "status").split("\n").map((line) => line.split(/:\s*/)));
  const root = read(pid, "mountinfo").split("\n").map((line) => line.split(" ")).find((fields) => fields[4] === "/");
  console.log(JSON.stringify({
    user: Number(status.get("Uid").split("\t")[1]),
    capabilities: BigInt(`0x${status.get("CapBnd")}`).toString(16),
    noNewPrivileges: status.get("NoNewPrivs") === "1",
    seccomp: status.get("Seccomp") === "2",
    readOnlyRoot: root?.[5].split(",").includes("ro"),
  }));
}
