// Machine code that is written in hexadecimal is what the assembler makes of its text.
import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RECORDER } from "../../src/linux/attendant/signal-recorder";
import { REMOTE } from "../../src/linux/remote/remote-code";
import { INTERPRETER } from "../../src/linux/steps/interpreter-code";

const SOURCES = join(import.meta.dir, "../assembly");
/** The prefix of the machine's tools. */
const PREFIXES = {
  x64: process.arch === "x64" ? "" : "x86_64-linux-gnu-",
  arm64: process.arch === "arm64" ? "" : "aarch64-linux-gnu-",
};

function assembled(source: string, prefix: string): string {
  const dir = mkdtempSync(join(tmpdir(), "hako-assembly-"));
  try {
    const [object, binary] = [join(dir, "object"), join(dir, "binary")];
    for (const command of [
      [`${prefix}as`, "-o", object, source],
      [`${prefix}objcopy`, "-O", "binary", "-j", ".text", object, binary],
    ]) {
      const { exitCode, stderr } = Bun.spawnSync(command);
      expect([exitCode, stderr.toString()]).toEqual([0, ""]);
    }
    return readFileSync(binary).toString("hex");
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** What there is, by the name of its text. */
const PIECES = {
  "remote-process": REMOTE,
  interpreter: INTERPRETER,
  "signal-recorder": RECORDER,
};

describe("machine code", () => {
  for (const arch of ["x64", "arm64"] as const) {
    const prefix = PREFIXES[arch];
    for (const [piece, code] of Object.entries(PIECES)) {
      const name = `${piece}, ${arch}`;
      if (Bun.which(`${prefix}as`) === null) {
        console.log(`skipped: ${name}: ${prefix}as is not installed`);
        test.skip(name, () => {});
        continue;
      }
      test(name, () => {
        const hex = (code[arch] ?? "").replaceAll(/\s/g, "");
        expect(assembled(join(SOURCES, `${piece}.${arch}.s`), prefix)).toBe(hex);
      });
    }
  }
});
