// Makes an executable of Bun's start with fewer page faults. In a virtual machine, where each costs 10 to 20 us, they are half
// of a short command's time.
import { closeSync, openSync, readFileSync, readSync, renameSync, writeFileSync } from "node:fs";

/** elf(5), of 64 bits and little endian. */
const PROGRAM_HEADER = 56;
const SECTION_HEADER = 64;
const ENTRY_AT = 24;
const PROGRAM_HEADERS_AT = 32;
const SECTION_HEADERS_AT = 40;
const PROGRAM_HEADERS_COUNT_AT = 56;
const SECTION_HEADERS_COUNT_AT = 60;
const [PT_LOAD, PT_PHDR] = [1, 6];
const READ_EXECUTE = 5;
const EXECUTABLE = 1;
const WRITABLE = 2;
const PAGE = 4096;
const HUGE_PAGE = 0x200000;
const ALIGNMENT = 0x10000;

/** Linux's pagemap.rst: an entry of 8 bytes a page; its highest byte says what the page is. */
const PRESENT = 0x80;
const OF_A_FILE = 0x20;

/** madvise(2) */
const MADV_HUGEPAGE = 14;
const MADV_POPULATE_READ = 22;
const MADV_POPULATE_WRITE = 23;
/** Asking for a few pages too many costs less than another system call. */
const GAP = 16 * PAGE;

/** Memory that a start uses; `advice` says how it is asked for. */
interface Range {
  start: number;
  end: number;
  advice: number;
}

interface Segment {
  type: number;
  flags: number;
  offset: number;
  address: number;
  fileSize: number;
  memorySize: number;
}

interface Executable {
  view: DataView;
  entry: number;
  segments: Segment[];
}

function parse(bytes: Buffer): Executable {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const table = Number(view.getBigUint64(PROGRAM_HEADERS_AT, true));
  const segments = Array.from({ length: view.getUint16(PROGRAM_HEADERS_COUNT_AT, true) }, (_, index) => {
    const at = table + index * PROGRAM_HEADER;
    const number = (offset: number) => Number(view.getBigUint64(at + offset, true));
    return {
      type: view.getUint32(at, true),
      flags: view.getUint32(at + 4, true),
      offset: number(8),
      address: number(16),
      fileSize: number(32),
      memorySize: number(40),
    };
  });
  return { view, entry: Number(view.getBigUint64(ENTRY_AT, true)), segments };
}

/**
 * The executable's own memory that a process of it holds, from its pagemap: code and constants, and data that it has written. Data
 * that it has only read are left out: most of them are what Bun has put into the executable, and lie elsewhere in the next.
 */
