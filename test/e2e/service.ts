// A service's cgroups: what a container has around it where its caller was not started at the top of the hierarchies.
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { readLayout } from "../../src/cgroup";
import { execute, type Result } from "./support";

const { hierarchies } = readLayout();
/** A new one of these is empty, and takes no processes. */
const V1_CPUSET = ["cpuset.cpus", "cpuset.mems"];

/** Cgroups of one path, "/svc" and "/svc/main", in some hierarchies; they and what is in them are gone with the test. */
export class Service implements Disposable {
  readonly path: string;
  readonly mountpoints: string[];

  constructor(names: string, mountpoints = hierarchies.map(({ mountpoint }) => mountpoint)) {
    this.path = `/${names}svc`;
    this.mountpoints = mountpoints;
    for (const dir of this.directories("/main")) {
      mkdirSync(dir, { recursive: true });
      for (const cpuset of V1_CPUSET) this.#inherit(dir, cpuset);
    }
  }

  #inherit(dir: string, file: string): void {
    for (const each of [join(dir, ".."), dir]) {
      const above = join(each, "..", file);
      // v2's root has no such file, and there an empty one is no obstacle
      if (
        existsSync(above) &&
        existsSync(join(each, file)) &&
        readFileSync(join(each, file), "utf8").trim() === ""
      )
        writeFileSync(join(each, file), readFileSync(above, "utf8"));
    }
  }

  directories(below = ""): string[] {
    return this.mountpoints.map((mountpoint) => `${mountpoint}${this.path}${below}`);
  }

  /** Runs a command in the service's cgroups below. */
  run(below: string, command: string[]): Result {
    const move = this.directories(below).map((dir) => `echo $$ > ${dir}/cgroup.procs`);
    return execute("sh", ["-ec", `${move.join("\n")}\nexec "$@"`, "sh", ...command]);
  }

  [Symbol.dispose](): void {
    for (const dir of this.directories()) {
      for (const below of readdirSync(dir, { withFileTypes: true })) {
        if (below.isDirectory()) rmdirSync(join(dir, below.name));
      }
      rmdirSync(dir);
    }
  }
}

/** Delegates a cgroup to an ordinary user, as systemd does it. */
export function give(dir: string, user: number): void {
  chownSync(dir, user, user);
  for (const name of ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks"]) {
    // tasks is v1's; it has no subtree_control
    if (existsSync(join(dir, name))) chownSync(join(dir, name), user, user);
  }
}
