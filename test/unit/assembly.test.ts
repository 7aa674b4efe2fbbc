// Machine code that is written in hexadecimal is what the assembler makes of its text.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CODE, codeOf, LABELS } from "../../scripts/clean-start";
import { listedCode, listing } from "../../scripts/page-faults";
import { HEAP_SIZE, MADV_HUGEPAGE, TOUCHED_PAGES } from "../../scripts/used-memory";
import { PIPE_REGISTER, RECORDER } from "../../src/linux/attendant/signal-recorder";
import { DESCRIPTOR_REGISTER, REMOTE } from "../../src/linux/remote/remote-code";
import { SPAWN, SPAWN_BY_FLAGS, STEP_WALKER } from "../../src/linux/steps/clone-code";
import { INTERPRETER } from "../../src/linux/steps/interpreter-code";
import { codeFor, loadNumber, TABLE_REGISTER } from "../../src/linux/steps/machine-code";
import { assembled, PREFIXES } from "./assembler";

const ARCHITECTURES = ["x64", "arm64"] as const;
type Architecture = (typeof ARCHITECTURES)[number];
const SOURCES = join(import.meta.dir, "../assembly");
/** A test of code for a machine whose assembler is there. */
function assembly(
  name: string,
  arch: Architecture,
  body: (assemble: (text: string) => string) => void,
): void {
  const prefix = PREFIXES[arch];
  if (Bun.which(`${prefix}as`) !== null) {
    test(`${name}, ${arch}`, () => body((text) => assembled(text, prefix)));
    return;
  }
  console.log(`skipped: ${name}, ${arch}: ${prefix}as is not installed`);
  test.skip(`${name}, ${arch}`, () => {});
}

/** What there is, by the name of its text. */
const PIECES = {
  "remote-process": REMOTE,
  spawn: SPAWN,
  "spawn-by-flags": SPAWN_BY_FLAGS,
  "step-walker": STEP_WALKER,
  interpreter: INTERPRETER,
  "signal-recorder": RECORDER,
};

/** What begins a piece: a number goes into a register. */
const REGISTERS = [
  { register: TABLE_REGISTER, x64: "%r12d", arm64: "x9" },
  { register: DESCRIPTOR_REGISTER, x64: "%r8d", arm64: "x4" },
  { register: PIPE_REGISTER, x64: "%esi", arm64: "x1" },
];

/** The text of a listing, without the hexadecimal in front of it. */
function textOf(lines: string): string {
  return lines.replaceAll(/^ *[0-9a-f]+ */gm, "");
}

describe("machine code", () => {
  for (const arch of ARCHITECTURES) {
    for (const [name, code] of Object.entries(PIECES)) {
      assembly(name, arch, (assemble) => {
        const text = readFileSync(join(SOURCES, `${name}.${arch}.s`), "utf8");
        expect(assemble(text)).toBe(Buffer.from(codeFor(arch, code)).toString("hex"));
      });
    }
    assembly("a number in a register", arch, (assemble) => {
      for (const { register, ...names } of REGISTERS) {
        for (const number of [3, 0xffff, 0x10000, 0xfedc_ba98]) {
          const [low, high] = [number & 0xffff, number >>> 16];
          const movk = high === 0 ? "" : `; movk ${names.arm64},#${high},lsl #16`;
          const text = arch === "x64" ? `mov $${number},${names.x64}` : `movz ${names.arm64},#${low}${movk}`;
          const code = loadNumber(number, register, arch);
          expect(`${text}: ${Buffer.from(code).toString("hex")}`).toBe(`${text}: ${assemble(`${text}\n`)}`);
        }
      }
    });
    assembly("before Bun's first instruction", arch, (assemble) => {
      const code = codeOf(arch).toString("hex");
      expect(assemble(`entry:\n${textOf(CODE[arch])}${LABELS}`).slice(0, code.length)).toBe(code);
    });
  }

  assembly("what asks for memory at the start", "x64", (assemble) => {
    const numbers = { pointer: 0x1234567, lookUp: 0x2345678, next: 0x3456789 };
    const limits = { touched: 0x600000, fast: 0x8000, slow: 0x5000 };
    const known = { ...numbers, ...limits, HEAP_SIZE, MADV_HUGEPAGE, pages: TOUCHED_PAGES, PAGE: 4096 };
    const constants = Object.entries({ ...known, SAMPLE_CYCLES: 0x180000 });
    const { length } = listedCode(listing({ ...numbers, ...limits, asked: 0, samples: 0 }));
    // the tables lie behind the code, in this order
    const [asked, samples] = [length - 0x2a, length + 48 - 0xa8];
    const code = listing({ ...numbers, ...limits, asked, samples });
    const text = [
      ...constants.map(([name, value]) => `.set ${name},${value}`),
      textOf(code),
      "asked: .fill 48",
      "samples: .fill 24",
      "",
    ].join("\n");
    const hex = listedCode(code).toString("hex");
    expect(assemble(text).slice(0, hex.length)).toBe(hex);
  });
});
