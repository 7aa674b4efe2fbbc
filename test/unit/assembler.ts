// The assembler of each machine, if it is there.
import { expect } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The prefix of the machine's tools. */
export const PREFIXES = {
  x64: process.arch === "x64" ? "" : "x86_64-linux-gnu-",
  arm64: process.arch === "arm64" ? "" : "aarch64-linux-gnu-",
};

/** What the assembler makes of a text, in hexadecimal. */
export function assembled(text: string, prefix: string): string {
  const dir = mkdtempSync(join(tmpdir(), "hako-assembly-"));
  try {
    const [object, binary] = [join(dir, "object"), join(dir, "binary")];
    for (const command of [
      [`${prefix}as`, "-o", object, "-"],
      [`${prefix}objcopy`, "-O", "binary", "-j", ".text", object, binary],
    ]) {
      const { exitCode, stderr } = Bun.spawnSync(command, { stdin: Buffer.from(text) });
      expect([exitCode, stderr.toString()]).toEqual([0, ""]);
    }
    return readFileSync(binary).toString("hex");
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
