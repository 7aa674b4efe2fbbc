import { DATA_AT, elfProgram } from "./elf";
import type { Fd } from "./fd";
import { interpreterCode, OPERATION, ROW, ROWS_AT } from "./interpreter-code";
import { cString, isPointing, type Memory, withAddresses } from "./memory";
import { type SyscallName, syscallNumberOn } from "./syscall";

const LEAST = -(2n ** 63n);
const MOST = 2n ** 63n - 1n;
const TWO_32 = 2 ** 32;
const ALIGNMENT = 16;

/** A word of memory in place of its address. */
export interface Value {
  value: Memory;
  offset: number;
}

/** The address of something inside of memory. */
export interface Place {
  place: Memory;
  offset: number;
}

/** The address of the row that a label is in front of. */
export interface RowAddress {
  row: string;
}

/** What a row works with: a number, text by its address (NUL-terminated), memory by its address, and these. */
export type Operand = number | bigint | string | Memory | Value | Place | RowAddress;

/** Where a row goes on: at a label, at the row whose address is in a word, or at the one that follows. */
export type Target = string | Value | undefined;

/** Where a row's result goes, and where to go on after it. */
export interface Flow {
  /** A word; with `Value` the one whose address is in that. */
  to?: Memory | Place | Value;
  /** The least result with which `next` comes next; of a system call 0 if not given, else any. */
  least?: Operand;
  most?: Operand;
  /** The next row if not given. */
  next?: Target;
  /** Of a system call that may fail `FAILED` if not given, else the next row. */
  otherwise?: Target;
}

/** Where system calls go on that fail: every program has this label if it has such a call. */
export const FAILED = "failed";
/** What follows whatever the result is. */
export const ANY: Flow = { least: LEAST };

interface Row extends Flow {
  call: SyscallName | keyof typeof OPERATION;
  args: readonly Operand[];
}

/** A program's data, in base 64, and the offsets of words in it. */
export interface Template {
  data: string;
  at: Readonly<Record<string, number>>;
}

/** The executable program of a template, with these words in it. */
export function filledIn(
  name: string,
  { data, at }: Template,
  words: Readonly<Record<string, BigInt64Array>>,
): Fd {
  const bytes = Uint8Array.fromBase64(data);
  const longWords = new BigInt64Array(bytes.buffer);
  for (const word in words) longWords[(at[word] ?? 0) / 8] = words[word]?.[0] ?? 0n;
  return elfProgram(name, interpreterCode(DATA_AT), bytes);
}

/** A word of memory for a program, with what is in it at first. */
export function word(value: number | bigint = 0): BigInt64Array {
  return new BigInt64Array([BigInt(value)]);
}

/** What is in a word. */
export function wordIn(memory: Memory, offset = 0): Value {
  return { value: memory, offset };
}

/** The address of what is so many bytes inside of memory. */
export function within(memory: Memory, offset: number): Place {
  return { place: memory, offset };
}

/**
 * A program that is a table: rows, each with a system call or a simple operation on words, the results with which it is a success,
 * and which row comes next in either case. It runs in memory of some KiB (interpreter-code.ts).
 */
export class RowProgram {
  /** The word in which the address of the stack is, as execve(2) left it. */
  readonly stack: Memory = word();
  readonly #rows: Row[] = [];
  readonly #labels = new Map<string, number>();
  #fresh = 0;

  /** Names the row that comes next. */
  label(name: string): void {
    if (this.#labels.has(name)) throw new Error(`two rows are labelled ${name}`);
    this.#labels.set(name, this.#rows.length);
  }

  /** A name that no other row has, for a label of rows that are there more than once. */
  freshLabel(): string {
    return `#${this.#fresh++}`;
  }

  call(call: SyscallName, args: readonly Operand[], flow: Flow = {}): void {
    const otherwise = "otherwise" in flow || flow.least === LEAST ? flow.otherwise : FAILED;
    this.#rows.push({ ...flow, call, args, least: flow.least ?? 0, otherwise });
  }

  /** Puts a + b - c into a word, and goes on by the result. */
  sum(args: readonly [a: Operand, b?: Operand, c?: Operand], flow: Flow): void {
    this.#operate("sum", args as readonly Operand[], flow);
  }

  /** The bits of `a` that are in `b`, too. */
  mask(a: Operand, b: Operand, flow: Flow): void {
    this.#operate("mask", [a, b], flow);
  }

  /** The lowest `bits` of `a` go to the top, the others down by as many. */
  rotate(a: Operand, bits: Operand, flow: Flow): void {
    this.#operate("rotate", [a, bits], flow);
  }

  /** The word at an address. */
  load(address: Operand, flow: Flow): void {
    this.#operate("load", [address], flow);
  }

  set(to: Memory | Place, value: Operand, next?: Target): void {
    this.sum([value], { to, next });
  }

  /** Goes to a label if a value is this one, else to the next row. */
  when(value: Operand, equals: Operand, next: Target): void {
    this.sum([value], { least: equals, most: equals, next, otherwise: undefined });
  }

  goto(target: Target): void {
    this.sum([0], { next: target });
  }

  #operate(call: keyof typeof OPERATION, args: readonly Operand[], flow: Flow): void {
    this.#rows.push({ ...flow, call, args, least: flow.least ?? LEAST });
  }

  /** The program's data at an address: rows, and the memory that they work with. */
  assemble(base = DATA_AT, machine: string = process.arch): Uint8Array {
    return this.#laidOut(base, machine).bytes;
  }

