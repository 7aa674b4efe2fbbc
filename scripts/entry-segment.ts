// Adds code to an executable that runs before its first instruction.
import * as elf from "./elf";

/** Of a segment that the build adds: more than the largest page of any x86-64, and the largest of arm64. */
const ALIGNMENT = 0x10000;
const CODE_ALIGNMENT = 16;

export interface EntryCode {
  /** The code, which goes on at the address `next`; it lies at `address` itself. */
  code(address: number, next: number): Buffer;
  /** Where in it its first instruction is. */
  entry: number;
  /** How many bytes of zeros it can write to; they lie at `memoryAddress` of where the code is. */
  memory: number;
}

/** Where the memory of added code lies: its code has less than one unit of alignment. */
export function memoryAddress(codeAddress: number): number {
  return Math.floor(codeAddress / ALIGNMENT) * ALIGNMENT + ALIGNMENT;
}

/**
 * The executable with code before its entry. The code comes in a segment of its own, with the table of segments, which has no
 * room for one more where it was.
 */
export function withEntryCode(bytes: Buffer, { code, entry, memory }: EntryCode): Buffer {
  const { view, entry: next, segments } = elf.parse(bytes);
  const added = memory === 0 ? 1 : 2;
  // Linux before 5.18, and qemu-user, take the table's address for the first segment's plus the table's place in the file.
  const first = segments.find(({ type }) => type === elf.PT_LOAD);
  const shift = (first?.address ?? 0) - (first?.offset ?? 0);
  const end = Math.max(...segments.map((segment) => segment.address + segment.memorySize));
  const address = roundUp(Math.max(end, bytes.length + shift), ALIGNMENT);
  const offset = address - shift;
  const table = Buffer.alloc(roundUp((segments.length + added) * elf.PROGRAM_HEADER, CODE_ALIGNMENT));
  const tableSize = (segments.length + added) * elf.PROGRAM_HEADER;
  const tableAt = Number(view.getBigUint64(elf.PROGRAM_HEADERS_AT, true));
  bytes.copy(table, 0, tableAt, tableAt + segments.length * elf.PROGRAM_HEADER);
  const segment = Buffer.concat([table, code(address + table.length, next)]);
  if (memory > 0 && segment.length > ALIGNMENT) throw new Error("the added code is too long");

  const phdr = segments.findIndex(({ type }) => type === elf.PT_PHDR);
  if (phdr >= 0) place(segment, phdr, offset, address, tableSize);
  load(segment, segments.length, elf.READABLE | elf.EXECUTABLE);
  place(segment, segments.length, offset, address, segment.length);
  const writable = Buffer.alloc(memory === 0 ? 0 : ALIGNMENT - segment.length + memory);
  if (memory > 0) {
    load(segment, segments.length + 1, elf.READABLE | elf.WRITABLE);
    place(segment, segments.length + 1, offset + ALIGNMENT, address + ALIGNMENT, memory);
  }

  const result = Buffer.concat([bytes, Buffer.alloc(offset - bytes.length), segment, writable]);
  result.writeBigUInt64LE(BigInt(address + table.length + entry), elf.ENTRY_AT);
  result.writeBigUInt64LE(BigInt(offset), elf.PROGRAM_HEADERS_AT);
  result.writeUInt16LE(segments.length + added, elf.PROGRAM_HEADERS_COUNT_AT);
  return result;
}

function load(table: Buffer, row: number, flags: number): void {
  const at = row * elf.PROGRAM_HEADER;
  table.writeUInt32LE(elf.PT_LOAD, at);
  table.writeUInt32LE(flags, at + 4);
  table.writeBigUInt64LE(BigInt(ALIGNMENT), at + 48);
}

/** Where the segment of a row of the table lies, and how long it is. */
function place(table: Buffer, row: number, offset: number, address: number, size: number): void {
  const at = row * elf.PROGRAM_HEADER;
  for (const [field, value] of [
    [8, offset],
    [16, address],
    [24, address],
    [32, size],
    [40, size],
  ] as const)
    table.writeBigUInt64LE(BigInt(value), at + field);
}

function roundUp(number: number, unit: number): number {
  return Math.ceil(number / unit) * unit;
}
