import { concatenated } from "./bytes";
import type { Fd } from "./fd";
import { sealedProgram } from "./memfd";
import { syscallOn } from "./syscall";

/** ELF (elf(5)), as little as the kernel takes. */
const ELF_HEADER = 64;
const PROGRAM_HEADER = 56;
const MACHINES: Readonly<Record<string, number>> = { arm64: 183, x64: 62 };
const PT_NULL = 0;
const PT_LOAD = 1;
const PT_GNU_STACK = 0x6474e551;
const [EXECUTE, WRITE, READ] = [1, 2, 4];
/** Where the program lies; parts that differ in rights are as far from each other as the largest pages are wide. */
const CODE_AT = 0x400000;
const APART = 0x10000;
/** Where its data are. */
export const DATA_AT = CODE_AT + APART;

function programHeader(type: number, flags: number, at: number, size: number): Uint8Array {
  const header = new Uint8Array(PROGRAM_HEADER);
  const view = new DataView(header.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, flags, true);
  if (size === 0) return header;
  view.setBigUint64(8, BigInt(at), true);
  view.setBigUint64(16, BigInt(CODE_AT + at), true);
  view.setBigUint64(24, BigInt(CODE_AT + at), true);
  view.setBigUint64(32, BigInt(size), true);
  view.setBigUint64(40, BigInt(size), true);
  view.setBigUint64(48, BigInt(APART), true);
  return header;
}

function codePart(code: Uint8Array, dataSize: number, machine: string): Uint8Array {
  const before = ELF_HEADER + 3 * PROGRAM_HEADER;
  const header = new Uint8Array(ELF_HEADER);
  const view = new DataView(header.buffer);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, MACHINES[machine] ?? 0, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(CODE_AT + before), true);
  view.setBigUint64(32, BigInt(ELF_HEADER), true);
  view.setUint16(52, ELF_HEADER, true);
  view.setUint16(54, PROGRAM_HEADER, true);
  view.setUint16(56, 3, true);
  return concatenated([
    header,
    programHeader(PT_LOAD, READ | EXECUTE, 0, before + code.length),
    programHeader(dataSize === 0 ? PT_NULL : PT_LOAD, READ | WRITE, APART, dataSize),
    programHeader(PT_GNU_STACK, READ | WRITE, 0, 0),
    code,
  ]);
}

/** A program of code that begins with its first byte, and of data at `DATA_AT` if it has any, in a sealed file of no file system. */
export function elfProgram(
  name: string,
  code: Uint8Array,
  data: Uint8Array,
  machine: string = process.arch,
): Fd {
  const parts = [
    { at: 0, bytes: codePart(code, data.length, machine) },
    { at: APART, bytes: data },
  ];
  return sealedProgram(name, (file) => {
    for (const { at, bytes } of parts)
      if (bytes.length > 0) syscallOn(name, "pwrite64", file.number, bytes, bytes.length, at);
  });
}
