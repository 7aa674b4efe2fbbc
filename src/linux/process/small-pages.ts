import { PR } from "../call/constants";
import { trySyscall } from "../call/syscall";
import { tryReadText } from "../file/file";

const HUGE_PAGE = 2 << 20;
const PAGE = 4096;
/** madvise(2) */
const MADV_COLD = 20;

/**
 * Has memory that this process touches from now on come in small pages, until it is disposed of (PR_SET_THP_DISABLE, prctl(2)): for a process that
 * stays, and uses little of each. Programs that are executed meanwhile inherit it. Where a filter refuses that, nothing changes.
 */
export class SmallPages implements Disposable {
  /** Or nobody knows. */
  readonly #wereBefore = trySyscall("prctl", PR.GET_THP_DISABLE, 0, 0, 0, 0) !== 0;

  constructor() {
    this.#set(true);
  }

  #set(on: boolean): void {
    if (!this.#wereBefore) trySyscall("prctl", PR.SET_THP_DISABLE, Number(on), 0, 0, 0);
  }

  [Symbol.dispose](): void {
    this.#set(false);
  }
}

/**
 * Splits the huge pages that this process has. What of them is all zeros is given back by Linux 6.12 and later (remap_page() in mm/huge_memory.c),
 * which looks at it while nobody can write there; other kernels keep it. A kernel that doesn't tell where they are (CONFIG_PROC_PAGE_MONITOR) keeps all.
 */
export function splitHugePages(): void {
  for (const [start, end] of rangesWithHugePages(tryReadText("/proc/self/smaps") ?? ""))
    for (let at = Math.ceil(start / HUGE_PAGE) * HUGE_PAGE; at + HUGE_PAGE <= end; at += HUGE_PAGE)
      // advice for a part of one has it split first; kernels before 5.4 know no such advice
      trySyscall("madvise", at, HUGE_PAGE - PAGE, MADV_COLD);
}

/** The mappings of a smaps file that may have huge pages of their own: a process that was copied since has them in parts, and counted as small ones. */
export function rangesWithHugePages(smaps: string): [start: number, end: number][] {
  const ranges: [number, number][] = [];
  let [start, end] = [0, 0];
  for (const line of smaps.split("\n")) {
    const head = /^([\da-f]+)-([\da-f]+) /.exec(line);
    if (head !== null)
      [start, end] = [Number.parseInt(head[1] ?? "", 16), Number.parseInt(head[2] ?? "", 16)];
    else if (/^VmFlags:.* hg\b|^AnonHugePages: +[1-9]/.test(line) && ranges.at(-1)?.[0] !== start)
      ranges.push([start, end]);
  }
  return ranges;
}
