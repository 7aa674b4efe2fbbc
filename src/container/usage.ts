import { asHakoError, type HakoError } from "../base/errors";
import type { CgroupStats } from "../cgroup";
import type { BlkioEntry, Pressure } from "../cgroup/stats/stats-types";
import { countedLimit } from "../cgroup/stats/unlimited";
import { driverOf } from "../drivers";
import type { ContainerId } from "../oci/id";
import { readContainer } from "../state/record";
import { containerIds } from "../state/root";
import { statusOf } from "./status";

/** What a container uses, as `top --json` tells it; null: nothing counts it here, or there is no limit. */
export interface Usage {
  id: ContainerId;
  sandbox: string;
  root: string;
  status: string;
  /** Of one processor, since the sample before; 0 in the first one. */
  cpuPercent: number;
  memoryBytes: number;
  memoryLimitBytes: number | null;
  pids: number;
  pidsLimit: number | null;
  /** Since the container's start. */
  readBytes: number;
  writtenBytes: number;
  readBytesPerSecond: number;
  writtenBytesPerSecond: number;
  /** How much of the last ten seconds some of its processes waited (pressure stall information), in percent. */
  pressure: { cpu: number | null; memory: number | null; io: number | null };
}

/** Counters at a moment, by which the next sample says how much there was since. */
interface Counted {
  at: number;
  cpu: number;
  usage: Usage;
}

/** Samples what containers use; each says what was used since the one before. */
export class UsageSampler {
  #before = new Map<string, Counted>();

  /** `failed` hears of containers that can't be looked at; those that were deleted meanwhile, and other runtimes', are left out. */
  constructor(
    private readonly roots: () => readonly string[],
    private readonly failed: (error: HakoError) => void,
  ) {}

  /** All containers that have a process, by state directory and id. */
  take(): Usage[] {
    const now = new Map<string, Counted>();
    for (const root of this.roots()) {
      this.#trying(() => {
        for (const id of containerIds(root)) this.#trying(() => this.#count(root, id, now));
      });
    }
    this.#before = now;
    return [...now.values()].map(({ usage }) => usage);
  }

  #trying(action: () => void): void {
    try {
      action();
    } catch (thrown) {
      const error = asHakoError(thrown);
      if (error.code !== "not-found" && error.code !== "unsupported") this.failed(error);
    }
  }

  #count(root: string, id: ContainerId, now: Map<string, Counted>): void {
    const container = readContainer(root, id);
    const status = statusOf(container);
    if (status === "stopped" || status === "creating") return;
    const { record } = container;
    const stats = driverOf(record).stats(container);
    const key = `${root}/${id}/${record.created}`;
    const counted = { at: performance.now(), cpu: Number(stats.cpu.usage.total) };
    const rates = ratesOf(stats, counted, this.#before.get(key));
    now.set(key, { ...counted, usage: { id, sandbox: record.sandbox, root, status, ...rates } });
  }
}

function ratesOf(
  { memory, pids, blkio, cpu }: CgroupStats,
  now: Omit<Counted, "usage">,
  before: Counted | undefined,
): Omit<Usage, "id" | "sandbox" | "root" | "status"> {
  const milliseconds = before === undefined ? 0 : now.at - before.at;
  const each = (more: number) => (milliseconds <= 0 ? 0 : Math.max(0, more) / milliseconds);
  const [read, written] = [
    done(blkio.ioServiceBytesRecursive, "Read"),
    done(blkio.ioServiceBytesRecursive, "Write"),
  ];
  return {
    cpuPercent: Math.round(each(now.cpu - (before?.cpu ?? 0)) / 1e3) / 10,
    memoryBytes: Number(memory.usage.usage),
    memoryLimitBytes: countedLimit(memory.usage.limit) ?? null,
    pids: pids.current,
    pidsLimit: countedLimit(pids.limit) ?? null,
    ...{ readBytes: read, writtenBytes: written },
    readBytesPerSecond: Math.round(1000 * each(read - (before?.usage.readBytes ?? 0))),
    writtenBytesPerSecond: Math.round(1000 * each(written - (before?.usage.writtenBytes ?? 0))),
    pressure: { cpu: someOf(cpu.psi), memory: someOf(memory.psi), io: someOf(blkio.psi) },
  };
}

function someOf(pressure: Pressure | undefined): number | null {
  return pressure?.some.avg10 ?? null;
}

function done(entries: readonly BlkioEntry[], what: string): number {
  return entries.filter(({ op }) => op === what).reduce((sum, { value }) => sum + Number(value), 0);
}
