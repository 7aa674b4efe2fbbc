/** No document is nested deeper: what goes through one by recursion would end for lack of a stack. */
export const MOST_NESTED = 1000;
/** How many names of a field's path tell where it is. */
const TOLD_NAMES = 3;

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what JSON forbids in a string
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORD = /true|false|null/y;
const SPACE = /[ \t\n\r]*/y;

export interface SyntaxProblem {
  line: number;
  column: number;
  /** What was expected, and what was found in its place; undefined if the text is JSON. */
  why: string | undefined;
}

/** Where the first byte of a text is that is not UTF-8; linux/call/bytes.ts decodes such a byte as half of a surrogate pair. */
export function notUtf8(text: string): SyntaxProblem {
  const position = text.search(/[\ud800-\udfff]/u);
  const byte = (text.charCodeAt(position) & 0xff).toString(16);
  return { ...lineAndColumn(text, position), why: `the byte 0x${byte} is not UTF-8` };
}

/** Where the first string of a JSON text is that has half of a surrogate pair, written as an escape. */
export function halfCharacter(text: string): SyntaxProblem | undefined {
  for (const { 0: literal, index } of text.matchAll(/"(?:[^"\\]|\\.)*"/g)) {
    if ((JSON.parse(literal) as string).isWellFormed()) continue;
    return {
      ...lineAndColumn(text, index),
      why: "half of a surrogate pair, which is no character, in this string",
    };
  }
  return undefined;
}

/** The path of a field that is nested deeper than MOST_NESTED, by its first names; undefined where none is. */
export function deepField(document: unknown): string[] | undefined {
  let level = [{ keys: [] as string[], value: document }];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MOST_NESTED) return level[0]?.keys;
    level = level.flatMap(({ keys, value }) =>
      typeof value !== "object" || value === null
        ? []
        : Object.entries(value).map(([key, inner]) => ({
            keys: keys.length < TOLD_NAMES ? [...keys, key] : keys,
            value: inner,
          })),
    );
  }
  return undefined;
}

/** The line and column of a character, from 1 on. */
export function lineAndColumn(text: string, position: number): { line: number; column: number } {
  const before = text.slice(0, position).split("\n");
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}

/** Where a text stops being JSON (RFC 8259), which JSON.parse doesn't tell. */
export function syntaxProblem(text: string): SyntaxProblem {
  const scanner = new Scanner(text);
  const why = scanner.document();
  return { ...lineAndColumn(text, scanner.position), why };
}

class Scanner {
  position = 0;
  readonly #text: string;
  /** The closing brackets of what is open. A list, not recursion: a text may be nested without end. */
  readonly #open: string[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  document(): string | undefined {
    for (let wantsValue = true; ; ) {
      const step: Step = wantsValue ? this.#value() : this.#afterValue();
      if (step.wrong !== undefined || step.done) return step.wrong;
      wantsValue = step.wantsValue;
    }
  }

  /** A scalar, an empty list or object, or the beginning of one. */
  #value(): Step {
    const bracket = this.#next();
    if (bracket === "{" || bracket === "[") {
      const close = bracket === "{" ? "}" : "]";
      this.position++;
      if (this.#next() === close) {
        this.position++;
        return AFTER_VALUE;
      }
      this.#open.push(close);
      return close === "}" ? this.#name() : VALUE;
    }
    if (this.#take(STRING) || this.#take(NUMBER) || this.#take(WORD)) return AFTER_VALUE;
    return this.#unexpected("a value");
  }

  #afterValue(): Step {
    const character = this.#next();
    const close = this.#open.at(-1);
    if (close === undefined)
      return character === undefined ? DONE : this.#unexpected("the end of the document");
    if (character !== close && character !== ",") return this.#unexpected(`"," or "${close}"`);
    this.position++;
    if (character === ",") return close === "}" ? this.#name() : VALUE;
    this.#open.pop();
    return AFTER_VALUE;
  }

  #name(): Step {
    this.#next();
    if (!this.#take(STRING)) return this.#unexpected("a field's name");
    if (this.#next() !== ":") return this.#unexpected('":"');
    this.position++;
    return VALUE;
  }

  /** The next character that is no space. */
  #next(): string | undefined {
    this.#take(SPACE);
    return this.#text[this.position];
  }

  #take(pattern: RegExp): boolean {
    pattern.lastIndex = this.position;
    if (!pattern.test(this.#text)) return false;
    this.position = pattern.lastIndex;
    return true;
  }

  #unexpected(wanted: string): Step {
    const character = this.#text[this.position];
    const found = character === undefined ? "the text ends" : `found ${JSON.stringify(character)}`;
    return { wantsValue: false, done: true, wrong: `expected ${wanted}, ${found}` };
  }
}

interface Step {
  wantsValue: boolean;
  done: boolean;
  wrong: string | undefined;
}

const VALUE: Step = { wantsValue: true, done: false, wrong: undefined };
const AFTER_VALUE: Step = { wantsValue: false, done: false, wrong: undefined };
const DONE: Step = { wantsValue: false, done: true, wrong: undefined };
