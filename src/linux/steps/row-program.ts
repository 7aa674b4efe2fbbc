import { cString, isPointing, type Memory, withAddresses } from "../call/argument-memory";
import { type SyscallName, syscallNumberOn } from "../call/syscall-numbers";
import { DATA_AT } from "./elf";
import { OPERATION, ROW, ROWS_AT } from "./interpreter-code";
import type { Template } from "./template";

const LEAST = -(2n ** 63n);
const MOST = 2n ** 63n - 1n;
const TWO_32 = 2 ** 32;
const ALIGNMENT = 16;
/** Room for as many is made at first. */
const ROWS_AT_FIRST = 96;

/** A word of memory in place of its address. */
export interface WordContent {
  value: Memory;
  offset: number;
}

/** The address of something inside of memory. */
export interface InnerAddress {
  place: Memory;
  offset: number;
}

/** The address of the row that a label is in front of. */
export interface RowAddress {
  row: string;
}

/** What a row works with: a number, text by its address (NUL-terminated), memory by its address, and these. */
export type Operand = number | bigint | string | Memory | WordContent | InnerAddress | RowAddress;

/** Where a row goes on: at a label, at the row whose address is in a word, or at the one that follows. */
export type RowTarget = string | WordContent | undefined;

/** Where a row's result goes, and where to go on after it. */
export interface Flow {
  /** A word; with `Value` the one whose address is in that. */
  to?: Memory | InnerAddress | WordContent;
  /** The least result with which `next` comes next; of a system call 0 if not given, else any. */
  least?: Operand;
  most?: Operand;
  /** The next row if not given. */
  next?: RowTarget;
  /** Of a system call that may fail `FAILED` if not given, else the next row. */
  otherwise?: RowTarget;
}

/** Where system calls go on that fail: every program has this label if it has such a call. */
export const FAILED = "failed";
/** What follows whatever the result is. */
export const ANY: Flow = { least: LEAST };

/** Words of a program by their names, for a template. */
export type NamedWords<Name extends string> = Readonly<Record<Name, BigInt64Array>>;

export function namedWords<Name extends string>(names: readonly Name[]): NamedWords<Name> {
  return Object.fromEntries(names.map((name) => [name, word()])) as NamedWords<Name>;
}

/** A word of memory for a program, with what is in it at first. */
export function word(value: number | bigint = 0): BigInt64Array {
  return new BigInt64Array([BigInt(value)]);
}

/** What is in a word. */
export function wordIn(memory: Memory, offset = 0): WordContent {
  return { value: memory, offset };
}

/** The address of what is so many bytes inside of memory. */
export function within(memory: Memory, offset: number): InnerAddress {
  return { place: memory, offset };
}

/**
 * A program that is a table: rows, each with a system call or a simple operation on words, the results with which it is a success,
 * and which row comes next in either case. It runs in memory of some KiB (interpreter-code.ts).
 *
 * Rows are laid out as they come, for code that runs once costs most: what refers to labels and to memory is completed at the end.
 */
export class RowProgram {
  /** The word in which the address of the stack is, as execve(2) left it. */
  readonly stack: Memory = word();
  readonly #machine: string;
  /** Words of rows, as halves: big integers would cost more than all else. */
  #halves = new Int32Array(2 * ROW.words * ROWS_AT_FIRST);
  #count = 0;
  readonly #labels = new Map<string, number>();
  #fresh = 0;
  /** Halves that become addresses of rows with labels. */
  readonly #jumps: { at: number; label: string }[] = [];
  /** Halves that are offsets of memory behind the rows, and become addresses. */
  readonly #offsets: number[] = [];
  readonly #placed = new Map<string | Memory, number>();
  readonly #parts: { at: number; memory: Memory }[] = [];
  #end = 0;
  /** Where results go that nobody asks for. */
  readonly #scratch: Memory = word();

  constructor(machine: string = process.arch) {
    this.#machine = machine;
  }

