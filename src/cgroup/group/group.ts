import { errnoHint } from "../../base/errno-hints";
import { HakoError } from "../../base/errors";
import { SIG } from "../../linux/call/constants";
import { hasErrno } from "../../linux/file/file";
import { signalListed } from "../../linux/process/signal-listed";
import type { Resources } from "../../oci/config";
import { errnoOf, readValue, tryReadValue, tryWriteValue } from "../hierarchy/files";
import type { CgroupVersion } from "../hierarchy/layout";
import { controllersIn, directoryOf, makeNode, removeNode } from "../hierarchy/node";
import type { CgroupNode, CgroupRecord } from "../hierarchy/record";
import { cgroupOfProcess, type SubCgroups, subCgroups } from "../hierarchy/sub-cgroups";
import { inTree } from "../hierarchy/tree";
import type { OomWatch } from "../stats/oom";
import type { CgroupStats } from "../stats/stats-types";
import type { Cgroup, CgroupEntry, CgroupMounts } from "./cgroup";
import { type Freezer, freezerOf } from "./freezer";

/** Loaded on first use. */
const rare = {
  get controllers() {
    return require("../controllers") as typeof import("../controllers");
  },
  get stats() {
    return require("../stats/stats") as typeof import("../stats/stats");
  },
  get ownership() {
    return require("./ownership") as typeof import("./ownership");
  },
  get oom() {
    return require("../stats/oom") as typeof import("../stats/oom");
  },
};

/** Controllers whose limits can't be felt by a process before it becomes the program. */
const HARMLESS: ReadonlySet<string> = new Set(["hugetlb", "rdma", "misc", "perf_event"]);
const KILL_WAIT_MS = 10_000;

/** A container's cgroups without systemd: a directory in each hierarchy. A controller is where the host has it, on v1 or v2. */
export class Group implements Cgroup {
  readonly version: CgroupVersion;
  readonly record: CgroupRecord;
  /** The nodes whose directories this process has made, until they have limits. */
  readonly #new = new Set<CgroupNode>();

  constructor(record: CgroupRecord) {
    this.record = record;
    this.version = record.version;
  }

  protected get nodes(): CgroupNode[] {
    return this.record.nodes.filter((node) => node.skipped === undefined);
  }

