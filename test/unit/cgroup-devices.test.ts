import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { deviceProgram } from "../../src/cgroup/controllers/device-program";
import {
  type AccessRule,
  accessRule,
  DEFAULT_DEVICES,
  ruleText,
} from "../../src/cgroup/controllers/device-rules";

/** Runs a device program as the kernel does; only the instructions that hako uses. */
function runProgram(bytes: Uint8Array, type: number, access: number, major: number, minor: number): number {
  const program = Buffer.from(bytes);
  const context = [(access << 16) | type, major, minor];
  const registers = new Array<number>(11).fill(0);
  const get = (index: number) => registers[index] ?? 0;
  for (let at = 0; ; at++) {
    const code = program.readUInt8(at * 8);
    const dst = program.readUInt8(at * 8 + 1) & 15;
    const src = program.readUInt8(at * 8 + 1) >> 4;
    const offset = program.readInt16LE(at * 8 + 2);
    const imm = program.readInt32LE(at * 8 + 4);
    if (code === 0x61) registers[dst] = context[offset / 4] ?? -1;
    else if (code === 0x54) registers[dst] = get(dst) & imm;
    else if (code === 0x74) registers[dst] = get(dst) >>> imm;
    else if (code === 0xb7) registers[dst] = imm;
    else if (code === 0xbf) registers[dst] = get(src);
    else if (code === 0x15) at += get(dst) === imm ? offset : 0;
    else if (code === 0x55) at += get(dst) !== imm ? offset : 0;
    else if (code === 0x95) return get(0);
    else throw new Error(`unknown instruction ${code}`);
  }
}

const BITS = { m: 1, r: 2, w: 4 } as const;

/** What the rules mean: for each letter of the access, the last rule about the device. */
function allowed(
  rules: readonly AccessRule[],
  type: "b" | "c",
  access: number,
  major: number,
  minor: number,
): boolean {
  return (["m", "r", "w"] as const)
    .filter((letter) => access & BITS[letter])
    .every((letter) => {
      const last = rules.findLast(
        (rule) =>
          (rule.type === "a" || rule.type === type) &&
          (rule.major === undefined || Number(rule.major) === major) &&
          (rule.minor === undefined || Number(rule.minor) === minor) &&
          rule.access.includes(letter),
      );
      return last?.allow ?? false;
    });
}

describe("the device program", () => {
  const number = fc.option(fc.bigInt(0n, 3n), { nil: undefined });
  const rule: fc.Arbitrary<AccessRule> = fc.record({
    allow: fc.boolean(),
    type: fc.constantFrom("a", "b", "c"),
    major: number,
    minor: number,
    access: fc.constantFrom("r", "w", "m", "rw", "rm", "wm", "rwm"),
  });

  test("decides as the rules say", () => {
    const device = fc.tuple(
      fc.constantFrom("b" as const, "c" as const),
      fc.integer({ min: 1, max: 7 }),
      fc.nat(3),
      fc.nat(3),
    );
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 8 }), device, (rules, [type, access, major, minor]) => {
        const result = runProgram(deviceProgram(rules), type === "b" ? 1 : 2, access, major, minor);
        expect(result === 1).toBe(allowed(rules, type, access, major, minor));
      }),
      { numRuns: 2000 },
    );
  });

  test("without rules nothing is allowed; the default devices are", () => {
    expect(runProgram(deviceProgram([]), 2, 2, 1, 3)).toBe(0);
    const program = deviceProgram(DEFAULT_DEVICES);
    expect(runProgram(program, 2, 6, 1, 3)).toBe(1);
    expect(runProgram(program, 2, 6, 136, 77)).toBe(1);
    expect(runProgram(program, 1, 1, 8, 0)).toBe(1);
    expect(runProgram(program, 1, 2, 8, 0)).toBe(0);
  });
});

describe("device rules", () => {
  test("are put into one form", () => {
    const rows: [Parameters<typeof accessRule>[0], string][] = [
      [{ allow: false }, "a *:* rwm"],
      [{ allow: true, type: "c", access: "rxw,r" }, "c *:* rw"],
      [{ allow: true, type: "a", access: "mwr" }, "a *:* rwm"],
      [{ allow: true, type: "c", major: 1, minor: -1, access: "r" }, "c 1:* r"],
      [{ allow: false, type: "b", major: 8, minor: 0, access: "wr" }, "b 8:0 rw"],
    ];
    for (const [input, text] of rows) expect(ruleText(accessRule(input))).toBe(text);
    expect(ruleText(accessRule({ allow: false, type: "" }))).toBe("a *:* rwm");
  });
});
