import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Arguments } from "../../src/cli/arguments";
import { loadedCommand } from "../../src/cli/find-command";
import program from "../../src/commands";
import { LIMIT_FLAGS, SCHEMA_FLAGS } from "../../src/container/update-values";

const SOURCE = resolve(import.meta.dir, "../../src");

/** A module, with those that it imports itself: that far flags are handed on as `args` or `values`. */
function sourceOf(file: string): string {
  const own = readFileSync(file, "utf8");
  const imported = [...own.matchAll(/from "(\.[^"]+)"/g)].map(([, path = ""]) =>
    join(dirname(file), `${path}.ts`),
  );
  return [own, ...imported.filter((path) => existsSync(path)).map((path) => readFileSync(path, "utf8"))].join(
    "\n",
  );
}

/** The names that a source reads from `args` (or `values`): args.a, args["a"], const { a, "b": c } = args. */
function namesRead(source: string): Set<string> {
  const found = new Set<string>();
  for (const [, dotted, quoted] of source.matchAll(/\b(?:args|values)(?:\.(\w+)|\["([^"]+)"\])/g))
    found.add(dotted ?? quoted ?? "");
  const patterns = [
    ...source.matchAll(/\{([^{}]*)\}\s*=\s*(?:args|values)\b/g),
    // a function's parameter
    ...source.matchAll(/\(\s*\{([^{}()]*)\}: (?:\{|\w*ArgumentValues)/g),
  ];
  for (const [, pattern = ""] of patterns)
    for (const [, name = ""] of pattern.matchAll(/(?:^|,)\s*"?([\w-]+)"?/g)) found.add(name);
  return found;
}

/** Further modules that are handed a command's flags. */
const HANDED_ON: Readonly<Record<string, readonly string[]>> = {
  exec: ["container/exec-spec.ts"],
  run: ["container/script/script.ts"],
};

/** What runc's callers may say though it is so anyway. */
const NOTHING_TO_DO: Readonly<Record<string, string>> = { exec: "no-subreaper" };

/** Read by walks over the table itself. */
const BY_TABLE: Readonly<Record<string, readonly string[]>> = {
  update: [...Object.keys(LIMIT_FLAGS), ...Object.keys(SCHEMA_FLAGS)],
};

/** By their names, the words of a group under the group's. */
async function commands(): Promise<{ path: string; args: Arguments }[]> {
  const loaded = Object.entries(program.subCommands ?? {}).map(async ([path, entry]) => {
    const command = await loadedCommand(entry);
    const inner = await Promise.all(Object.values(command.subCommands ?? { command }).map(loadedCommand));
    return inner.map(({ args = {} }) => ({ path, args }));
  });
  return (await Promise.all(loaded)).flat();
}

describe("a flag or operand that is in a table is read", async () => {
  for (const { path, args } of await commands()) {
    for (const name of Object.keys(args)) {
      test(`${path}: ${name}`, () => {
        const more = (HANDED_ON[path] ?? []).map((file) => sourceOf(join(SOURCE, file)));
        const read = namesRead([sourceOf(join(SOURCE, "commands", `${path}.ts`)), ...more].join("\n"));
        if (NOTHING_TO_DO[path] === name) expect(args[name]?.description).toStartWith("for callers of runc");
        else expect([...read, ...(BY_TABLE[path] ?? [])]).toContain(name);
      });
    }
  }
});

test("each command is a file of its name", () => {
  // "flags" is what several of them share
  const files = readdirSync(join(SOURCE, "commands")).filter((name) => !["flags", "index.ts"].includes(name));
  expect(files.sort()).toEqual(
    Object.keys(program.subCommands ?? {})
      .map((name) => `${name}.ts`)
      .sort(),
  );
});

test("one that nobody reads is found", () => {
  const source = 'const { a, "b-c": d } = values; use(values.e, values["f-g"], given.h); // values';
  expect([...namesRead(source)].sort()).toEqual(["a", "b-c", "e", "f-g"]);
});