  /** The same for an executable program, and where in it some memory is that is filled in later (`filledIn`). */
  template(memory: Readonly<Record<string, Memory>>, machine: string): Template {
    const { bytes, layout } = this.#laidOut(DATA_AT, machine);
    const at: Record<string, number> = {};
    for (const [name, piece] of Object.entries(memory)) at[name] = layout.addressOf(piece) - DATA_AT;
    return { data: bytes.toBase64(), at };
  }

  #laidOut(base: number, machine: string): { bytes: Uint8Array; layout: Layout } {
    const rowsEnd = ROWS_AT + this.#rows.length * ROW.words * 8;
    const layout = new Layout(base, rowsEnd, this.stack);
    const words = new RowWords(this.#rows.length, base, layout, (label) => this.#rowNumber(label));
    this.#rows.forEach((row, index) => {
      const { call, args, least = 0, most = MOST, to, next, otherwise } = row;
      const number =
        call in OPERATION
          ? OPERATION[call as keyof typeof OPERATION]
          : syscallNumberOn(machine, call as SyscallName);
      words.begin(index, number);
      for (let i = 0; i < args.length; i++) words.put(ROW.arguments + i, args[i] ?? 0);
      words.put(ROW.least, least);
      words.put(ROW.most, most);
      words.put(ROW.result, to ?? layout.scratch);
      words.goTo(ROW.next, next);
      words.goTo(ROW.otherwise, otherwise);
      words.end();
    });
    return { bytes: layout.bytes(words.bytes), layout };
  }

  /** An executable program in a sealed file of no file system. */
  executable(name: string): Fd {
    return elfProgram(name, interpreterCode(DATA_AT), this.assemble());
  }

  #rowNumber(label: string): number {
    const row = this.#labels.get(label);
    if (row === undefined || row >= this.#rows.length) throw new Error(`no row is labelled ${label}`);
    return row;
  }
}

/** Lays memory out behind the rows, each piece once. */
class Layout {
  /** Where results go that nobody asks for. */
  readonly scratch: Memory = word();
  readonly #placed = new Map<Memory, number>();
  readonly #texts = new Map<string, Uint8Array>();
  readonly #parts: { at: number; bytes: Uint8Array }[] = [];
  #end: number;

  constructor(
    private readonly base: number,
    end: number,
    stack: Memory,
  ) {
    this.#end = end;
    this.#placed.set(stack, base);
  }

  /** The address of a text or of memory. */
  addressOf(what: string | Memory): number {
    const memory = typeof what === "string" ? this.#text(what) : what;
    const known = this.#placed.get(memory);
    if (known !== undefined) return known;
    const bytes = isPointing(memory)
      ? withAddresses(memory, (to) => this.addressOf(to))
      : new Uint8Array(memory.buffer, memory.byteOffset, memory.byteLength);
    const at = Math.ceil(this.#end / ALIGNMENT) * ALIGNMENT;
    this.#end = at + bytes.length;
    this.#parts.push({ at, bytes });
    this.#placed.set(memory, this.base + at);
    return this.base + at;
  }

  #text(text: string): Uint8Array {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    const bytes = cString(text);
    this.#texts.set(text, bytes);
    return bytes;
  }

  bytes(rows: Uint8Array): Uint8Array {
    const data = new Uint8Array(Math.ceil(this.#end / ALIGNMENT) * ALIGNMENT);
    data.set(rows, ROWS_AT);
    for (const { at, bytes } of this.#parts) data.set(bytes, at);
    return data;
  }
}

/** The words of rows, one row after the other. */
class RowWords {
  readonly #halves: Int32Array;
  readonly #words: BigInt64Array;
  #row = 0;
  #at = 0;
  #indirect = 0;

  constructor(
    private readonly count: number,
    private readonly base: number,
    private readonly layout: Layout,
    private readonly rowNumber: (label: string) => number,
  ) {
    this.#words = new BigInt64Array(count * ROW.words);
    this.#halves = new Int32Array(this.#words.buffer);
  }

  get bytes(): Uint8Array {
    return new Uint8Array(this.#words.buffer);
  }

  begin(row: number, call: number): void {
    this.#row = row;
    this.#at = row * ROW.words;
    this.#indirect = 0;
    this.#number(ROW.call, call);
  }

  put(operand: number, value: Operand): void {
    if (typeof value === "number") this.#number(operand, value);
    else if (typeof value === "bigint") this.#words[this.#at + operand] = value;
    else if (typeof value === "string") this.#number(operand, this.layout.addressOf(value));
    else if ("value" in value) {
      this.#number(operand, this.layout.addressOf(value.value) + value.offset);
      this.#indirect |= 1 << operand;
    } else if ("place" in value) this.#number(operand, this.layout.addressOf(value.place) + value.offset);
    else if ("row" in value) this.#number(operand, this.#rowAddress(this.rowNumber(value.row)));
    else this.#number(operand, this.layout.addressOf(value));
  }

  goTo(operand: number, target: Target): void {
    if (typeof target === "string") this.put(operand, { row: target });
    else if (target !== undefined) this.put(operand, target);
    else if (this.#row + 1 < this.count) this.#number(operand, this.#rowAddress(this.#row + 1));
    // behind the last row there is none: its address is 0, and to go there ends the program
  }

  end(): void {
    this.#number(ROW.indirect, this.#indirect);
  }

  #rowAddress(row: number): number {
    return this.base + ROWS_AT + 8 * ROW.words * row;
  }

  /** Without big integers, which would cost more than all else. */
  #number(operand: number, value: number): void {
    const half = 2 * (this.#at + operand);
    this.#halves[half] = value;
    this.#halves[half + 1] = Math.floor(value / TWO_32);
  }
}
