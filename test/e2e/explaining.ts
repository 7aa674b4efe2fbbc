// What the tests of errors share.
import { expect } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Box, BundleConfig, Result } from "./support";

export type Mutate = (config: BundleConfig) => void;

/** The program of a bundle is what is written to /bin/program. */
export function bundleWith(
  box: Box,
  content: string | Uint8Array,
  mutate: Mutate = () => {},
  mode = 0o755,
): string {
  const bundle = box.bundle(["/bin/program"], mutate);
  const path = join(bundle, "rootfs/bin/program");
  writeFileSync(path, content);
  chmodSync(path, mode);
  return bundle;
}

/** One line with all of the words; the status of a failed command. */
export function expectError(result: Result, ...words: string[]): void {
  expect(result.stderr.trimEnd().split("\n")).toHaveLength(1);
  for (const word of words) expect(result.stderr).toContain(word);
  expect(result.status).not.toBe(0);
}
