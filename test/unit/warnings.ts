import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configureLog } from "../../src/output/log";

/** What an action returns, and the warnings that it gives, as they stand in a log file. */
export function withWarnings<T>(action: () => T): { result: T; warnings: string[] } {
  const dir = mkdtempSync(join(tmpdir(), "hako-warnings-"));
  const file = join(dir, "log");
  const usual = { json: false, verbosity: "warning" } as const;
  try {
    configureLog({ ...usual, file });
    const result = action();
    const told = readFileSync(file, "utf8").matchAll(/ level=warning msg=(".*")$/gm);
    return { result, warnings: [...told].map(([, message = ""]) => JSON.parse(message)) };
  } finally {
    configureLog(usual);
    rmSync(dir, { recursive: true });
  }
}
