import { HakoError } from "../base/errors";
import { refuseNesting } from "../oci/json";
import type { SyntaxProblem } from "../oci/json-syntax";

/** Loaded for a text that is no TOML. */
const rare = {
  get syntax() {
    return require("../oci/json-syntax") as typeof import("../oci/json-syntax");
  },
};

/** Of more lines the one is not looked for from which on nothing ends, which takes a parse of each. */
const MOST_LINES = 1000;

/** What the parser says at the end of a text, where it waits for more. */
const AT_END = /found end of file$|^Unterminated [a-z ]+(?:$|; expected)|^Missing value after '='$/;

/** A document in TOML 1.0. The error tells the place from which on it is none. */
export function parseToml(text: string, file: string): unknown {
  const problem = text.isWellFormed() ? problemIn(text) : rare.syntax.notUtf8(text);
  if (problem === undefined) {
    const document = Bun.TOML.parse(text);
    refuseNesting(document, file);
    return document;
  }
  const { line, column, why } = problem;
  const message = `${file}: not TOML: line ${line}, column ${column}: ${why}`;
  throw new HakoError({ code: "config", message, path: file });
}

function problemIn(text: string): SyntaxProblem | undefined {
  const why = fault(text);
  if (why === undefined) return undefined;
  return { ...rare.syntax.lineAndColumn(text, AT_END.test(why) ? unendedAt(text) : faultAt(text, why)), why };
}

/** The parser tells no place: it is the last character of the shortest text of which the parser says the same. */
function faultAt(text: string, why: string): number {
  let [right, wrong] = [0, text.length];
  while (wrong - right > 1) {
    const middle = (right + wrong) >> 1;
    if (kindOf(fault(text.slice(0, middle))) === kindOf(why)) wrong = middle;
    else right = middle;
  }
  return wrong - 1;
}

/** Without the word that it is about, of which a shorter text has less. */
function kindOf(why: string | undefined): string | undefined {
  return why?.replace(/: "[^"]*"$/, "");
}

/** Where what has no end begins: behind the last line with which all is well. */
function unendedAt(text: string): number {
  const lines = text.split("\n");
  if (lines.length > MOST_LINES) return text.length;
  const before = lines.findLastIndex((_, index) => fault(lines.slice(0, index + 1).join("\n")) === undefined);
  const start = lines.slice(0, before + 1).join("\n").length;
  return start + Math.max(text.slice(start).search(/\S/), 0);
}

function fault(text: string): string | undefined {
  try {
    Bun.TOML.parse(text);
    return undefined;
  } catch (error) {
    if (error instanceof RangeError) return "nested too deeply";
    return (error as Error).message.replace(/^TOML Parse error: /, "");
  }
}
