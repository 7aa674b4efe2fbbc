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

  test("that are no TOML are told by their line", () => {
    expect(refused("[machine]\n\ncpus = \n# more\n")).toStartWith("F: not TOML: line 3: Missing value");
    expect(refused("[machine]\ncpus = 1\ncpus = 2\n")).toStartWith("F: not TOML: line 3: ");
    expect(refused('x = """\nnever closed\n')).toStartWith("F: not TOML: line 1: ");
    expect(refused("[machine]\nx = [1,\n2]\n[machine")).toStartWith("F: not TOML: line 4: ");
  });
});
