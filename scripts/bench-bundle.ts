// The bundles that are run: what `runc spec` writes, but without a terminal and ambient capabilities, which not every version of
// runc gives. A part of scripts/bench.
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { call, DIR } from "./bench-call";
import type { Runtime } from "./bench-runtimes";

interface Config {
  process: { terminal: boolean; args: string[]; capabilities?: Record<string, string[]> };
  root: { path: string };
  linux: { cgroupsPath?: string; seccomp?: object };
}

const ROOTFS = join(DIR, "rootfs");
export const SLEEP = ["sleep", "600"];

/** One for each program. */
export class Bundles {
  readonly #spec: Config;
  readonly #made = new Map<string, string>();
  #ids = 0;

  constructor(runtimes: readonly Runtime[]) {
    const busybox = Bun.which("busybox");
    if (busybox === null) throw new Error("busybox-static is not installed");
    for (const name of ["bin", "dev", "proc", "sys", "tmp", "etc"])
      mkdirSync(join(ROOTFS, name), { recursive: true });
    copyFileSync(busybox, join(ROOTFS, "bin/busybox"));
    for (const applet of ["true", "sleep", "sh", "dd"]) symlinkSync("busybox", join(ROOTFS, "bin", applet));
    const author = runtimes.find(({ name }) => name === "runc") ?? runtimes[0];
    const path = join(DIR, "spec");
    mkdirSync(path);
    call([author?.path ?? "", "spec", "--bundle", path]);
    this.#spec = JSON.parse(readFileSync(join(path, "config.json"), "utf8"));
  }

  /** `seccomp`: `linux.seccomp` of config.json. */
  of(args: string[], seccomp?: object): string {
    const key = JSON.stringify([args, seccomp !== undefined]);
    const path = this.#made.get(key) ?? this.#make(args, seccomp);
    this.#made.set(key, path);
    return path;
  }

  #make(args: string[], seccomp: object | undefined): string {
    const path = join(DIR, `bundle-${this.#made.size}`);
    mkdirSync(path);
    const config = structuredClone(this.#spec);
    Object.assign(config.process, { terminal: false, args });
    delete config.process.capabilities?.ambient;
    delete config.linux.cgroupsPath;
    config.root.path = ROOTFS;
    if (seccomp !== undefined) config.linux.seccomp = seccomp;
    writeFileSync(join(path, "config.json"), JSON.stringify(config));
    return path;
  }

  /** A container id that is new. */
  id(): string {
    return `hako-bench-${process.pid}-${this.#ids++}`;
  }
}