  get #directories(): string[] {
    return this.nodes.map(directoryOf);
  }

  get #freezer(): Freezer | undefined {
    return freezerOf(this.nodes);
  }

  protected get freezes(): boolean {
    return this.#freezer !== undefined;
  }

  get paths(): Record<string, string> {
    const paths: Record<string, string> = {};
    for (const node of this.nodes) {
      for (const key of node.unified ? [""] : node.controllers) paths[key] = directoryOf(node);
    }
    return paths;
  }

  create(): void {
    this.createUnified();
    this.createOthers();
  }

  createUnified(): void {
    this.make(({ unified }) => unified);
  }

  createOthers(): void {
    this.make(({ unified }) => !unified);
  }

  protected make(part: (node: CgroupNode) => boolean): void {
    for (const node of this.nodes.filter(part))
      if (makeNode(node, this.version === "v2")) this.#new.add(node);
    const made = this.nodes.filter(part);
    for (const dir of made.filter((node) => !this.#new.has(node)).map(directoryOf)) {
      const used = this.processesBelow(dir);
      if (used.length === 0) continue;
      throw new HakoError({
        code: "exists",
        message: `cgroup ${dir} is in use: ${used.length} processes, ${used[0]} for one`,
        hint: "choose another id, or another linux.cgroupsPath where config.json has one",
      });
    }
    const frozen = freezerOf(made)?.frozenBy();
    if (frozen !== undefined) {
      throw new HakoError({
        code: "state",
        message: `cgroup ${frozen.dir} is frozen: a process in it would not run`,
        hint: `thaw it first: echo ${frozen.thaw} > ${frozen.dir}/${frozen.file}`,
      });
    }
  }

  apply(resources: Resources): void {
    const { record } = this;
    const hasNone = record.nodes.length > 0 && this.nodes.length === 0;
    // device rules have no effect there, and limits are refused: `applyResources`, which most of those containers need not load
    if (hasNone && Object.keys(resources).every((field) => field === "devices")) record.devices = true;
    else rare.controllers.applyResources(record, resources, this.#new);
    this.#new.clear();
  }

  entry(below: SubCgroups = new Map()): CgroupEntry {
    const entry: CgroupEntry = { born: undefined, self: this.ownLists(below), others: [] };
    for (const node of this.nodes) {
      const dir = `${directoryOf(node)}${below.get(node) ?? ""}`;
      if (!node.unified) continue;
      if (entry.born === undefined && controllersIn(dir).every((name) => HARMLESS.has(name)))
        entry.born = dir;
      else entry.others.push(dir);
    }
    return entry;
  }

  ownLists(below: SubCgroups = new Map()): string[] {
    const v1 = this.nodes.filter(({ unified }) => !unified);
    return v1.map((node) => `${directoryOf(node)}${below.get(node) ?? ""}/tasks`);
  }

  subCgroups(words: readonly string[]): SubCgroups {
    return subCgroups(this.nodes, words);
  }

  join(pid: number): void {
    for (const node of this.nodes) this.joinDirectory(pid, directoryOf(node), node.unified);
  }

  joinOthers(pid: number, { others }: CgroupEntry, beside?: number): void {
    for (const dir of others) {
      try {
        this.joinDirectory(pid, dir, true);
      } catch (error) {
        // the container made cgroups below its own, which takes no processes any more: the new one goes to its first process
        const cgroup =
          beside === undefined || !hasErrno(error, "EBUSY") ? undefined : cgroupOfProcess(beside, "");
        const node = this.nodes.find(({ unified }) => unified);
        if (cgroup === undefined || node === undefined) throw error;
        this.joinDirectory(pid, `${node.mountpoint}${cgroup}`, true);
      }
    }
  }

  protected joinDirectory(pid: number, dir: string, unified: boolean): void {
    const failed = tryWriteValue(`${dir}/cgroup.procs`, String(pid));
    if (failed === undefined) return;
    // The unified hierarchy of a hybrid host limits nothing, so whoever has no rights there goes without.
    if (unified && this.version === "hybrid" && ["EOPNOTSUPP", "EACCES"].includes(failed.errno ?? "")) return;
    throw new HakoError({
      code: "system",
      message: `process ${pid} cannot join cgroup ${dir}`,
      errno: failed.errno,
      hint: errnoHint("join a cgroup", failed.errno, {
        cgroup: dir,
        type: () => tryReadValue(`${dir}/cgroup.type`),
      }),
      cause: failed,
    });
  }

  settle(): void {}

  pids(): number[] {
    const pids = new Set(this.#directories.flatMap((dir) => this.processesBelow(dir)));
    return [...pids].sort((a, b) => a - b);
  }

  /** The processes in one of the container's directories and in all below it. */
  protected processesBelow(dir: string): number[] {
    return inTree(dir, processesIn);
  }

  takeBack(pids: readonly number[]): void {
    const freezer = this.#freezer;
    if (freezer !== undefined) for (const pid of pids) freezer.takeBack(pid);
  }

  kill(): void {
    if (this.record.nodes.some((node) => node.path === "/")) {
      throw new HakoError({
        code: "state",
        message: "the root cgroup is no container's: nothing was killed",
      });
    }
    // On v1 a process in a frozen cgroup does not die; the container may have frozen cgroups below its own.
    this.#freezer?.thawTree();
    for (const node of this.nodes) if (node.unified) tryWriteValue(`${directoryOf(node)}/cgroup.kill`, "1");
    const deadline = performance.now() + KILL_WAIT_MS;
    for (let wait = 1; ; wait = Math.min(wait * 2, 20)) {
      const pids = this.pids().filter((pid) => pid !== process.pid);
      if (pids.length === 0) return;
      this.signal(SIG.KILL);
      if (performance.now() > deadline) {
        const frozen = this.#freezer?.frozenBy();
        throw new HakoError({
          code: "state",
          message: `processes ${pids.join(", ")} in cgroup ${this.#directories[0]} do not die`,
          hint:
            frozen === undefined
              ? "they may wait for a device (state D in ps)"
              : `cgroup ${frozen.dir} is frozen: echo ${frozen.thaw} > ${frozen.dir}/${frozen.file}`,
        });
      }
      Bun.sleepSync(wait);
    }
  }

  signal(number: number, but?: number): void {
    signalListed(() => this.pids().filter((pid) => pid !== but), number);
  }

  freeze(): void {
    const freezer = this.#freezer;
    if (freezer === undefined) {
      throw new HakoError({
        code: "unsupported",
        message: "no freezer controller: the container cannot be paused",
        hint: "mount the cgroup v1 freezer or cgroup2",
      });
    }
    freezer.freeze();
  }

  thaw(): void {
    this.#freezer?.thaw();
  }

  frozen(): boolean {
    return this.#freezer?.frozen() ?? false;
  }

  stats(): CgroupStats {
    return rare.stats.statsOf(this.record);
  }

  giveTo(uid: number): void {
    // on v1 it would not be safe: a cgroup's limits can be changed from within
    const unified = this.version === "v2" ? this.nodes.find((node) => node.unified) : undefined;
    if (unified === undefined) return;
    rare.ownership.giveCgroup(unified, uid);
  }

  watchOom(): OomWatch | undefined {
    return rare.oom.watchOomOf(this.record);
  }

  destroy(): void {
    for (const node of this.record.nodes) {
      try {
        removeNode(node);
      } catch (thrown) {
        const dir = directoryOf(node);
        const left = inTree(dir, processesIn);
        throw new HakoError({
          code: "system",
          errno: errnoOf(thrown),
          message: `remove cgroup ${dir}${left.length === 0 ? "" : ` with processes ${left.join(", ")}`}`,
          cause: thrown,
        });
      }
    }
  }

  mounts(): CgroupMounts {
    return {
      version: this.version,
      hierarchies: this.nodes.map(({ mountpoint, name, path }) => ({ mountpoint, name, path })),
    };
  }
}

/** Errors for the list of processes of a cgroup that has been removed, or that is threaded (v2), which has no list. */
const NO_PROCESSES: readonly (string | undefined)[] = ["ENOENT", "ENOTDIR", "ENODEV", "EOPNOTSUPP"];

/** The processes of one cgroup. Those that this pid namespace can't see are in the list as 0, and left out. */
function processesIn(dir: string): number[] {
  let text: string;
  try {
    text = readValue(`${dir}/cgroup.procs`);
  } catch (thrown) {
    if (NO_PROCESSES.includes(errnoOf(thrown))) return [];
    throw thrown;
  }
  return text
    .split("\n")
    .map(Number)
    .filter((pid) => pid > 0);
}
