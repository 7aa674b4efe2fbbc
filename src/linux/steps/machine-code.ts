import { toArrayBuffer } from "bun:ffi";
import { concatenated } from "../call/bytes";
import { PROT, SIZE } from "../call/constants";
import { libc } from "../call/libc";
import { lastErrno, syscallOn, systemError } from "../call/syscall";

/** Code that does one thing, by machine (`process.arch`), in hexadecimal. */
export type MachineCode = Readonly<Record<string, string>>;

const MAP_PRIVATE_ANONYMOUS = 0x22;

/** Machine code of this processor: the parts, one behind the other. */
export function codeOf(...parts: readonly MachineCode[]): Uint8Array {
  return codeFor(process.arch, ...parts);
}

/** Machine code of a given processor: tests run another one's under an emulator. */
export function codeFor(machine: string, ...parts: readonly MachineCode[]): Uint8Array {
  return concatenated(parts.map((part) => Uint8Array.fromHex((part[machine] ?? "").replaceAll(/\s/g, ""))));
}

/** A page of machine code; its address. */
export function codePage(code: Uint8Array): number {
  const page = Number(libc("mmap")(null, SIZE.PAGE, PROT.READ | PROT.WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0));
  if (page <= 0) throw systemError("mmap", lastErrno(), "machine code");
  new Uint8Array(toArrayBuffer(page as never, 0, SIZE.PAGE)).set(code);
  syscallOn("machine code", "mprotect", page, SIZE.PAGE, PROT.READ | PROT.EXEC);
  return page;
}

/** A register: on x86-64 the instruction that moves a number into it, without the number; on arm64 which one. */
type Register = Readonly<{ x64: readonly number[]; arm64: number }>;

/** Code that puts a number below 2^32 into a register. */
export function loadNumber(
  number: number,
  { x64, arm64 }: Register,
  machine: string = process.arch,
): Uint8Array {
  if (machine !== "arm64") {
    // mov $number,register
    return new Uint8Array([
      ...x64,
      number & 0xff,
      (number >> 8) & 0xff,
      (number >> 16) & 0xff,
      number >>> 24,
    ]);
  }
  // movz register,#low; movk register,#high,lsl #16
  const movz = 0xd2800000 | ((number & 0xffff) << 5) | arm64;
  const movk = 0xf2a00000 | ((number >>> 16) << 5) | arm64;
  return new Uint8Array(new Uint32Array(number > 0xffff ? [movz, movk] : [movz]).buffer);
}

/** r12d and x9: where code that walks a table, or goes by one, has its address. */
export const TABLE_REGISTER: Register = { x64: [0x41, 0xbc], arm64: 9 };
