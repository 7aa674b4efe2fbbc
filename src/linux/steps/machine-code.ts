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

/** Code that begins a program: it gets the address of its table, below 2^32, into r12 or x9. */
export function loadTable(table: number, machine: string = process.arch): Uint8Array {
  return machine === "arm64" ? loadArm64(table) : loadX64(table);
}

/** mov $table,%r12d */
function loadX64(table: number): Uint8Array {
  const code = new Uint8Array([0x41, 0xbc, 0, 0, 0, 0]);
  new DataView(code.buffer).setUint32(2, table, true);
  return code;
}

/** movz x9,#low; movk x9,#high,lsl #16 */
function loadArm64(table: number): Uint8Array {
  const movz = 0xd2800009;
  const movk = 0xf2a00009;
  return new Uint8Array(
    new Uint32Array([movz | ((table & 0xffff) << 5), movk | ((table >>> 16) << 5)]).buffer,
  );
}
