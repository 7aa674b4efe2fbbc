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
  /** Thaws the cgroups below too. */
  thawTree(): void;
  /**
   * Takes a process that must die out of a frozen cgroup that is none of the container's, which stays frozen: somebody has moved it
   * there. On v2 a frozen process dies.
   */
  takeBack(pid: number): void;
  /** The cgroup whose own state freezes this one: it, or one above; undefined if none does. */
  frozenBy(): FrozenBy | undefined;
}

/** A frozen cgroup, and what in which of its files thaws it. */
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

class FreezerV1 implements Freezer {
  readonly #node: CgroupNode;

  constructor(node: CgroupNode) {
    this.#node = node;
  }

  get #dir(): string {
    return directoryOf(this.#node);
  }

  freeze(): void {
    const file = `${this.#dir}/freezer.state`;
    try {
      writeValue(file, "FROZEN");
      waitFor(`cgroup ${this.#dir} does not freeze`, (round) => {
        const state = tryReadValue(file);
        if (state === "FROZEN") return true;
        // A process that forks meanwhile can keep the state at FREEZING: start over now and then.
        if (round % 50 === 49) tryWriteValue(file, "THAWED");
        if (round % 50 === 49 || state === "FREEZING") tryWriteValue(file, "FROZEN");
        return false;
      });
    } catch (thrown) {
      tryWriteValue(file, "THAWED");
      throw thrown;
    }
  }

  thaw(): void {
    writeValue(`${this.#dir}/freezer.state`, "THAWED");
  }

  frozen(): boolean {
    return ["FROZEN", "FREEZING"].includes(tryReadValue(`${this.#dir}/freezer.state`) ?? "");
  }

  thawTree(): void {
    walkTree(this.#dir, { enter: (path) => tryWriteValue(`${path}/freezer.state`, "THAWED") });
  }

  takeBack(pid: number): void {
    const { path } = this.#node;
    const now = cgroupOfProcess(pid, "freezer");
    if (now === undefined || now === path || now.startsWith(`${path}/`)) return;
    const failed = tryWriteValue(`${this.#dir}/cgroup.procs`, String(pid));
    // it has ended
    if (failed !== undefined && failed.errno !== "ESRCH") throw failed;
  }

  frozenBy(): FrozenBy | undefined {
    if (!this.frozen()) return undefined;
    const dir = upwards(this.#dir, this.#node.mountpoint).find(
      (each) => tryReadValue(`${each}/freezer.self_freezing`) === "1",
    );
    return { dir: dir ?? this.#dir, file: "freezer.state", thaw: "THAWED" };
  }
}

class FreezerV2 implements Freezer {
  readonly #node: CgroupNode;

  constructor(node: CgroupNode) {
    this.#node = node;
  }

  get #dir(): string {
    return directoryOf(this.#node);
  }

  freeze(): void {
    try {
      writeValue(`${this.#dir}/cgroup.freeze`, "1");
      waitFor(
        `cgroup ${this.#dir} does not freeze`,
        () => readTable(`${this.#dir}/cgroup.events`).frozen === 1,
      );
    } catch (thrown) {
      tryWriteValue(`${this.#dir}/cgroup.freeze`, "0");
      throw thrown;
    }
  }

  thaw(): void {
    writeValue(`${this.#dir}/cgroup.freeze`, "0");
  }

  frozen(): boolean {
    return tryReadValue(`${this.#dir}/cgroup.freeze`) === "1";
  }

  thawTree(): void {
    walkTree(this.#dir, { enter: (path) => tryWriteValue(`${path}/cgroup.freeze`, "0") });
  }

  takeBack(): void {}

  frozenBy(): FrozenBy | undefined {
    const dir = upwards(this.#dir, this.#node.mountpoint).find(
      (each) => tryReadValue(`${each}/cgroup.freeze`) === "1",
    );
    return dir === undefined ? undefined : { dir, file: "cgroup.freeze", thaw: "0" };
  }
}
