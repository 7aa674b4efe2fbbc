import { readText } from "../../../linux/file/file";
import { parseNumberList } from "../../../linux/process/number-list";

/** What a machine could get of this host. */
export interface Capacity {
  /** Bytes of memory: a power of two, so that it stays what it is when the host's changes a little. */
  memory: number;
  cpus: number;
}

/** With so many processors at most. */
export function hostCapacity(mostCpus: number): Capacity {
  const total = Number(/^MemTotal: *(\d+) kB$/m.exec(readText("/proc/meminfo"))?.[1] ?? 0) * 1024;
  const online = parseNumberList(readText("/sys/devices/system/cpu/online").trim()) ?? [0];
  return {
    memory: 2 ** Math.ceil(Math.log2(Math.max(total, 2 ** 30))),
    cpus: Math.min(online.length, mostCpus),
  };
}
