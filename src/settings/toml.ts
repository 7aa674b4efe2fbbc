import { HakoError } from "../base/errors";

/** Of more lines the wrong one is not looked for, which takes a parse of each. */
const MOST_LINES = 1000;

/** A document in TOML 1.0. The error tells the line from which on it is none. */
export function parseToml(text: string, file: string): unknown {
  const why = fault(text);
  if (why === undefined) return Bun.TOML.parse(text);
  const lines = text.split("\n");
  const message = `${file}: not TOML: ${lines.length > MOST_LINES ? "" : `line ${firstWrong(lines)}: `}${why}`;
  throw new HakoError({ code: "config", message, path: file });
}

/** The parser tells no line: it is the one behind the last with which all is well. */
function firstWrong(lines: readonly string[]): number {
  return lines.findLastIndex((_, index) => fault(lines.slice(0, index + 1).join("\n")) === undefined) + 2;
}

function fault(text: string): string | undefined {
  try {
    Bun.TOML.parse(text);
    return undefined;
  } catch (error) {
    return (error as Error).message.replace(/^TOML Parse error: /, "");
  }
}
