// Makes an executable of Bun's start with fewer page faults. In a virtual machine, where each costs 10 to 20 us, they are half
// of a short command's time.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import * as elf from "./elf";
import { withEntryCode } from "./entry-segment";
import {
  HEAP_SIZE,
  type HeapUse,
  HUGE_PAGE,
  MADV_HUGEPAGE,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  type Range,
  TOUCHED_PAGES,
} from "./used-memory";

const PAGE = 4096;

/** Half a millisecond or more: a huge page is cleared in that at most, and fetched from the host in six. */
const SAMPLE_CYCLES = 0x180000;
/** Of the processor's clock. */
const LIMITS = {
  /**
   * Some 0.8 us for a page of the heap: with less for all of some the others will be fast too. A start uses a quarter of each huge page, a
   * run half.
   */
  fast: TOUCHED_PAGES * 0x800,
  /** Some 8 us for a page of code: a fault that takes less costs less than to ask for the 16 pages that it brings. */
  slow: 0x5000,
};

/** What differs in the code: addresses, limits, and how far behind the instructions that use them two tables lie. */
type Numbers = Readonly<
  Record<"pointer" | "lookUp" | "next" | "touched" | "fast" | "slow" | "asked" | "samples", number>
>;

/**
 * Code for x86-64 that stands before the executable's first instruction; rdx is what the dynamic loader hands on. It asks for each
 * range of `asked` at once, not page by page; a kernel before 5.14 refuses, and nothing is lost. For those of `read` it asks where the
 * first page of code takes long.
 *
 * The first call of madvise(2) is the memory allocator's, which asks for huge pages for its heap. It comes to `first`, which answers in
 * the kernel's place: it uses some small pages that every start does, and where these are fast the heap stays in small pages, for most
 * of a huge page is cleared for nothing. Where a page fault takes long it takes the huge pages that a start uses much of, and, if each was
 * fast, has all be huge behind those that a start uses. It isn't in a virtual machine that has given free memory back to its host,
 * where all of a huge page has to be fetched again. With LD_BIND_NOW the dynamic loader has looked for all functions already, and each
 * call goes its way.
 *
 * A test assembles the text beside the hexadecimal.
 */
export function listing(numbers: Numbers): string {
  return `
    4989d4                          mov    %rdx,%r12
    48813c25${hex(numbers.pointer)} cmpq   $lookUp,pointer
    ${hex(numbers.lookUp)}
    750f                            jne    1f
    488d0542000000                  lea    first(%rip),%rax
    48890425${hex(numbers.pointer)} mov    %rax,pointer
    4531c0                          1: xor %r8d,%r8d
    4c8d0d${hex(numbers.asked)}          lea    asked(%rip),%r9
    e89f000000                      call   ask
    4983c118                        add    $24,%r9
    0f31                            rdtsc
    4189c2                          mov    %eax,%r10d
    8a0425${hex(numbers.next)}              mov    next,%al
    0f31                            rdtsc
    4429d0                          sub    %r10d,%eax
    3d${hex(numbers.slow)}                  cmp    $slow,%eax
    7205                            jb     2f
    e87e000000                      call   ask
    4c89e2                          2: mov %r12,%rdx
    b8${hex(numbers.next)}                  mov    $next,%eax
    ffe0                            jmp    *%rax
    b8${hex(numbers.lookUp)}        first: mov $lookUp,%eax
    48890425${hex(numbers.pointer)} mov    %rax,pointer
    83fa0e                          cmp    $MADV_HUGEPAGE,%edx
    7560                            jne    go
    4881fe${hex(HEAP_SIZE)}         cmp    $HEAP_SIZE,%rsi
    7257                            jb     go
    4989f8                          mov    %rdi,%r8
    0f31                            rdtsc
    4189c2                          mov    %eax,%r10d
    498db8${hex(numbers.touched)}           lea    touched(%r8),%rdi
    b9${hex(TOUCHED_PAGES)}         mov    $pages,%ecx
    800f00                          touch: orb $0,(%rdi)
    4881c7${hex(PAGE)}              add    $PAGE,%rdi
    e2f4                            loop   touch
    0f31                            rdtsc
    4429d0                          sub    %r10d,%eax
    3d${hex(numbers.fast)}                  cmp    $fast,%eax
    7228                            jb     small
    4c8d0d${hex(numbers.samples)}         lea    samples(%rip),%r9
    0f31                            sample: rdtsc
    4189c2                          mov    %eax,%r10d
    e81c000000                      call   ask
    4983c118                        add    $24,%r9
    0f31                            rdtsc
    4429d0                          sub    %r10d,%eax
    3d${hex(SAMPLE_CYCLES)}         cmp    $SAMPLE_CYCLES,%eax
    7307                            jae    small
    4983790800                      cmpq   $0,8(%r9)
    75df                            jne    sample
    31c0                            small: xor %eax,%eax
    c3                              ret
    ffe0                            go: jmp *%rax
    498b7108                        ask: mov 8(%r9),%rsi
    4885f6                          test   %rsi,%rsi
    7417                            je     done
    498b39                          mov    (%r9),%rdi
    4c01c7                          add    %r8,%rdi
    418b5110                        mov    16(%r9),%edx
    b81c000000                      mov    $28,%eax
    0f05                            syscall
    4983c118                        add    $24,%r9
    ebe0                            jmp    ask
    c3                              done: ret
  `;
}

