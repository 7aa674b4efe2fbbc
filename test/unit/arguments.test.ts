import { describe, expect, test } from "bun:test";
import { HakoError } from "../../src/base/errors";
import { type Arguments, parseArguments } from "../../src/cli/arguments";
import { findCommand, loadedCommand } from "../../src/cli/find-command";
import { commandHelp, groupHelp } from "../../src/cli/help";
import program from "../../src/commands";

const FLAGS = {
  id: { type: "positional", required: true, description: "id" },
  bundle: { type: "string", alias: "b", default: ".", description: "dir" },
  force: { type: "boolean", alias: "f", description: "force" },
  quiet: { type: "boolean", alias: "q", description: "quiet" },
  env: { type: "string", alias: "e", multiple: true, description: "variable" },
  format: { type: "enum", options: ["table", "json"], default: "table", description: "form" },
  file: { type: "string", description: "file" },
  user: { type: "string", keepsEmpty: true, description: "user" },
  gain: { type: "boolean", tristate: true, description: "gain" },
} as const satisfies Arguments;

const KILL_FLAGS = {
  ...FLAGS,
  signal: { type: "positional", required: false, default: "TERM", description: "signal" },
} as const satisfies Arguments;

function code(words: string[], options = {}): string {
  try {
    parseArguments(words, FLAGS, options);
    return "none";
  } catch (error) {
    return error instanceof HakoError ? `${error.code}: ${error.message}` : String(error);
  }
}

