// The runtimes that are compared. A part of scripts/bench.
import { resolve } from "node:path";
import { STATES } from "./bench-call";

export interface Runtime {
  name: string;
  path: string;
  version: string;
  /** Before a command's name: its own state directory. */
  command: string[];
  isHako: boolean;
}

function runtime(name: string, path: string, isHako: boolean): Runtime {
  const done = Bun.spawnSync([path, "--version"]);
  const [version = ""] = done.stdout.toString().split("\n");
  if (done.exitCode !== 0) throw new Error(`${path} --version: status ${done.exitCode}`);
  // as after a boot: a file that was just written is in the page cache in smaller pieces
  Bun.spawnSync(["dd", `if=${path}`, "iflag=nocache", "count=0"], { stderr: "ignore" });
  return { name, path, version, command: [path, "--root", `${STATES}/${name}`], isHako };
}

/** hako, other builds of it (`NAME=PATH`), and what of runc and crun is installed. */
export function findRuntimes(others: readonly string[]): Runtime[] {
  Bun.spawnSync(["sync"]);
  const builds = [`hako=${process.env.HAKO ?? "dist/hako"}`, ...others].map((text) => {
    const [, name, path] = /^(\w[\w.-]*)=(.+)$/.exec(text) ?? [];
    if (name === undefined || path === undefined) throw new Error(`--with ${text}: not NAME=PATH`);
    return runtime(name, resolve(path), true);
  });
  const names = builds.map(({ name }) => name);
  const double = [...names, "runc", "crun"].find((name, index, all) => all.indexOf(name) !== index);
  if (double !== undefined) throw new Error(`--with ${double}=...: there is a ${double} already`);
  return [...builds, ...["runc", "crun"].flatMap(installed)];
}

function installed(name: string): Runtime[] {
  const path = Bun.which(name);
  if (path !== null) return [runtime(name, path, false)];
  console.error(`skipped: ${name}: not installed`);
  return [];
}
