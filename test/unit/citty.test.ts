// What docs/decisions/command-line-parser.md says of citty. A row that fails after an update of citty is a reason to look again.
import { describe, expect, test } from "bun:test";
import { type ArgsDef, type CommandDef, parseArgs, renderUsage } from "citty";
import { parseArguments } from "../../src/cli/arguments";
import { shownCommands } from "../../src/cli/tables";
import program from "../../src/commands";

const FLAGS = {
  container: { type: "positional", required: true },
  detach: { type: "boolean", alias: "d" },
  env: { type: "string", alias: "e", multiple: true },
  "no-pivot": { type: "boolean" },
  "pid-file": { type: "string" },
} as const;

function ours(words: readonly string[]): unknown {
  try {
    const { values, rest } = parseArguments(words, FLAGS, { stopAtOperand: true, rest: true });
    return { ...values, rest };
  } catch (error) {
    return (error as Error).message;
  }
}

describe("words of runc's callers", () => {
  const rows: [string[], Record<string, unknown>, unknown][] = [
    [["--nope", "web"], { nope: true, container: "web" }, "unknown flag --nope"],
    [["--no-pivot", "web"], { pivot: false }, { "no-pivot": true }],
    [["-e", "A=1", "-e", "B=2", "web"], { env: "B=2" }, { env: ["A=1", "B=2"] }],
    [["web", "ls", "-l", "--detach"], { detach: true }, { detach: false, rest: ["ls", "-l", "--detach"] }],
    [["--detach=FALSE", "web"], { detach: true }, { detach: false }],
    [["--pid-file", "", "web"], { "pid-file": "" }, { "pid-file": undefined }],
    [["web", "--pid-file"], { "pid-file": "" }, { rest: ["--pid-file"] }],
    [["--pid-file"], { "pid-file": "" }, "flag needs an argument: --pid-file"],
    [["-e=A=1", "web"], { env: "=A=1" }, { env: ["A=1"] }],
  ];
  for (const [words, citty, hako] of rows) {
    test(words.join(" "), () => {
      // the last word that is missing is another row's
      const definitions: ArgsDef = { ...FLAGS, container: { type: "positional", required: false } };
      expect({ ...parseArgs(words, definitions) }).toMatchObject(citty);
      if (typeof hako === "string") expect(ours(words)).toBe(hako);
      else expect(ours(words)).toMatchObject(hako as object);
    });
  }
});

test("citty itself can read hako's commands", async () => {
  const usage = await renderUsage(program as CommandDef);
  for (const [name] of shownCommands(program)) expect(usage).toContain(name);
  expect(usage).toContain("kill|delete|rm|ps");
});
