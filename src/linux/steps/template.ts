import { cString, isPointing, type Memory, withAddresses } from "../call/argument-memory";
import { concatenated } from "../call/bytes";
import type { Fd } from "../call/fd";
import { DATA_AT, elfProgram } from "./elf";
import { interpreterCode } from "./interpreter-code";

const ALIGNMENT = 16;

/** The data of a program of rows, and the offsets in them of the words that are filled in later. */
export interface Template<Name extends string = string> {
  data: Uint8Array;
  at: Readonly<Record<Name, number>>;
}

/** A template as build.ts keeps it: the data are in base 64. */
export interface StoredTemplate<Name extends string = string> extends Omit<Template<Name>, "data"> {
  data: string;
}

export function templateOf<Name extends string>({ data, at }: StoredTemplate<Name>): Template<Name> {
  return { data: Uint8Array.fromBase64(data), at };
}

/** What a word is filled with: a number, or the address of a text (NUL-terminated) or of memory, which come behind the data. */
export type Filling = number | bigint | string | Memory;

/** The executable program of a template whose words are filled in, in a sealed file of no file system. */
export function filledProgram<Name extends string>(
  name: string,
  template: Template<Name>,
  fillings: Readonly<Record<Name, Filling>>,
): Fd {
  return elfProgram(name, interpreterCode(DATA_AT), filledIn(template, fillings));
}

/** The data of a template whose words are filled in. Exported for its test. */
export function filledIn<Name extends string>(
  { data, at }: Template<Name>,
  fillings: Readonly<Record<Name, Filling>>,
): Uint8Array {
  const parts = [data];
  let end = data.length;
  const place = (memory: Memory): number => {
    const { buffer, byteOffset, byteLength } = isPointing(memory)
      ? withAddresses(memory, place)
      : (memory as Uint8Array);
    const bytes = new Uint8Array(ALIGNMENT * Math.ceil(byteLength / ALIGNMENT));
    bytes.set(new Uint8Array(buffer, byteOffset, byteLength));
    parts.push(bytes);
    const address = DATA_AT + end;
    end += bytes.length;
    return address;
  };
  const words = new BigInt64Array(data.buffer, data.byteOffset, data.length / 8);
  for (const word in fillings) {
    const filling = fillings[word];
    const isNumber = typeof filling === "number" || typeof filling === "bigint";
    const value = isNumber ? filling : place(typeof filling === "string" ? cString(filling) : filling);
    words[at[word] / 8] = BigInt(value);
  }
  return concatenated(parts);
}
