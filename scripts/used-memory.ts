// Which memory a start of the executable uses, seen in /proc.
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import * as elf from "./elf";

const PAGE = 4096;

/** Linux's pagemap.rst: an entry of 8 bytes a page; its highest byte says what the page is. */
const PRESENT = 0x80;
const OF_A_FILE = 0x20;

/** madvise(2) */
export const MADV_HUGEPAGE = 14;
export const MADV_POPULATE_READ = 22;
export const MADV_POPULATE_WRITE = 23;
/** Asking for a few pages too many costs less than another system call. */
const GAP = 16 * PAGE;

/** Memory that a start uses; `advice` says how it is asked for. */
export interface Range {
  start: number;
  end: number;
  advice: number;
}

/**
 * The executable's own memory that a process of it holds, from its pagemap: code and constants, and data that it has written. Data
 * that it has only read are left out: most of them are what Bun has put into the executable, and lie elsewhere in the next.
 */
export function usedMemory(executable: string, pid: number): Range[] {
  const ranges: Range[] = [];
  const pagemap = openSync(`/proc/${pid}/pagemap`, "r");
  try {
    for (const { type, flags, address, memorySize } of elf.parse(readFileSync(executable)).segments) {
      if (type !== elf.PT_LOAD) continue;
      const readOnly = (flags & elf.WRITABLE) === 0;
      for (const { page, written } of pagesOf(pagemap, address, memorySize)) {
        if (written) add(ranges, page, MADV_POPULATE_WRITE);
        else if (readOnly) add(ranges, page, MADV_POPULATE_READ);
      }
    }
  } finally {
    closeSync(pagemap);
  }
  return ranges;
}

/** Of the heap of Bun's memory allocator, which it maps at once. */
export const HEAP_SIZE = 0x40000000;
export const HUGE_PAGE = 0x200000;
/** How many of the heap's pages show how long page faults take. */
export const TOUCHED_PAGES = 8;
/** A huge page is tried if each start uses so many of its 512 pages: to clear it takes as long as 50 page faults. */
const WORTH_A_HUGE_PAGE = 50;
/** So many huge pages are tried before the whole heap may have such. */
const TRIED = 4;

/** What every start uses of the heap; both are offsets from its beginning. */
export interface HeapUse {
  /** Where `TOUCHED_PAGES` pages in a row are, most of them used. */
  touched: number;
  /** Those of which a start uses much. */
  hugePages: number[];
  /** The last one that a start uses: what a command uses beside a start is there and behind it. */
  rest: number;
}

/** The numbers of the heap's pages that a process has touched. */
export function usedHeap(pid: number): Set<number> {
  const maps = readFileSync(`/proc/${pid}/maps`, "utf8");
  const start = [...maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 *$/gm)]
    .map(([, from = "", to = ""]) => [Number.parseInt(from, 16), Number.parseInt(to, 16)] as const)
    .find(([from, to]) => to - from === HEAP_SIZE)?.[0];
  if (start === undefined) throw new Error("Bun's memory allocator has no heap of 1 GiB");
  const pagemap = openSync(`/proc/${pid}/pagemap`, "r");
  try {
    return new Set([...pagesOf(pagemap, start, HEAP_SIZE)].map(({ page }) => (page - start) / PAGE));
  } finally {
    closeSync(pagemap);
  }
}

/** What all of several starts use of the heap. */
export function heapUse(starts: readonly ReadonlySet<number>[]): HeapUse {
  const [first = new Set<number>(), ...others] = starts;
  const used = new Set([...first].filter((page) => others.every((pages) => pages.has(page))));
  // of a huge page each start may use others
  const counts = starts.map((pages) => Map.groupBy(pages, hugePageOf));
  const hugePages = [...(counts[0]?.keys() ?? [])]
    .filter((start) => counts.every((each) => (each.get(start)?.length ?? 0) >= WORTH_A_HUGE_PAGE))
    .sort((one, other) => one - other)
    .slice(0, TRIED);
  const inOrder = [...used].sort((one, other) => one - other);
  const last = inOrder.at(-1);
  if (last === undefined) throw new Error("starts use no page of the heap in common");
  const rest = hugePageOf(last);
  const row = Array.from({ length: TOUCHED_PAGES }, (_, index) => index);
  // where small pages are already, no huge one can be tried, nor have what a command uses beside a start
  const isOutside = (page: number) =>
    row.every((index) => hugePageOf(page + index) < rest && !hugePages.includes(hugePageOf(page + index)));
  const usedOf = (page: number) => row.filter((index) => used.has(page + index)).length;
  // all that starts use may be in such ones; to touch pages for nothing, at the end of the heap, costs less than to do without one of these
  const touched = inOrder
    .filter(isOutside)
    .reduce((best, page) => (usedOf(page) > usedOf(best) ? page : best), HEAP_SIZE / PAGE - TOUCHED_PAGES);
  return { touched: touched * PAGE, hugePages, rest };
}

/** Where the huge page begins that a page lies in. */
function hugePageOf(page: number): number {
  return Math.floor((page * PAGE) / HUGE_PAGE) * HUGE_PAGE;
}

/** The pages that a process has of a range, by their addresses; those of no file were written. */
function* pagesOf(pagemap: number, address: number, size: number) {
  const first = Math.floor(address / PAGE);
  const entries = Buffer.alloc(8 * (Math.ceil((address + size) / PAGE) - first));
  readSync(pagemap, entries, 0, entries.length, 8 * first);
  for (let page = 0; 8 * page < entries.length; page++) {
    const state = entries[8 * page + 7] ?? 0;
    if ((state & PRESENT) !== 0) yield { page: (first + page) * PAGE, written: (state & OF_A_FILE) === 0 };
  }
}

function add(ranges: Range[], page: number, advice: number): void {
  const last = ranges.at(-1);
  // what a start doesn't write stays the file's
  const gap = advice === MADV_POPULATE_READ ? GAP : 0;
  if (last?.advice === advice && page - last.end <= gap) last.end = page + PAGE;
  else ranges.push({ start: page, end: page + PAGE, advice });
}

/** All lists in one; what several have is there once. */
export function joined(lists: readonly (readonly Range[])[]): Range[] {
  const pages = new Map<number, number>();
  for (const { start, end, advice } of lists.flat())
    for (let page = start; page < end; page += PAGE) pages.set(page, Math.max(advice, pages.get(page) ?? 0));
  const ranges: Range[] = [];
  for (const [page, advice] of [...pages].sort(([one], [other]) => one - other)) add(ranges, page, advice);
  return ranges;
}
