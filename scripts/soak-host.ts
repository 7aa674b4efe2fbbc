// Whose containers the soak test makes: root's, or an ordinary user's with a user namespace. A part of scripts/soak.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { expectNothingLeft } from "../test/e2e/left";
import { AS_USER, Home, MAPS } from "../test/e2e/rootless-home";
import { Box, type BundleConfig, busyboxRootfs, HAKO } from "../test/e2e/support";
import { podmanProfile } from "./podman-profile";
import { command, type Outcome, type Plan } from "./soak-command";
import { Receiver } from "./soak-receiver";

/** What of a container is not the same for all. */
export interface Kind {
  /** In the host's pid namespace. */
  shared: boolean;
  terminal: boolean;
  seccomp: boolean;
  noNewPrivileges: boolean;
  /** An ordinary user's: with the subordinate ids. */
  manyIds: boolean;
}

export class SoakHost implements Disposable {
  readonly #home: Home | undefined;
  readonly box: Box;
  readonly root: string;
  readonly #profile = podmanProfile() ?? {
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [{ names: ["mkdirat"], action: "SCMP_ACT_ERRNO" }],
  };
  readonly #bundles = new Map<string, string>();

  constructor(
    readonly rootless: boolean,
    /** Are there cgroups that the caller may use? */
    readonly hasCgroups: boolean,
  ) {
    this.#home = rootless ? new Home() : undefined;
    this.box = this.#home?.box ?? new Box();
    this.root = this.#home === undefined ? this.box.root : `${this.#home.runtime}/hako`;
    if (!rootless) busyboxRootfs(this.box.path("rootfs"));
  }

  #words(args: string[]): string[] {
    if (this.#home === undefined) return [HAKO, "--root", this.root, ...args];
    return [...AS_USER, this.#home.hakoPath, ...args];
  }

  get #env(): Record<string, string> {
    return this.#home?.env ?? { PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin" };
  }

  /** Runs hako to its end, unless it is killed; on a terminal by script(1). */
  hako(args: string[], plan: Plan, onTerminal = false): Promise<Outcome> {
    const words = this.#words(args);
    const line = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
    const script = ["script", "--quiet", "--return", "--command", `exec ${line}`, "/dev/null"];
    return command(this.box.dir, onTerminal ? script : words, this.#env, plan);
  }

  receiver(id: string, killAfter: number | undefined): Promise<Receiver> {
    const socket = join(this.#home?.runtime ?? this.box.dir, `${id}.sock`);
    return Receiver.start(socket, this.#words(["console", "recv", socket]), this.#env, killAfter);
  }

  bundle(args: string[], kind: Kind): string {
    const key = JSON.stringify([args, kind]);
    const found = this.#bundles.get(key) ?? this.#makeBundle(args, kind);
    this.#bundles.set(key, found);
    return found;
  }

  #makeBundle(args: string[], kind: Kind): string {
    const change = (config: BundleConfig): void => {
      // the cgroup then has the container's name
      delete config.linux.cgroupsPath;
      config.process.terminal = kind.terminal;
      config.process.noNewPrivileges = kind.noNewPrivileges;
      if (kind.seccomp) Object.assign(config.linux, { seccomp: this.#profile });
      if (this.#home === undefined) config.root.path = this.box.path("rootfs");
      else if (kind.manyIds) Object.assign(config.linux, MAPS);
      if (kind.shared) {
        config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "pid");
        const proc = config.mounts.find(({ type }) => type === "proc");
        if (this.rootless) Object.assign(proc ?? {}, { type: "bind", source: "/proc", options: ["rbind"] });
      }
    };
    return this.#home?.bundle(args, change) ?? this.box.bundle(args, change);
  }

  expectNothingLeft(): Promise<void> {
    return expectNothingLeft([this.box.dir, this.box.names], this.root);
  }

  [Symbol.dispose](): void {
    (this.#home ?? this.box)[Symbol.dispose]();
    rmSync(this.box.dir, { recursive: true, force: true });
  }
}
