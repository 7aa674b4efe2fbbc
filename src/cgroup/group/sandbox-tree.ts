import { HakoError } from "../../base/errors";
import { exists, makeDirectories } from "../../linux/file/file";
import type { CpuResources, Int } from "../controllers/resources";
import { subdirectories, tryReadValue, writeValue } from "../hierarchy/files";
import type { Layout } from "../hierarchy/layout";
import { removeNode } from "../hierarchy/node";

/** The parent of all sandboxes' cgroups. It is never limited and never removed. */
const PARENT = "hako";
const VCPU = "vcpu";

/** What a sandbox's virtual processors may use together; nothing is no limit. */
export interface CpuLimit {
  quota: bigint;
  period: bigint;
}

function positive(value: Int | undefined): bigint | undefined {
  const number = value === undefined ? 0n : BigInt(value);
  return number > 0n ? number : undefined;
}

/**
 * The sum of the containers' CPU limits, in the first one's period. A container without a quota and a period does not
 * count. Whole numbers all the way: a sum of fractions would lose microseconds.
 */
export function mergeCpuLimits(containers: readonly (CpuResources | undefined)[]): CpuLimit | undefined {
  let merged: CpuLimit | undefined;
  for (const cpu of containers) {
    const quota = positive(cpu?.quota);
    const period = positive(cpu?.period);
    if (quota === undefined || period === undefined) continue;
    merged =
      merged === undefined
        ? { quota, period }
        : { quota: merged.quota + (quota * merged.period) / period, period: merged.period };
  }
  return merged;
}

/** Finds the threads that run virtual processors; asked for each time, since they come and go. */
export type FindVcpuThreads = () => readonly number[];

/**
 * The host's cgroups of a sandbox that is a virtual machine, in every v1 hierarchy: /hako/<sandbox> for all threads of the
 * machine's process, without limits, and vcpu below it for those that run virtual processors.
 */
export class SandboxTree {
  readonly #mountpoints: { dir: string; controllers: string[] }[];
  readonly #sandbox: string;

  constructor(layout: Layout, sandboxId: string) {
    if (!/^[\w+.-]+$/.test(sandboxId) || sandboxId === "." || sandboxId === "..") {
      throw new HakoError({ code: "config", message: `"${sandboxId}" is no sandbox id` });
    }
    const v1 = layout.hierarchies.filter((hierarchy) => !hierarchy.unified);
    this.#mountpoints = v1.map(({ mountpoint, controllers }) => ({ dir: mountpoint, controllers }));
    this.#sandbox = sandboxId;
  }

  /** The sandbox's directories, one in each hierarchy. */
  get directories(): string[] {
    return this.#mountpoints.map(({ dir }) => `${dir}/${PARENT}/${this.#sandbox}`);
  }

  /** Makes the tree; what is there is used. */
  create(): void {
    for (const { dir, controllers } of this.#mountpoints) {
      let path = dir;
      for (const name of [PARENT, this.#sandbox, VCPU]) {
        const parent = path;
        path += `/${name}`;
        makeDirectories(path, 0o755);
        if (controllers.includes("cpuset")) inheritCpuset(parent, path);
      }
    }
  }

  /** Limits the virtual processors and moves their threads; before that, the whole process to the sandbox. */
  apply(limit: CpuLimit | undefined, findThreads: FindVcpuThreads): void {
    if (this.directories.some((dir) => !exists(`${dir}/${VCPU}`))) {
      throw new HakoError({ code: "state", message: `sandbox ${this.#sandbox} has no cgroups yet` });
    }
    const cpu = this.#mountpoints.findIndex(({ controllers }) => controllers.includes("cpu"));
    const cpuDir = this.directories[cpu];
    if (cpuDir !== undefined) {
      // without a limit an earlier one is lifted
      writeValue(`${cpuDir}/${VCPU}/cpu.cfs_quota_us`, "-1");
      if (limit !== undefined) {
        writeValue(`${cpuDir}/${VCPU}/cpu.cfs_period_us`, String(limit.period));
        writeValue(`${cpuDir}/${VCPU}/cpu.cfs_quota_us`, String(limit.quota));
      }
    }
    const threads = findThreads().filter((thread) => thread > 0);
    const [first] = threads;
    if (first === undefined) return;
    for (const dir of this.directories) {
      writeValue(`${dir}/cgroup.procs`, String(first));
      for (const thread of threads) writeValue(`${dir}/${VCPU}/tasks`, String(thread));
    }
  }

  /** Moves what is left to the parent and removes the sandbox's directories. */
  destroy(): void {
    for (const { dir, controllers } of this.#mountpoints) {
      const sandbox = `${dir}/${PARENT}/${this.#sandbox}`;
      for (const cgroup of [...subdirectories(sandbox), sandbox]) {
        for (const pid of (tryReadValue(`${cgroup}/cgroup.procs`) ?? "").split("\n")) {
          if (pid !== "") writeValue(`${dir}/${PARENT}/cgroup.procs`, pid);
        }
      }
      const path = `/${PARENT}/${this.#sandbox}`;
      removeNode({
        mountpoint: dir,
        name: controllers.join(","),
        controllers,
        unified: false,
        path,
        made: [sandbox],
      });
    }
  }
}

/** A new cpuset is empty and takes no threads. */
function inheritCpuset(parent: string, dir: string): void {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    const value = tryReadValue(`${parent}/${file}`) ?? "";
    if (value !== "" && tryReadValue(`${dir}/${file}`) === "") writeValue(`${dir}/${file}`, value);
  }
}