export function usedMemory(executable: string, pid: number): Range[] {
  const ranges: Range[] = [];
  const pagemap = openSync(`/proc/${pid}/pagemap`, "r");
  try {
    for (const { type, flags, address, memorySize } of parse(readFileSync(executable)).segments) {
      if (type !== PT_LOAD) continue;
      const first = Math.floor(address / PAGE);
      const entries = Buffer.alloc(8 * (Math.ceil((address + memorySize) / PAGE) - first));
      readSync(pagemap, entries, 0, entries.length, 8 * first);
      for (let page = 0; 8 * page < entries.length; page++) {
        const state = entries[8 * page + 7] ?? 0;
        const written = (state & OF_A_FILE) === 0;
        if ((state & PRESENT) === 0 || ((flags & WRITABLE) !== 0 && !written)) continue;
        add(ranges, (first + page) * PAGE, written ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
      }
    }
  } finally {
    closeSync(pagemap);
  }
  return ranges;
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

/**
 * Code for x86-64 that stands before the executable's first instruction. It asks for each range of the table at once, not page by
 * page; a kernel before 5.14 refuses, and nothing is lost. rdx is what the dynamic loader hands on.
 */
const CODE = Buffer.from(
  `
  4989d4          mov    %rdx,%r12
  488d1d22000000  lea    table(%rip),%rbx
  488b7308        mov    8(%rbx),%rsi
  4885f6          test   %rsi,%rsi
  7413            je     done
  488b3b          mov    (%rbx),%rdi
  8b5310          mov    16(%rbx),%edx
  b81c000000      mov    $28,%eax
  0f05            syscall
  4883c318        add    $24,%rbx
  ebe4            jmp    next
  4c89e2          mov    %r12,%rdx
  ff23            jmp    *(%rbx)
  90              nop
  `
    .replaceAll(/^ *([0-9a-f]*).*$/gm, "$1")
    .replaceAll("\n", ""),
  "hex",
);

/** What of a range lies in segments; between them nothing is mapped. */
function withinSegments({ start, end, advice }: Range, segments: readonly Segment[]): Range[] {
  return segments
    .filter(({ type }) => type === PT_LOAD)
    .map(({ address, memorySize }) => ({
      start: Math.max(start, Math.floor(address / PAGE) * PAGE),
      end: Math.min(end, Math.ceil((address + memorySize) / PAGE) * PAGE),
      advice,
    }))
    .filter((part) => part.start < part.end);
}

function codeAndTable(ranges: readonly Range[], entry: number): Buffer {
  const rows = [...ranges.map(({ start, end, advice }) => [start, end - start, advice]), [entry, 0, 0]];
  return Buffer.concat([CODE, Buffer.from(new BigUint64Array(rows.flat().map(BigInt)).buffer)]);
}

/**
 * The executable with `ranges` asked for at its start. The code comes in a segment of its own, with the table of segments, which
 * has no room for one more where it was.
 */
export function askingForMemory(bytes: Buffer, ranges: readonly Range[]): Buffer {
  const { view, entry, segments } = parse(bytes);
  const mapped = ranges.flatMap((range) => withinSegments(range, segments));
  const offset = roundUp(bytes.length);
  const address = roundUp(Math.max(...segments.map((segment) => segment.address + segment.memorySize)));
  const table = Buffer.alloc((segments.length + 1) * PROGRAM_HEADER);
  const tableAt = Number(view.getBigUint64(PROGRAM_HEADERS_AT, true));
  bytes.copy(table, 0, tableAt, tableAt + segments.length * PROGRAM_HEADER);
  const segment = Buffer.concat([table, codeAndTable(mapped, entry)]);

  const phdr = segments.findIndex(({ type }) => type === PT_PHDR);
  if (phdr >= 0) place(segment, phdr, offset, address, table.length);
  const own = segments.length * PROGRAM_HEADER;
  segment.writeUInt32LE(PT_LOAD, own);
  segment.writeUInt32LE(READ_EXECUTE, own + 4);
  segment.writeBigUInt64LE(BigInt(ALIGNMENT), own + 48);
  place(segment, segments.length, offset, address, segment.length);

  const result = Buffer.concat([bytes, Buffer.alloc(offset - bytes.length), segment]);
  result.writeBigUInt64LE(BigInt(address + table.length), ENTRY_AT);
  result.writeBigUInt64LE(BigInt(offset), PROGRAM_HEADERS_AT);
  result.writeUInt16LE(segments.length + 1, PROGRAM_HEADERS_COUNT_AT);
  return result;
}

/** Where the segment of a row of the table lies, and how long it is. */
function place(table: Buffer, row: number, offset: number, address: number, size: number): void {
  const at = row * PROGRAM_HEADER;
  for (const [field, value] of [
    [8, offset],
    [16, address],
    [24, address],
    [32, size],
    [40, size],
  ] as const)
    table.writeBigUInt64LE(BigInt(value), at + field);
}

function roundUp(number: number): number {
  return Math.ceil(number / ALIGNMENT) * ALIGNMENT;
}

/**
 * The executable whose code lies in the file as it does in memory, seen from the next huge page: a kernel that holds the file in
 * huge pages (its page cache's large folios) then maps 2 MiB of code with one fault, not 16 pages of it.
 */
export function alignedForHugePages(bytes: Buffer): Buffer {
  const { segments } = parse(bytes);
  const code = segments.find(({ type, flags }) => type === PT_LOAD && (flags & EXECUTABLE) !== 0);
  if (code === undefined) throw new Error("the executable has no code");
  const at = code.offset;
  const added = (code.address - at) % HUGE_PAGE;
  const result = Buffer.concat([bytes.subarray(0, at), Buffer.alloc(added), bytes.subarray(at)]);
  const move = (position: number) => {
    const offset = Number(result.readBigUInt64LE(position));
    if (offset >= at) result.writeBigUInt64LE(BigInt(offset + added), position);
    return Number(result.readBigUInt64LE(position));
  };
  for (const [tableAt, countAt, row, field] of [
    [PROGRAM_HEADERS_AT, PROGRAM_HEADERS_COUNT_AT, PROGRAM_HEADER, 8],
    [SECTION_HEADERS_AT, SECTION_HEADERS_COUNT_AT, SECTION_HEADER, 24],
  ] as const) {
    const table = move(tableAt);
    for (let index = 0; index < result.readUInt16LE(countAt); index++) move(table + index * row + field);
  }
  return result;
}

/** Code and constants, to be read into huge pages where the file system has such. */
function toBeHuge(bytes: Buffer): Range[] {
  return parse(bytes)
    .segments.filter(({ type, flags }) => type === PT_LOAD && (flags & WRITABLE) === 0)
    .map(({ address, memorySize }) => ({
      start: Math.floor(address / PAGE) * PAGE,
      end: Math.ceil((address + memorySize) / PAGE) * PAGE,
      advice: MADV_HUGEPAGE,
    }));
}

/** The executable whose memory allocator asks for huge pages: its option allow_thp is 2, as with MIMALLOC_ALLOW_THP=2. */
export function preferringHugePages(bytes: Buffer): Buffer {
  const option = mimallocOption(bytes, "allow_thp");
  const result = Buffer.from(bytes);
  result.writeBigInt64LE(2n, option);
  return result;
}

/**
 * Where the value of an option of mimalloc lies in the file. Its table has a row for each: value (8 bytes), state and number (4
 * bytes each), address of the name (mimalloc's src/options.c).
 */
function mimallocOption(bytes: Buffer, name: string): number {
  const { segments } = parse(bytes);
  const at = bytes.indexOf(`\0${name}\0`) + 1;
  const segment = segments.find(
    ({ type, offset, fileSize }) => type === PT_LOAD && offset <= at && at < offset + fileSize,
  );
  if (at === 0 || segment === undefined)
    throw new Error(`mimalloc's option ${name} is not in the executable`);
  const pointer = Buffer.alloc(8);
  pointer.writeBigUInt64LE(BigInt(at - segment.offset + segment.address));
  const reference = bytes.indexOf(pointer);
  if (reference < 0 || bytes.indexOf(pointer, reference + 1) >= 0)
    throw new Error(`mimalloc's option ${name} is not in one table of options`);
  return reference - 16;
}

/** Changes the file that Bun compiled. It is written anew: what is in the page cache in small pieces would stay so. */
export function withFewerPageFaults(file: string, ranges: readonly Range[]): void {
  const bytes = alignedForHugePages(preferringHugePages(readFileSync(file)));
  const changed = `${file}.changed`;
  writeFileSync(changed, askingForMemory(bytes, [...toBeHuge(bytes), ...ranges]), { mode: 0o755 });
  renameSync(changed, file);
}
