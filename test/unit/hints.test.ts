import { describe, expect, test } from "bun:test";
import { HakoError } from "../../src/base/errors";
import { parseArguments } from "../../src/cli/arguments";
import { commandHint, flagHint } from "../../src/cli/hints";

describe("hints", () => {
  const flags = ["memory", "mount", "cpus", "m"];
  const rows: [string, string | undefined][] = [
    ["memroy", "did you mean --memory?"],
    ["cpu", "did you mean --cpus?"],
    ["x", undefined],
    ["network-alias", undefined],
    ["rm", "a container is deleted at its end; --keep keeps it"],
    ["9", "the signal follows the id: hako kill ID KILL"],
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
