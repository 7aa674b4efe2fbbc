// Machine code that is written in hexadecimal is what the assembler makes of its text.
import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { REMOTE } from "../../src/linux/remote-code";

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

describe("machine code", () => {
  for (const arch of ["x64", "arm64"] as const) {
    const name = `the program of a remote process, ${arch}`;
    const prefix = PREFIXES[arch];
    if (Bun.which(`${prefix}as`) === null) {
      console.log(`skipped: ${name}: ${prefix}as is not installed`);
      test.skip(name, () => {});
      continue;
    }
    test(name, () => {
      const code = (REMOTE[arch] ?? "").replaceAll(/\s/g, "");
      expect(assembled(join(SOURCES, `remote-process.${arch}.s`), prefix)).toBe(code);
    });
  }
});
