import { programCode } from "./clone-code";
import type { Fd } from "./fd";
import { sealedProgram } from "./memfd";
import { type Memory, withAddresses } from "./memory";
import { type Step, tableOf, tableSize } from "./steps";
import { syscallOn } from "./syscall";

/** ELF (elf(5)), as little as the kernel takes. */
const ELF_HEADER = 64;
const PROGRAM_HEADER = 56;
const MACHINE = process.arch === "arm64" ? 183 : 62;
const PT_LOAD = 1;
const PT_GNU_STACK = 0x6474e551;
const [EXECUTE, WRITE, READ] = [1, 2, 4];
/** Where the program lies; parts that differ in rights are as far from each other as the largest pages are wide. */
const CODE_AT = 0x400000;
const APART = 0x10000;
const DATA_AT = CODE_AT + APART;
const ALIGNMENT = 16;
const NAME = "hako:launcher";

/** Lays memory out behind a table, each piece once. */
class Layout {
  readonly parts: { at: number; bytes: Uint8Array }[] = [];
  readonly #placed = new Map<Memory, bigint>();

  constructor(public end: number) {}

  readonly place = (memory: Memory): bigint => {
    const known = this.#placed.get(memory);
    if (known !== undefined) return known;
    const bytes =
      "pointers" in memory
        ? withAddresses(memory, this.place)
        : new Uint8Array(memory.buffer, memory.byteOffset, memory.byteLength);
    const at = Math.ceil(this.end / ALIGNMENT) * ALIGNMENT;
    this.end = at + bytes.length;
    this.parts.push({ at, bytes });
    const address = BigInt(DATA_AT + at);
    this.#placed.set(memory, address);
    return address;
  };
}

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

function codePart(dataSize: number): Uint8Array {
  const code = programCode(DATA_AT);
  const before = ELF_HEADER + 3 * PROGRAM_HEADER;
  const header = new Uint8Array(ELF_HEADER);
  const view = new DataView(header.buffer);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, MACHINE, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(CODE_AT + before), true);
  view.setBigUint64(32, BigInt(ELF_HEADER), true);
  view.setUint16(52, ELF_HEADER, true);
  view.setUint16(54, PROGRAM_HEADER, true);
  view.setUint16(56, 3, true);
  return Buffer.concat([
    header,
    programHeader(PT_LOAD, READ | EXECUTE, 0, before + code.length),
    programHeader(PT_LOAD, READ | WRITE, APART, dataSize),
    programHeader(PT_GNU_STACK, READ | WRITE, 0, 0),
    code,
  ]);
}

/** The bytes of the program and where in its file they are. */
function launcherParts(
  report: number,
  steps: readonly Step[],
  first: number,
): { at: number; bytes: Uint8Array }[] {
  const layout = new Layout(tableSize(steps.length));
  const { words } = tableOf(report, steps, layout.place, first);
  const data = new Uint8Array(layout.end);
  data.set(new Uint8Array(words.buffer));
  for (const { at, bytes } of layout.parts) data.set(bytes, at);
  return [
    { at: 0, bytes: codePart(data.length) },
    { at: APART, bytes: data },
  ];
}

/**
 * A program that makes the steps' system calls and nothing else, in a sealed file of no file system. Where it fails it
 * writes the step's number, from `first` on, and result to the descriptor `report`.
 */
export function launcher(report: number, steps: readonly Step[], first: number): Fd {
  const parts = launcherParts(report, steps, first);
  return sealedProgram(NAME, (file) => {
    for (const { at, bytes } of parts) syscallOn(NAME, "pwrite64", file.number, bytes, bytes.length, at);
  });
}
