import { HakoError } from "../../base/errors";
import { readTable, tryReadValue, tryWriteValue, upwards, writeValue } from "../hierarchy/files";
import { directoryOf } from "../hierarchy/node";
import type { CgroupNode } from "../hierarchy/record";
import { cgroupOfProcess } from "../hierarchy/sub-cgroups";
import { walkTree } from "../hierarchy/tree";

const WAIT_MS = 5000;

/** Stops and continues all processes of a cgroup. */
export interface Freezer {
  freeze(): void;
  thaw(): void;
  frozen(): boolean;
  /** Thaws the cgroup and all below it. */
  thawTree(): void;
  /**
   * Takes a process that is to die out of a frozen cgroup that is not the container's: somebody has moved it there, and that cgroup
   * stays frozen. On v2 nothing is to be done: a frozen process dies.
   */
  takeBack(pid: number): void;
  /** The cgroup whose own state freezes this one: this one, or one above; undefined if none does. */
  frozenBy(): FrozenBy | undefined;
}

/** A frozen cgroup, its file, and the word in that file that thaws it. */
export interface FrozenBy {
  dir: string;
  file: string;
  thaw: string;
}

/** The v1 freezer where it is mounted, else the unified hierarchy's. */
export function freezerOf(nodes: readonly CgroupNode[]): Freezer | undefined {
  const v1 = nodes.find((node) => node.controllers.includes("freezer"));
  if (v1 !== undefined) return new FreezerV1(v1);
  const unified = nodes.find((node) => node.unified);
  return unified === undefined ? undefined : new FreezerV2(unified);
}

function waitFor(what: string, done: (round: number) => boolean): void {
  const deadline = performance.now() + WAIT_MS;
  for (let round = 0; !done(round); round++) {
    if (performance.now() > deadline) throw new HakoError({ code: "system", errno: "EBUSY", message: what });
    Bun.sleepSync(round < 10 ? 1 : 10);
  }
}

/** The freezers of v1 and v2: a file of each cgroup, and two words for it. */
abstract class FileFreezer implements Freezer {
  protected readonly dir: string;

  constructor(
    protected readonly node: CgroupNode,
    protected readonly name: string,
    protected readonly words: { frozen: string; thawed: string },
  ) {
    this.dir = directoryOf(node);
  }

  freeze(): void {
    try {
      writeValue(this.file, this.words.frozen);
      waitFor(`cgroup ${this.dir} does not freeze`, (round) => this.hasFrozen(round));
    } catch (thrown) {
      tryWriteValue(this.file, this.words.thawed);
      throw thrown;
    }
  }

  thaw(): void {
    writeValue(this.file, this.words.thawed);
  }

  thawTree(): void {
    walkTree(this.dir, { enter: (path) => tryWriteValue(`${path}/${this.name}`, this.words.thawed) });
  }

  frozenBy(): FrozenBy | undefined {
    const dir = this.frozenDirectory();
    return dir === undefined ? undefined : { dir, file: this.name, thaw: this.words.thawed };
  }

  abstract frozen(): boolean;
  abstract takeBack(pid: number): void;

  /** Whether all processes have stopped. It is asked again and again; `round` counts from 0. */
  protected abstract hasFrozen(round: number): boolean;

  /** The directory of the cgroup, or of one above, whose own state freezes this one. */
  protected abstract frozenDirectory(): string | undefined;

  protected get file(): string {
    return `${this.dir}/${this.name}`;
  }

  /** The innermost directory, from the cgroup upwards, whose file has this value. */
  protected above(file: string, value: string): string | undefined {
    return upwards(this.dir, this.node.mountpoint).find((dir) => tryReadValue(`${dir}/${file}`) === value);
  }
}

/** The freezer controller of v1 (cgroup-v1/freezer-subsystem.rst). */
class FreezerV1 extends FileFreezer {
  constructor(node: CgroupNode) {
    super(node, "freezer.state", { frozen: "FROZEN", thawed: "THAWED" });
  }

  protected hasFrozen(round: number): boolean {
    const state = tryReadValue(this.file);
    if (state === "FROZEN") return true;
    // A process that forks meanwhile can keep the state at FREEZING: start over now and then.
    if (round % 50 === 49) tryWriteValue(this.file, "THAWED");
    if (round % 50 === 49 || state === "FREEZING") tryWriteValue(this.file, "FROZEN");
    return false;
  }

  frozen(): boolean {
    return ["FROZEN", "FREEZING"].includes(tryReadValue(this.file) ?? "");
  }

  takeBack(pid: number): void {
    const { path } = this.node;
    const now = cgroupOfProcess(pid, "freezer");
    if (now === undefined || now === path || now.startsWith(`${path}/`)) return;
    const failed = tryWriteValue(`${this.dir}/cgroup.procs`, String(pid));
    // ESRCH: the process has ended
    if (failed !== undefined && failed.errno !== "ESRCH") throw failed;
  }

  protected frozenDirectory(): string | undefined {
    return this.frozen() ? (this.above("freezer.self_freezing", "1") ?? this.dir) : undefined;
  }
}

/** The freezer of v2 (admin-guide/cgroup-v2.rst, "cgroup.freeze"). */
class FreezerV2 extends FileFreezer {
  constructor(node: CgroupNode) {
    super(node, "cgroup.freeze", { frozen: "1", thawed: "0" });
  }

  protected hasFrozen(): boolean {
    return readTable(`${this.dir}/cgroup.events`).frozen === 1;
  }

  frozen(): boolean {
    return tryReadValue(this.file) === "1";
  }

  takeBack(): void {}

  protected frozenDirectory(): string | undefined {
    return this.above(this.name, "1");
  }
}
