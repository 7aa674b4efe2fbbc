// Reads executables of elf(5), of 64 bits and little endian.

export const PROGRAM_HEADER = 56;
export const ENTRY_AT = 24;
export const PROGRAM_HEADERS_AT = 32;
export const PROGRAM_HEADERS_COUNT_AT = 56;
export const SECTION_HEADER = 64;
export const SECTION_HEADERS_AT = 40;
export const SECTION_HEADERS_COUNT_AT = 60;

export const PT_LOAD = 1;
const PT_DYNAMIC = 2;
export const PT_PHDR = 6;
export const EXECUTABLE = 1;
export const WRITABLE = 2;
export const READABLE = 4;

/** Of the dynamic section: where the relocations of called functions are and how many bytes, the names of symbols, the symbols. */
const [DT_PLTRELSZ, DT_STRTAB, DT_SYMTAB, DT_JMPREL] = [2, 5, 6, 23];
const DYNAMIC_ENTRY = 16;
const RELOCATION = 24;
const SYMBOL = 24;

export interface Segment {
  type: number;
  flags: number;
  offset: number;
  address: number;
  fileSize: number;
  memorySize: number;
}

export interface Executable {
  view: DataView;
  entry: number;
  segments: Segment[];
}

export function parse(bytes: Buffer): Executable {
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

/** Where in the file an address of memory is. */
function offsetOf(segments: readonly Segment[], address: number): number {
  const segment = segments.find(
    (one) => one.type === PT_LOAD && one.address <= address && address < one.address + one.fileSize,
  );
  if (segment === undefined) throw new Error(`address 0x${address.toString(16)} is not in the executable`);
  return address - segment.address + segment.offset;
}

export interface FunctionPointer {
  /** Where the address of the function is. */
  pointer: number;
  /** What is there before the first call: code that has the dynamic loader look for the function, and goes on to it. */
  lookUp: number;
}

/** How the executable calls a function of a library. */
export function functionPointer(bytes: Buffer, name: string): FunctionPointer {
  const { view, segments } = parse(bytes);
  const number = (at: number) => Number(view.getBigUint64(at, true));
  const dynamic = new Map<number, number>();
  for (const { type, offset, fileSize } of segments) {
    if (type !== PT_DYNAMIC) continue;
    for (let at = offset; at < offset + fileSize; at += DYNAMIC_ENTRY)
      dynamic.set(number(at), number(at + 8));
  }
  const table = (tag: number) => offsetOf(segments, dynamic.get(tag) ?? 0);
  const [relocations, symbols, names] = [table(DT_JMPREL), table(DT_SYMTAB), table(DT_STRTAB)];
  for (let at = relocations; at < relocations + (dynamic.get(DT_PLTRELSZ) ?? 0); at += RELOCATION) {
    const symbol = symbols + view.getUint32(at + 12, true) * SYMBOL;
    const text = names + view.getUint32(symbol, true);
    if (bytes.toString("latin1", text, bytes.indexOf(0, text)) !== name) continue;
    const pointer = number(at);
    return { pointer, lookUp: number(offsetOf(segments, pointer)) };
  }
  throw new Error(`the executable doesn't call ${name}`);
}