/** The code of a listing: its first column. */
export function listedCode(text: string): Buffer {
  return Buffer.from(text.replaceAll(/^ *([0-9a-f]*).*$/gm, "$1").replaceAll("\n", ""), "hex");
}

/** The code, and the tables that it goes by. */
function codeAndTables(
  madvise: elf.FunctionPointer,
  next: number,
  ranges: readonly Range[],
  { touched, hugePages, rest }: HeapUse,
  { fast, slow }: typeof LIMITS,
): Buffer {
  const isRead = ({ advice }: Range) => advice === MADV_POPULATE_READ;
  const tables = [
    tableOf(ranges.filter((range) => !isRead(range))),
    tableOf(ranges.filter(isRead)),
    ...hugePages.map((start) => {
      const advised = { start, end: start + HUGE_PAGE, advice: MADV_HUGEPAGE };
      return tableOf([advised, { start, end: start + PAGE, advice: MADV_POPULATE_WRITE }]);
    }),
    tableOf([{ start: rest, end: HEAP_SIZE, advice: MADV_HUGEPAGE }]),
    tableOf([]),
  ];
  const samples = (tables[0]?.length ?? 0) + (tables[1]?.length ?? 0);
  const { pointer, lookUp } = madvise;
  const code = (asked: number, samplesAt: number) =>
    listedCode(listing({ pointer, lookUp, next, touched, fast, slow, asked, samples: samplesAt }));
  const size = code(0, 0).length;
  const [afterLeaOfAsked, afterLeaOfSamples] = [0x2a, 0xa8];
  return Buffer.concat([code(size - afterLeaOfAsked, size + samples - afterLeaOfSamples), ...tables]);
}

/** 32 bits as an instruction holds them. */
function hex(number: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(number);
  return bytes.toString("hex");
}

/** Rows of start, length and advice; one of length 0 ends it. */
function tableOf(ranges: readonly Range[]): Buffer {
  const rows = [...ranges.map(({ start, end, advice }) => [start, end - start, advice]), [0, 0, 0]];
  return Buffer.from(new BigUint64Array(rows.flat().map(BigInt)).buffer);
}

/** What of a range lies in segments; between them nothing is mapped. */
function withinSegments({ start, end, advice }: Range, segments: readonly elf.Segment[]): Range[] {
  return segments
    .filter(({ type }) => type === elf.PT_LOAD)
    .map(({ address, memorySize }) => ({
      start: Math.max(start, Math.floor(address / PAGE) * PAGE),
      end: Math.min(end, Math.ceil((address + memorySize) / PAGE) * PAGE),
      advice,
    }))
    .filter((part) => part.start < part.end);
}

/** The executable with `ranges` asked for at its start. */
export function askingForMemory(
  bytes: Buffer,
  ranges: readonly Range[],
  heap: HeapUse,
  limits: Partial<typeof LIMITS> = {},
): Buffer {
  const { segments } = elf.parse(bytes);
  const mapped = ranges.flatMap((range) => withinSegments(range, segments));
  const madvise = elf.functionPointer(bytes, "madvise");
  return withEntryCode(bytes, {
    code: (_, next) => codeAndTables(madvise, next, mapped, heap, { ...LIMITS, ...limits }),
    entry: 0,
    memory: 0,
  });
}

/**
 * The executable whose code lies in the file as it does in memory, seen from the next huge page: a kernel that holds the file in
 * huge pages (its page cache's large folios) then maps 2 MiB of code with one fault, not 16 pages of it.
 */
export function alignedForHugePages(bytes: Buffer): Buffer {
  const { segments } = elf.parse(bytes);
  const code = segments.find(({ type, flags }) => type === elf.PT_LOAD && (flags & elf.EXECUTABLE) !== 0);
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
    [elf.PROGRAM_HEADERS_AT, elf.PROGRAM_HEADERS_COUNT_AT, elf.PROGRAM_HEADER, 8],
    [elf.SECTION_HEADERS_AT, elf.SECTION_HEADERS_COUNT_AT, elf.SECTION_HEADER, 24],
  ] as const) {
    const table = move(tableAt);
    for (let index = 0; index < result.readUInt16LE(countAt); index++) move(table + index * row + field);
  }
  return result;
}

/** Code and constants, to be read into huge pages where the file system has such. */
function toBeHuge(bytes: Buffer): Range[] {
  return elf
    .parse(bytes)
    .segments.filter(({ type, flags }) => type === elf.PT_LOAD && (flags & elf.WRITABLE) === 0)
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
  const { segments } = elf.parse(bytes);
  const at = bytes.indexOf(`\0${name}\0`) + 1;
  const segment = segments.find(
    ({ type, offset, fileSize }) => type === elf.PT_LOAD && offset <= at && at < offset + fileSize,
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
export function withFewerPageFaults(file: string, ranges: readonly Range[], heap: HeapUse): void {
  const bytes = alignedForHugePages(preferringHugePages(readFileSync(file)));
  const changed = `${file}.changed`;
  writeFileSync(changed, askingForMemory(bytes, [...toBeHuge(bytes), ...ranges], heap), { mode: 0o755 });
  renameSync(changed, file);
}
