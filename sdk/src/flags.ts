import type { FlagTable } from "./generated.js";

/** Words of a command line for those of the options that are in the table. */
export function flagWords(table: FlagTable, options: object): string[] {
  return Object.entries(options).flatMap(([name, value]) => {
    const row = table[name];
    return row === undefined || value === undefined ? [] : words(row, value);
  });
}

function words([flag, kind]: FlagTable[string], value: unknown): string[] {
  switch (kind) {
    case "switch":
      return value === true ? [`--${flag}`] : [];
    case "list":
      return [value as string | readonly string[]].flat().map((each) => `--${flag}=${each}`);
    case "variables":
      return Object.entries(value as Record<string, string | undefined>).flatMap(([variable, text]) =>
        text === undefined ? [] : [`--${flag}=${variable}=${text}`],
      );
    case "time":
      return [`--${flag}=${typeof value === "number" ? `${value}ms` : value}`];
    case "text":
      return [`--${flag}=${value}`];
  }
}
