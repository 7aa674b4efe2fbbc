import { programCode } from "./clone-code";
import { DATA_AT, elfProgram } from "./elf";
import type { Fd } from "./fd";
import { type Memory, withAddresses } from "./memory";
import { type Step, tableOf, tableSize } from "./steps";

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

/**
 * A program that makes the steps' system calls and nothing else. Where it fails it writes the step's number, from `first` on,
 * and result to the descriptor `report`.
 */
export function launcher(report: number, steps: readonly Step[], first: number): Fd {
  const layout = new Layout(tableSize(steps.length));
  const { words } = tableOf(report, steps, layout.place, first);
  const data = new Uint8Array(layout.end);
  data.set(new Uint8Array(words.buffer));
  for (const { at, bytes } of layout.parts) data.set(bytes, at);
  return elfProgram(NAME, programCode(DATA_AT), data);
}
