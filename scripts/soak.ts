// The frame of the soak test: cgroups of its own around soak-run.ts, in which every process that it leaves behind is found,
// whatever its name is. Called by scripts/soak.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { giveAccount, USER } from "../test/e2e/rootless-home";
import { give, Service } from "../test/e2e/service";
import { whereIs } from "./soak-command";
import { SOAK_OPTIONS } from "./soak-options";

const ENDS_MS = 5000;

const { values } = parseArgs({ options: SOAK_OPTIONS });

/** Controllers that cgroups below may have, on v2: somebody who is no root can't give them. */
function giveControllers(mountpoint: string): void {
  const file = join(mountpoint, "cgroup.controllers");
  let controllers: string;
  try {
    controllers = readFileSync(file, "utf8").trim();
  } catch {
    return; // v1
  }
  for (const dir of [mountpoint, join(mountpoint, service.path)])
    for (const name of controllers.split(" ").filter(Boolean))
      writeFileSync(join(dir, "cgroup.subtree_control"), `+${name}`);
}

/** The processes of a cgroup and of those below. */
function processesOf(dir: string): string[] {
  try {
    const below = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const own = readFileSync(join(dir, "cgroup.procs"), "utf8").split("\n").filter(Boolean);
    return [...own, ...below.flatMap(({ name }) => processesOf(join(dir, name)))];
  } catch {
    return []; // it is gone
  }
}

/** What is left in the cgroups when all has ended, after some seconds. */
async function leftProcesses(): Promise<string[]> {
  for (const end = Date.now() + ENDS_MS; ; await Bun.sleep(100)) {
    const left = [...new Set(service.directories().flatMap(processesOf))];
    if (left.length === 0 || Date.now() > end) return left;
  }
}

using service = new Service(`hako-e2e-soak-${process.pid}-`);
const dir = mkdtempSync("/tmp/hako-e2e-soak-");
try {
  if (values.delegated) {
    for (const each of [...service.directories(), ...service.directories("/main")]) give(each, USER);
    for (const mountpoint of service.mountpoints) giveControllers(mountpoint);
  }
  const enter = service.directories("/main").map((each) => `echo $$ > ${each}/cgroup.procs`);
  const account = values.rootless ? giveAccount(dir) : ":";
  const line = `${enter.join("; ")}; ${account}; exec "$@"`;
  const inside = [process.execPath, "run", join(import.meta.dir, "soak-run.ts"), ...process.argv.slice(2)];
  const words = ["--mount", "sh", "-ec", line, "sh", ...inside];
  const run = spawn("unshare", words, { stdio: "inherit" });
  // a terminal's own signals reach it, too
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => run.kill(signal));
  const status = await new Promise<number | null>((done) => run.on("exit", done));
  const left = await leftProcesses();
  for (const pid of left) console.log(`left behind: process ${whereIs(Number(pid))}`);
  // else their cgroups stay too
  for (const pid of left) process.kill(Number(pid), "SIGKILL");
  await leftProcesses();
  process.exitCode = left.length === 0 ? (status ?? 1) : 1;
} finally {
  rmSync(dir, { recursive: true, force: true });
}