describe("parseArguments", () => {
  test("values in every form", () => {
    const { values, rest } = parseArguments(
      ["--bundle", "/b", "-fq", "-e", "A=1", "--env=B=2", "--format=json", "web"],
      FLAGS,
    );
    expect(values).toEqual({
      id: "web",
      bundle: "/b",
      force: true,
      quiet: true,
      env: ["A=1", "B=2"],
      format: "json",
      file: undefined,
      user: undefined,
      gain: undefined,
    });
    expect(rest).toEqual([]);
  });

  test("short flags that stand together, the last with its value", () => {
    const parse = (...words: string[]) => {
      const { id, force, quiet, env, bundle } = parseArguments([...words, "web"], FLAGS).values;
      return [id, force, quiet, ...env, bundle];
    };
    expect(parse("-fq")).toEqual(["web", true, true, "."]);
    expect(parse("-fqe", "A=1", "-qb", "/b")).toEqual(["web", true, true, "A=1", "/b"]);
    expect(parse("-fb/b", "-eA=1", "-eB")).toEqual(["web", true, false, "A=1", "B", "/b"]);
    expect(parse("-fb=b", "-qe=a=1")).toEqual(["web", true, true, "a=1", "b"]);
    expect(parse("-b..")).toEqual(["web", false, false, ".."]);
  });

  test("a word that is a flag's value in itself", () => {
    const definitions = {
      ...FLAGS,
      level: {
        type: "string",
        description: "level",
        fromWord: (word: string) => (/^-\d+$/.test(word) ? word.slice(1) : undefined),
      },
    } as const satisfies Arguments;
    expect(parseArguments(["-19", "web"], definitions).values).toMatchObject({ level: "19", id: "web" });
    expect(() => parseArguments(["--19", "web"], definitions)).toThrow("unknown flag --19");
  });

  test("defaults; --flag=false", () => {
    expect(parseArguments(["web", "--force=false"], FLAGS).values).toEqual({
      id: "web",
      bundle: ".",
      force: false,
      quiet: false,
      env: [],
      format: "table",
      file: undefined,
      user: undefined,
      gain: undefined,
    });
  });

  test("an empty value is one that was not given, unless it would be worse than an error", () => {
    for (const words of [
      ["--bundle=", "--file="],
      ["-b", "", "--file", "", "--format", "", "--format="],
    ]) {
      const { values } = parseArguments([...words, "web", ""], KILL_FLAGS);
      expect(values).toMatchObject({ bundle: ".", file: undefined, format: "table", signal: "TERM" });
    }
    expect(
      parseArguments(["--file", "a", "--file", "", "--user", "", "", "KILL"], KILL_FLAGS).values,
    ).toMatchObject({
      id: "",
      file: undefined,
      user: "",
      signal: "KILL",
    });
    expect(parseArguments(["-e", "", "web"], FLAGS).values.env).toEqual([""]);
  });

  test("booleans in the words of Go; whether one was given", () => {
    for (const word of ["1", "t", "T", "true", "TRUE", "True"])
      expect(parseArguments([`-f=${word}`, `--gain=${word}`, "web"], FLAGS).values).toMatchObject({
        force: true,
        gain: true,
      });
    for (const word of ["0", "f", "F", "false", "FALSE", "False"])
      expect(parseArguments([`-f=${word}`, `--gain=${word}`, "web"], FLAGS).values).toMatchObject({
        force: false,
        gain: false,
      });
    expect(parseArguments(["web"], FLAGS).values).toMatchObject({ force: false, gain: undefined });
  });

  test("--help where a flag could be; anything may be missing then", () => {
    expect(parseArguments(["--help"], FLAGS).help).toBe(true);
    expect(parseArguments(["web", "-h"], FLAGS).help).toBe(true);
    expect(parseArguments(["web", "--", "-h"], KILL_FLAGS)).toMatchObject({
      help: false,
      values: { signal: "-h" },
    });
    expect(parseArguments(["-e", "--help", "web"], FLAGS)).toMatchObject({ help: false });
    const options = { stopAtOperand: true, rest: true };
    expect(parseArguments(["web", "--help"], FLAGS, options)).toMatchObject({ help: false });
  });

  test("flags end at the first operand once a certain flag was given", () => {
    const parse = (...words: string[]) => {
      const { values, rest } = parseArguments(words, FLAGS, { stopAtOperand: ["file"], rest: true });
      return [values.id, values.bundle, ...rest];
    };
    expect(parse("--", "web")).toEqual(["web", "."]);
    expect(parse("web", "-f", "--bundle", "b")).toEqual(["web", "b"]);
    expect(parse("--file", "f", "web", "-b", "b")).toEqual(["web", ".", "-b", "b"]);
    expect(parse("--file", "f", "web", "--", "-b")).toEqual(["web", ".", "--", "-b"]);
    expect(parse("web", "--file", "f", "-b", "b", "--", "ls", "-l")).toEqual(["web", "b", "ls", "-l"]);
    expect(parse("web", "--file", "f", "-b", "b", "ls", "-l")).toEqual(["web", "b", "ls", "-l"]);
    expect(() => parse("--file", "f", "--", "ls")).toThrow("missing ID");
    expect(() => parse("web", "b", "--file", "f", "--", "ls")).toThrow('unexpected operand "b"');
  });

  test("what may be missing before -- is not taken from behind it", () => {
    const definitions = { ...FLAGS, id: { ...FLAGS.id, required: false } } as const;
    const parse = (...words: string[]) => {
      const parsed = parseArguments(words, definitions, { stopAtOperand: ["file"], rest: true });
      return [parsed.separated, parsed.values.id, ...parsed.rest];
    };
    expect(parse("--file", "f", "--", "ls", "-l")).toEqual([true, undefined, "ls", "-l"]);
    expect(parse("web", "--file", "f", "--", "ls")).toEqual([true, "web", "ls"]);
    expect(parse("--file", "f", "web", "--", "ls")).toEqual([true, "web", "--", "ls"]);
    expect(parse("--file", "f", "make", "true")).toEqual([false, "make", "true"]);
    expect(parse("make", "--file", "f", "true")).toEqual([false, "make", "true"]);
    expect(parse("--file", "f", "sh", "-c", "--")).toEqual([false, "sh", "-c", "--"]);
    expect(parse("--", "web")).toEqual([false, "web"]);
  });

  test("after the first operand everything is the command's", () => {
    const { values, rest } = parseArguments(["-f", "web", "ls", "-l", "--color", "--", "x"], FLAGS, {
      stopAtOperand: true,
      rest: true,
    });
    expect(values).toMatchObject({ id: "web", force: true });
    expect(rest).toEqual(["ls", "-l", "--color", "--", "x"]);
  });

  test("after -- nothing is a flag", () => {
    expect(parseArguments(["--", "-f"], FLAGS).values).toMatchObject({ id: "-f", force: false });
  });

  const wrong: [string[], string][] = [
    [[], "usage: missing ID"],
    [["--moon", "web"], "usage: unknown flag --moon"],
    [["-x", "web"], "usage: unknown flag -x"],
    [["-fx", "web"], "usage: unknown flag -fx"],
    // it may be --bundle or --env, mistyped
    [["-bundel", "x", "web"], "usage: unknown flag -bundel"],
    [["-envs=A", "web"], "usage: unknown flag -envs"],
    [["-fb"], "usage: flag needs an argument: -b"],
    [["-f9", "web"], "usage: unknown flag -f9"],
    [["--fq", "web"], "usage: unknown flag --fq"],
    [["web", "--bundle"], "usage: flag needs an argument: --bundle"],
    [["web", "--force="], 'usage: --force: "" is neither true nor false'],
    [["web", "--force=maybe"], 'usage: --force: "maybe" is neither true nor false'],
    [["web", "--format", "xml"], 'usage: --format: "xml" is not one of table, json'],
    [["web", "other"], 'usage: unexpected operand "other"'],
  ];
  for (const [words, message] of wrong) {
    test(JSON.stringify(words), () => {
      expect(code(words)).toBe(message);
    });
  }
});