  /** Names the row that comes next. */
  label(name: string): void {
    if (this.#labels.has(name)) throw new Error(`two rows are labelled ${name}`);
    this.#labels.set(name, this.#count);
  }

  /** A name that no other row has, for a label of rows that are there more than once. */
  freshLabel(): string {
    return `#${this.#fresh++}`;
  }

  call(call: SyscallName, args: readonly Operand[], flow: Flow = {}): void {
    const otherwise = "otherwise" in flow || flow.least === LEAST ? flow.otherwise : FAILED;
    this.#row(syscallNumberOn(this.#machine, call), args, flow, flow.least ?? 0, otherwise);
  }

  /** Puts a + b - c into a word, and goes on by the result. */
  sum(args: readonly [a: Operand, b?: Operand, c?: Operand], flow: Flow): void {
    this.#row(OPERATION.sum, args as readonly Operand[], flow, flow.least ?? LEAST, flow.otherwise);
  }

  /** The bits of `a` that are in `b`, too. */
  mask(a: Operand, b: Operand, flow: Flow): void {
    this.#row(OPERATION.mask, [a, b], flow, flow.least ?? LEAST, flow.otherwise);
  }

  /** The lowest `bits` of `a` go to the top, the others down by as many. */
  rotate(a: Operand, bits: Operand, flow: Flow): void {
    this.#row(OPERATION.rotate, [a, bits], flow, flow.least ?? LEAST, flow.otherwise);
  }

  /** The word at an address. */
  load(address: Operand, flow: Flow): void {
    this.#row(OPERATION.load, [address], flow, flow.least ?? LEAST, flow.otherwise);
  }

  set(to: Memory | InnerAddress, value: Operand, next?: RowTarget): void {
    this.#row(OPERATION.sum, [value], { to, next }, LEAST, undefined);
  }

  /** Goes to a label if a value is this one, else to the next row. */
  when(value: Operand, equals: Operand, next: RowTarget): void {
    this.#row(OPERATION.sum, [value], { most: equals, next }, equals, undefined);
  }

  goto(target: RowTarget): void {
    this.#row(OPERATION.sum, [0], { next: target }, LEAST, undefined);
  }

  /** Goes on as the walk of a table, and ends with that: where the interpreter has the code for it behind. */
  walk(table: Operand): void {
    this.#row(OPERATION.walk, [table], ANY, LEAST, undefined);
  }

  /** The program, of which some words are filled in later (`filledProgram`). */
  template<Name extends string>(words: NamedWords<Name>): Template<Name> {
    const at: Partial<Record<Name, number>> = {};
    for (const name in words) at[name] = this.#behind - DATA_AT + this.#place(words[name]);
    return { data: this.assemble(), at: at as Record<Name, number> };
  }

  /** The program's data, at `DATA_AT`: rows, and the memory that they work with. */
  assemble(): Uint8Array {
    const behind = this.#behind;
    const halves = this.#halves.slice(0, 2 * ROW.words * this.#count);
    for (const at of this.#offsets) halves[at] = behind + (halves[at] ?? 0);
    for (const { at, label } of this.#jumps) {
      const row = this.#labels.get(label);
      if (row === undefined || row >= this.#count) throw new Error(`no row is labelled ${label}`);
      halves[at] = addressOfRow(row);
    }
    const end = Math.ceil(this.#end / ALIGNMENT) * ALIGNMENT;
    const data = new Uint8Array(behind - DATA_AT + end);
    data.set(new Uint8Array(halves.buffer), ROWS_AT);
    const place = (memory: Memory) => behind + (this.#placed.get(memory) ?? 0);
    for (const { at, memory } of this.#parts)
      data.set(isPointing(memory) ? withAddresses(memory, place) : bytesIn(memory), behind - DATA_AT + at);
    return data;
  }

  /** Where memory begins, behind the rows. */
  get #behind(): number {
    return Math.ceil(addressOfRow(this.#count) / ALIGNMENT) * ALIGNMENT;
  }

  #row(call: number, args: readonly Operand[], flow: Flow, least: Operand, otherwise: RowTarget): void {
    const at = ROW.words * this.#count++;
    if (2 * (at + ROW.words) > this.#halves.length) this.#grow();
    this.#number(at, call);
    let indirect = 0;
    for (let index = 0; index < args.length; index++)
      indirect |= this.#put(at, ROW.arguments + index, args[index] ?? 0);
    indirect |= this.#put(at, ROW.least, least);
    indirect |= this.#put(at, ROW.most, flow.most ?? MOST);
    indirect |= this.#put(at, ROW.result, flow.to ?? this.#scratch);
    indirect |= this.#goTo(at, ROW.next, flow.next);
    indirect |= this.#goTo(at, ROW.otherwise, otherwise);
    this.#number(at + ROW.indirect, indirect);
  }

  #grow(): void {
    const more = new Int32Array(2 * this.#halves.length);
    more.set(this.#halves);
    this.#halves = more;
  }

  /** The bit that says whether an operand is indirect. */
  #put(row: number, operand: number, value: Operand): number {
    const at = row + operand;
    if (typeof value === "number") this.#number(at, value);
    else if (typeof value === "bigint") this.#bigNumber(at, value);
    else if (typeof value === "string") this.#address(at, value, 0);
    else if ("value" in value) {
      this.#address(at, value.value, value.offset);
      return 1 << operand;
    } else if ("place" in value) this.#address(at, value.place, value.offset);
    else if ("row" in value) this.#jumps.push({ at: 2 * at, label: value.row });
    else this.#address(at, value, 0);
    return 0;
  }

  #goTo(row: number, operand: number, target: RowTarget): number {
    if (typeof target === "string") this.#jumps.push({ at: 2 * (row + operand), label: target });
    else if (target !== undefined) return this.#put(row, operand, target);
    else this.#number(row + operand, addressOfRow(this.#count));
    return 0;
  }

  #number(at: number, value: number): void {
    this.#halves[2 * at] = value;
    this.#halves[2 * at + 1] = value < 0 || value >= TWO_32 ? Math.floor(value / TWO_32) : 0;
  }

  #bigNumber(at: number, value: bigint): void {
    const halves = this.#halves;
    // two that every row has
    if (value === MOST) {
      halves[2 * at] = -1;
      halves[2 * at + 1] = 0x7fffffff;
    } else if (value === LEAST) halves[2 * at + 1] = -0x80000000;
    else new BigInt64Array(halves.buffer)[at] = value;
  }

  #address(at: number, what: string | Memory, offset: number): void {
    if (what === this.stack) {
      this.#number(at, DATA_AT + offset);
      return;
    }
    this.#halves[2 * at] = this.#place(what) + offset;
    this.#offsets.push(2 * at);
  }

  /** The offset of memory behind the rows, where each piece is once. */
  #place(what: string | Memory): number {
    const known = this.#placed.get(what);
    if (known !== undefined) return known;
    const memory = typeof what === "string" ? cString(what) : what;
    if (isPointing(memory)) for (const [, to] of memory.pointers) this.#place(to);
    const at = Math.ceil(this.#end / ALIGNMENT) * ALIGNMENT;
    this.#end = at + (isPointing(memory) ? memory.bytes : memory).byteLength;
    this.#parts.push({ at, memory });
    this.#placed.set(what, at);
    return at;
  }
}

function addressOfRow(row: number): number {
  return DATA_AT + ROWS_AT + 8 * ROW.words * row;
}

function bytesIn({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
