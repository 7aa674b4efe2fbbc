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
  MADV_POPULATE_WRITE,
  type Range,
  TOUCHED_PAGES,
} from "./used-memory";

const PAGE = 4096;

/**
 * Of the processor's clock, some 0.8 us a page: with less for all of them the others will be fast too. A start uses a quarter of each
 * huge page, a run half.
 */
const FAST = 0x8000;
/** Half a millisecond or more: a huge page is cleared in that at most, and fetched from the host in six. */
const SAMPLE_CYCLES = 0x180000;

/**
 * Code for x86-64 that stands before the executable's first instruction; rdx is what the dynamic loader hands on. It asks for each
 * range of the table at once, not page by page; a kernel before 5.14 refuses, and nothing is lost.
 *
 * The first call of madvise(2) is the memory allocator's, which asks for huge pages for its heap. It comes to `first`, which uses
 * some small pages that every start does: where these are fast the call ends there, for most of a huge page is cleared for nothing.
 * Where a page fault takes long it takes some huge ones, and lets the call go on if each was fast. It isn't in a virtual machine that
 * has given free memory back to its host, where all of a huge page has to be fetched again: then the heap stays in small pages too.
 * With LD_BIND_NOW the dynamic loader has looked for all functions already, and each call goes its way.
 */
function codeAndTables(
  madvise: elf.FunctionPointer,
  table: Buffer,
  { touched, hugePages }: HeapUse,
  fast: number,
): Buffer {
  const samples = Buffer.concat([
    ...hugePages.map((start) => {
      const advised = { start, end: start + HUGE_PAGE, advice: MADV_HUGEPAGE };
      return tableOf([advised, { start, end: start + PAGE, advice: MADV_POPULATE_WRITE }], 0);
    }),
    tableOf([], 0),
  ]);
  const code = (samplesAt: number, tableAt: number) =>
    Buffer.from(
      `
      4989d4                          mov    %rdx,%r12
      48813c25${hex(madvise.pointer)} cmpq   $lookUp,pointer
      ${hex(madvise.lookUp)}
      750f                            jne    1f
      488d051d000000                  lea    first(%rip),%rax
      48890425${hex(madvise.pointer)} mov    %rax,pointer
      4531c0                          1: xor %r8d,%r8d
      4c8d0d${hex(tableAt)}           lea    table(%rip),%r9
      e887000000                      call   ask
      4c89e2                          mov    %r12,%rdx
      41ff21                          jmp    *(%r9)
      b8${hex(madvise.lookUp)}        first: mov $lookUp,%eax
      48890425${hex(madvise.pointer)} mov    %rax,pointer
      83fa0e                          cmp    $MADV_HUGEPAGE,%edx
      756d                            jne    go
      4881fe${hex(HEAP_SIZE)}         cmp    $HEAP_SIZE,%rsi
      7264                            jb     go
      52                              push   %rdx
      56                              push   %rsi
      57                              push   %rdi
      50                              push   %rax
      4989f8                          mov    %rdi,%r8
      0f31                            rdtsc
      4189c2                          mov    %eax,%r10d
      498db8${hex(touched)}           lea    touched(%r8),%rdi
      b9${hex(TOUCHED_PAGES)}         mov    $pages,%ecx
      800f00                          touch: orb $0,(%rdi)
      4881c7${hex(PAGE)}              add    $PAGE,%rdi
      e2f4                            loop   touch
      0f31                            rdtsc
      4429d0                          sub    %r10d,%eax
      b9${hex(fast)}                  mov    $fast,%ecx
      39c1                            cmp    %eax,%ecx     (at small the carry says whether the call goes on)
      7329                            jae    small
      4c8d0d${hex(samplesAt)}         lea    samples(%rip),%r9
      0f31                            next: rdtsc
      4189c2                          mov    %eax,%r10d
      e823000000                      call   ask
      4983c118                        add    $24,%r9
      0f31                            rdtsc
      4429d0                          sub    %r10d,%eax
      3d${hex(SAMPLE_CYCLES)}         cmp    $SAMPLE_CYCLES,%eax
      7308                            jae    small
      4983790800                      cmpq   $0,8(%r9)
      75df                            jne    next
      f9                              stc
      58                              small: pop %rax
      5f                              pop    %rdi
      5e                              pop    %rsi
      5a                              pop    %rdx
      7203                            jb     go
      31c0                            xor    %eax,%eax
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
      `
        .replaceAll(/^ *([0-9a-f]*).*$/gm, "$1")
        .replaceAll("\n", ""),
      "hex",
    );
  const size = code(0, 0).length;
  const [afterLeaOfTable, afterLeaOfSamples] = [0x2a, 0x89];
  return Buffer.concat([
    code(size - afterLeaOfSamples, size + samples.length - afterLeaOfTable),
    samples,
    table,
  ]);
}

/** 32 bits as an instruction holds them. */
function hex(number: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(number);
  return bytes.toString("hex");
}

/** Rows of start, length and advice; the row of length 0 that ends it has something else as its start. */
function tableOf(ranges: readonly Range[], last: number): Buffer {
  const rows = [...ranges.map(({ start, end, advice }) => [start, end - start, advice]), [last, 0, 0]];
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

/** The executable with `ranges` asked for at its start. `fast` is how many cycles some pages of the heap may take before huge ones are tried. */
export function askingForMemory(bytes: Buffer, ranges: readonly Range[], heap: HeapUse, fast = FAST): Buffer {
  const { segments } = elf.parse(bytes);
  const mapped = ranges.flatMap((range) => withinSegments(range, segments));
  const madvise = elf.functionPointer(bytes, "madvise");
  return withEntryCode(bytes, {
    code: (_, next) => codeAndTables(madvise, tableOf(mapped, next), heap, fast),
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
