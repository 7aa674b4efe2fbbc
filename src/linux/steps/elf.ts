import { concatenated } from "../call/bytes";
import type { Fd } from "../call/fd";
import { syscallOn } from "../call/syscall";
import { sealedProgram } from "../file/memfd";

/** ELF (elf(5)), as little as the kernel takes. */
const ELF_HEADER = 64;
const PROGRAM_HEADER = 56;
const MACHINES: Readonly<Record<string, number>> = { arm64: 183, x64: 62 };
const ET_EXEC = 2;
const PT_NULL = 0;
const PT_LOAD = 1;
const PT_GNU_STACK = 0x6474e551;
const [EXECUTE, WRITE, READ] = [1, 2, 4];
/** arm64 has such kernels. */
export const LARGEST_PAGE = 0x10000;
/** Where the program lies. Parts with different rights lie that far apart. */
const CODE_AT = 0x400000;
/** Where its data are. */
export const DATA_AT = CODE_AT + LARGEST_PAGE;

/** Each is 32 bits, or with 0 behind it 64. */
function programHeader(type: number, flags: number, at: number, size: number): Int32Array {
  if (size === 0) return new Int32Array([type, flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  const address = CODE_AT + at;
  return new Int32Array([type, flags, at, 0, address, 0, address, 0, size, 0, size, 0, LARGEST_PAGE, 0]);
}

function codePart(code: Uint8Array, dataSize: number, machine: string): Uint8Array {
  const before = ELF_HEADER + 3 * PROGRAM_HEADER;
  const type = ET_EXEC | ((MACHINES[machine] ?? 0) << 16);
  const sizes = ELF_HEADER | (PROGRAM_HEADER << 16);
  const headers = [
    // first 0x7f, "ELF", of 64 bits, little-endian, version 1; last the program headers' number
    new Int32Array([
      0x464c457f,
      0x10102,
      0,
      0,
      type,
      1,
      CODE_AT + before,
      0,
      ELF_HEADER,
      0,
      0,
      0,
      0,
      sizes,
      3,
      0,
    ]),
    programHeader(PT_LOAD, READ | EXECUTE, 0, before + code.length),
    programHeader(dataSize === 0 ? PT_NULL : PT_LOAD, READ | WRITE, LARGEST_PAGE, dataSize),
    programHeader(PT_GNU_STACK, READ | WRITE, 0, 0),
  ];
  return concatenated([...headers.map(({ buffer }) => new Uint8Array(buffer)), code]);
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
    { at: LARGEST_PAGE, bytes: data },
  ];
  return sealedProgram(name, (file) => {
    for (const { at, bytes } of parts)
      if (bytes.length > 0) syscallOn(name, "pwrite64", file.number, bytes, bytes.length, at);
  });
}
