// An ordinary user with a directory and a copy of hako, for containers without any right of root's.
import { chmodSync, chownSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  Box,
  type BundleConfig,
  busyboxRootfs,
  execute,
  HAKO,
  needsHako,
  needsProgram,
  type Result,
  TIME_LIMIT,
} from "./support";

export const USER = 12_345;
export const SUBORDINATE = 400_000;

const needsUserNamespaces = (() => {
  const limit = readFileSync("/proc/sys/user/max_user_namespaces", "utf8").trim();
  return limit === "0" ? "no user namespaces on this host" : undefined;
})();
export const NEEDS = [needsHako, needsProgram("setpriv"), needsProgram("unshare"), needsUserNamespaces];
export const NEEDS_MAPS = [...NEEDS, needsProgram("newuidmap"), needsProgram("newgidmap")];

/** The user is root in the container, and the subordinate ids are the others. */
export const MAPS = {
  uidMappings: [
    { containerID: 0, hostID: USER, size: 1 },
    { containerID: 1, hostID: SUBORDINATE, size: 65_536 },
  ],
  gidMappings: [
    { containerID: 0, hostID: USER, size: 1 },
    { containerID: 1, hostID: SUBORDINATE, size: 65_536 },
  ],
};

/** Words before a command that is the user's. */
export const AS_USER = ["setpriv", "--reuid", `${USER}`, "--regid", `${USER}`, "--clear-groups"];

/** An account for the user, with subordinate ids, in files below `dir`; the line of shell that mounts them over /etc's. */
export function giveAccount(dir: string): string {
  const passwd = `${readFileSync("/etc/passwd", "utf8")}tester:x:${USER}:${USER}::/:/bin/sh\n`;
  writeFileSync(join(dir, "passwd"), passwd);
  writeFileSync(join(dir, "subids"), `tester:${SUBORDINATE}:65536\n`);
  const files = [
    ["passwd", "/etc/passwd"],
    ["subids", "/etc/subuid"],
    ["subids", "/etc/subgid"],
  ];
  return files.map(([from, to]) => `touch ${to}; mount --bind ${dir}/${from} ${to}`).join("; ");
}

/** A directory of the user's, a copy of hako that it may read, and a way to call it. */
export class Home implements Disposable {
  readonly box = new Box();
  readonly hakoPath = join(this.box.dir, "hako");
  readonly runtime = join(this.box.dir, "runtime");
  private readonly account: string;
  private bundles = 0;

  constructor() {
    chmodSync(this.box.dir, 0o755);
    copyFileSync(HAKO, this.hakoPath);
    chmodSync(this.hakoPath, 0o755);
    mkdirSync(this.runtime);
    chownSync(this.runtime, USER, USER);
    this.account = giveAccount(this.box.dir);
  }

  get env(): Record<string, string> {
    return { PATH: process.env.PATH ?? "", XDG_RUNTIME_DIR: this.runtime, XDG_CACHE_HOME: this.runtime };
  }

  /** As the user, where /etc/subuid and /etc/subgid give it 65,536 ids. */
  hako(...args: string[]): Result {
    return this.after([], ...args);
  }

  /** The same, started by another program of the user's. */
  after(program: readonly string[], ...args: string[]): Result {
    return this.#run({}, [...program, this.hakoPath, ...args]);
  }

  /** The same, with further variables. */
  with(variables: Record<string, string>, ...args: string[]): Result {
    return this.#run(variables, [this.hakoPath, ...args]);
  }

  #run(variables: Record<string, string>, command: readonly string[]): Result {
    const line = `${this.account}; exec "$@"`;
    const words = ["--mount", "sh", "-c", line, "sh", ...AS_USER, ...command];
    return execute("unshare", words, { env: { ...this.env, ...variables }, timeout: 2 * TIME_LIMIT });
  }

  /** A bundle as `hako spec --rootless` makes it, but for the ids of this user. */
  bundle(args: string[], change: (config: BundleConfig) => void = () => {}): string {
    const dir = join(this.box.dir, `bundle-${this.bundles++}`);
    mkdirSync(dir);
    chownSync(dir, USER, USER);
    this.hako("spec", "--rootless", "--bundle", dir);
    busyboxRootfs(join(dir, "rootfs"));
    execute("chown", ["-R", `${USER}:${USER}`, dir]);
    const file = join(dir, "config.json");
    const config = JSON.parse(readFileSync(file, "utf8")) as BundleConfig;
    config.process.args = args;
    config.process.terminal = false;
    change(config);
    writeFileSync(file, JSON.stringify(config));
    return dir;
  }

  [Symbol.dispose](): void {
    const list = this.hako("list", "--quiet").stdout.trim().split("\n").filter(Boolean);
    for (const id of list) this.hako("delete", "--force", id);
    this.box[Symbol.dispose]();
  }
}
