import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { HakoError } from "../../src/base/errors";
import { parseArguments } from "../../src/cli/arguments";
import { loadedCommand } from "../../src/cli/find-command";
import { commandHint, flagHint } from "../../src/cli/hints";
import program from "../../src/commands";

describe("hints", () => {
  const flags = ["memory", "mount", "cpus", "m"];
  const rows: [string, string | undefined][] = [
    ["memroy", "did you mean --memory?"],
    ["cpu", "did you mean --cpus?"],
    ["x", undefined],
    ["network-ailas", undefined],
    ["pid", "it has one of its own; a bundle's config.json joins others (linux.namespaces)"],
    ["rm", "a container is deleted at its end; --keep keeps it"],
  ];
  for (const [name, hint] of rows) test(name, () => expect(flagHint(name, flags)).toBe(hint));
  test("names of every object are no flags", () => {
    expect(flagHint("constructor", flags)).toBeUndefined();
    expect(commandHint("toString", ["run"])).toBe("hako --help lists them");
  });
  test("commands", () => {
    expect(commandHint("rum", ["run", "restore"])).toBe("did you mean hako run?");
    expect(commandHint("inspect", ["list"])).toBe("hako state");
  });
  test("in a group of short flags the unknown one is explained", () => {
    const definitions = { tty: { type: "boolean", alias: "t" } } as const;
    try {
      parseArguments(["-it"], definitions);
      throw new Error("accepted");
    } catch (error) {
      expect(error).toBeInstanceOf(HakoError);
      expect((error as HakoError).oneLine).toBe("unknown flag -it (standard input is always connected)");
    }
  });
});

/** docker's (Engine 20.10 to 28) and podman's (4.3) flags by hako's command of the same meaning, as their --help lists them. */
const OTHERS: Record<string, string[]> = JSON.parse(
  readFileSync(join(import.meta.dir, "docker-flags.json"), "utf8"),
);

describe("docker's and podman's flags are there, or say what to do", () => {
  for (const [name, flags] of Object.entries(OTHERS)) {
    test(name, async () => {
      const entry = program.subCommands?.[name];
      if (entry === undefined) throw new Error(`no command ${name}`);
      const { args = {} } = await loadedCommand(entry);
      const unexplained = flags.filter((flag) => {
        try {
          parseArguments([flag, "1", "x", "x"], args, { rest: true });
          return false;
        } catch (error) {
          const { message, hint } = error as HakoError;
          return (
            message.startsWith("unknown flag") && (hint === undefined || hint.startsWith("did you mean"))
          );
        }
      });
      expect(unexplained).toEqual([]);
    });
  }
});
