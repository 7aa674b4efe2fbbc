import { HakoError } from "../base/errors";

/** A document in TOML 1.0. The error tells the line from which on it is none. */
export function parseToml(text: string, file: string): unknown {
  const why = fault(text);
  if (why === undefined) return Bun.TOML.parse(text);
  const lines = text.split("\n");
  // the parser tells no line: it is the one behind the last with which all is well
  const right = lines.findLastIndex((_, index) => fault(lines.slice(0, index + 1).join("\n")) === undefined);
  throw new HakoError({
    code: "config",
    message: `${file}: not TOML: line ${right + 2}: ${why}`,
    path: file,
  });
}

function fault(text: string): string | undefined {
  try {
    Bun.TOML.parse(text);
    return undefined;
  } catch (error) {
    return (error as Error).message.replace(/^TOML Parse error: /, "");
  }
}
