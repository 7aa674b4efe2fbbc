// /etc/hako/config.toml: what it may say, and how what is wrong in it is told.
import { describe, expect, test } from "bun:test";
import { parseSettings } from "../../src/settings/settings";

describe("settings", () => {
  const refused = (text: string) => {
    try {
      parseSettings(text, "F");
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error("they were taken");
  };

  test("have defaults, and what the file says", () => {
    const byDefault = { machine: { accelerator: "auto", memory: 256 << 20, cpus: 1, template: "auto" } };
    expect(parseSettings("") as unknown).toEqual(byDefault);
    expect(parseSettings("[machine]\n") as unknown).toEqual(byDefault);
    const text =
      '[machine]\nqemu = "/q"\nkernel = "/k"\nmodules = "/m"\naccelerator = "tcg"\nmemory = "1.5G"\ncpus = 2\ntemplate = "off"';
    expect(parseSettings(text) as unknown).toEqual({
      machine: {
        qemu: "/q",
        kernel: "/k",
        modules: "/m",
        accelerator: "tcg",
        memory: 1536 << 20,
        cpus: 2,
        template: "off",
      },
    });
  });

  test("that are wrong are told by their pointers", () => {
    for (const [text, message] of [
      ['[machine]\nkernel = "k"', 'F: /machine/kernel: expected an absolute path, got "k"'],
      ["[machine]\nqemu = 5", "F: /machine/qemu: expected an absolute path, got 5"],
      ['[machine]\nmemory = "64M"', 'F: /machine/memory: expected a size from 128M to 1T, got "64M"'],
      ['[machine]\nmemory = "much"', 'F: /machine/memory: expected a size from 128M to 1T, got "much"'],
      ["[machine]\nmemory = 256", "F: /machine/memory: expected a size from 128M to 1T, got 256"],
      ["[machine]\ncpus = 0", "F: /machine/cpus: expected a number from 1 to 255, got 0"],
      ["[machine]\ncpus = 1.5", "F: /machine/cpus: expected an integer, got 1.5"],
      ["[machine]\nkernal = 1", "F: /machine/kernal: unknown"],
      ["[machines]\ncpus = 1", "F: /machines: unknown"],
      ["machine = 1", "F: /machine: expected an object, got 1"],
      ["machine = []", "F: /machine: expected an object, got []"],
      ['[machine]\nmodules = "/m"', "F: /machine/modules: there is no /machine/kernel that they are for"],
    ])
      expect(refused(text ?? "")).toBe(message ?? "");
    expect(refused('[machine]\naccelerator = "xen"')).toStartWith("F: /machine/accelerator: ");
    expect(refused("__proto__ = 1")).toContain("/__proto__: unknown");
  });

  const places: [text: string, where: string][] = [
    ["[machine]\n\ncpus = \n# more\n", "line 3, column 8: Missing value"],
    ["[machine]\ncpus = 1\ncpus = 2\n", "line 3, column 8: Cannot redefine key 'cpus'"],
    ["a = 1\n b = = 2\nc = 3\n", "line 2, column 6: Expected a value but found '='"],
    ["memory = 512M\n", "line 1, column 13: Unexpected character"],
    ["memory = lots\nx = 1\n", 'line 1, column 10: Strings must be quoted: "lots"'],
    ['hide = [\n "a"\n "b"\n]\nwrite = []\n', "line 3, column 2: Expected ',' or ']'"],
    ['hide = [\n "a",\nwrite = ["."]\n', "line 3, column 1: Strings must be quoted"],
    ['x = "\\q"\n', "line 1, column 7: Invalid escape"],
    // where what has no end begins
    ['x = """\nnever closed\n', "line 1, column 1: Unterminated"],
    ["[machine]\nx = [1,\n2]\n\n [machine", "line 5, column 2: "],
    ["cpus = 1\nx = [1, 2\n", "line 2, column 1: Expected ',' or ']' in an array but found end of file"],
    ["a = 1\nb =", "line 2, column 1: Missing value"],
    ["a = '\udcff'", "line 1, column 6: the byte 0xff is not UTF-8"],
    [`x = ${"[".repeat(50_000)}`, "line 1, column "],
    [`x = 1\n${"# \n".repeat(3000)}= x\n${"# \n".repeat(3000)}`, "line 3002, column 1: Expected a key"],
    [`${"# \n".repeat(3000)}x = [`, "line 3001, column 6: Unterminated"],
  ];
  test.each(places)("that are no TOML are told by their place %#", (text, where) => {
    expect(refused(text)).toStartWith(`F: not TOML: ${where}`);
  });
  test("that are nested without end are told by their field", () => {
    const deep = `${"[".repeat(3000)}${"]".repeat(3000)}`;
    expect(refused(`[machine]\nx = ${deep}`)).toBe("F: /machine/x/0: nested more than 1000 deep");
  });
});
