import { FdList } from "../call/fd";
import { openPid, signalOpened } from "./process";

/** How many descriptors are open at one time. */
const OPEN_AT_ONCE = 256;

/**
 * Sends a signal to each process of a list but this one, through descriptors; says whether there was any. Only processes that are in the list
 * before and after they were opened get it: in between a pid may have become another process's.
 */
export function signalListed(list: () => readonly number[], signal: number): boolean {
  const pids = list().filter((pid) => pid !== process.pid);
  let any = false;
  for (let start = 0; start < pids.length; start += OPEN_AT_ONCE) {
    using opened = new FdList();
    const members = pids.slice(start, start + OPEN_AT_ONCE).flatMap((pid) => {
      const fd = openPid(pid);
      if (fd === undefined) return [];
      opened.add(fd);
      return [{ pid, fd }];
    });
    const still = new Set(list());
    for (const { pid, fd } of members) if (still.has(pid) && signalOpened(fd, signal)) any = true;
  }
  return any;
}