/** Lines are as long as they are. */
const WIDE = Number.POSITIVE_INFINITY;

describe("every command's help", () => {
  for (const [name, entry] of Object.entries(program.subCommands ?? {})) {
    test(name, async () => {
      const found = await loadedCommand(entry);
      const { subCommands } = found;
      if (subCommands !== undefined)
        expect(groupHelp(name, found, WIDE)).toStartWith(`${entry.meta?.description}\n`);
      for (const [word, inner] of Object.entries(subCommands ?? { [name]: found })) {
        const command = await loadedCommand(inner);
        const path = word === name ? name : `${name} ${word}`;
        const text = commandHelp(path, command, WIDE);
        expect(text).toStartWith(`${command.meta?.description}\n`);
        expect(text).toContain(`usage: hako ${path}`);
        expect(command.run).toBeFunction();
        expect(command.examples?.length).toBeGreaterThan(0);
        for (const example of command.examples ?? []) expect(text).toContain(example);
        for (const [flag, definition] of Object.entries(command.args ?? {})) {
          expect(definition.description ?? "").not.toBe("");
          if (definition.type !== "positional") expect(text).toContain(`--${flag}`);
        }
        const letters = (shown: string) => shown.replaceAll(/\s/g, "");
        for (const width of [40, 80]) {
          const narrow = commandHelp(path, command, width);
          // nothing is lost, and what is not to be copied fits
          expect(letters(narrow)).toBe(letters(text));
          const [told = "", examples = ""] = narrow.split("\nexamples:\n");
          for (const line of width === 80 ? narrow.split("\n") : [])
            expect(line.length).toBeLessThanOrEqual(80);
          for (const line of told.split("\n"))
            if (/^ {20}/.test(line)) expect(line.length).toBeLessThanOrEqual(width);
          expect(examples.split("\n").slice(0, -1)).toEqual(
            (command.examples ?? []).map((each) => `  ${each}`),
          );
        }
      }
    });
  }
});

test("flags that have a condition in common stand below it, one alone keeps it", async () => {
  const flag = (description: string) => ({ type: "boolean", description }) as const;
  const args = {
    a1: flag("one"),
    b1: flag("with --x: two"),
    b2: flag("with --x: three"),
    c1: flag("with --y: four"),
  };
  const help = commandHelp("try", { args, examples: ["hako try"] }, WIDE);
  expect(help).toContain(
    "\nflags:\n  --a1  one\n  --c1  with --y: four\n\nflags with --x:\n  --b1  two\n  --b2  three\n\nexamples:\n",
  );
});

describe("words for commands", () => {
  const rows: [string[], string, string[]][] = [
    [["delete", "web"], "delete", ["web"]],
    [["rm", "-f", "web"], "delete", ["-f", "web"]],
    [["ls"], "list", []],
    [["kata-check"], "check", []],
    [["cgroup", "show", "web"], "cgroup show", ["web"]],
    [["cgroup", "--help"], "cgroup", ["--help"]],
  ];
  for (const [words, path, left] of rows)
    test(words.join(" "), async () =>
      expect(await findCommand(program, words)).toMatchObject({ path, words: left }),
    );
  test("those that there are not", async () => {
    await expect(findCommand(program, ["constructor"])).rejects.toThrow('unknown command "constructor"');
    await expect(findCommand(program, ["cgroup"])).rejects.toThrow("cgroup: which command?");
    await expect(findCommand(program, ["cgroup", "rm"])).rejects.toThrow('unknown command "cgroup rm"');
  });
});
