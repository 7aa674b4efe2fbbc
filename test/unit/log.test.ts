import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configureLog, logDebug, logWarning } from "../../src/output/log";
import type { Verbosity } from "../../src/output/reporters";

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hako-log-"));
});
afterEach(() => {
  configureLog({ json: false, verbosity: "warning" });
  rmSync(dir, { recursive: true });
});

/** The levels of the lines that a log file gets of a warning and a step. */
function levels(json: boolean, verbosity: Verbosity): string[] {
  const file = join(dir, `${json}-${verbosity}`);
  configureLog({ file, json, verbosity });
  logWarning('a "quoted" word\nand a line');
  logDebug("a step");
  const lines = readFileSync(file, "utf8").split("\n").slice(0, -1);
  return lines.map((line) =>
    json ? JSON.parse(line).level : (/ level=(\w+) msg="/.exec(line)?.[1] ?? line),
  );
}

describe("what a log file gets", () => {
  const rows: [boolean, Verbosity, string[]][] = [
    [false, "error", []],
    [false, "warning", ["warning"]],
    [false, "debug", ["warning", "debug"]],
    [true, "error", []],
    // podman decodes the file as one object
    [true, "warning", []],
    [true, "debug", ["warning", "debug"]],
  ];
  for (const [json, verbosity, expected] of rows)
    test(`${json ? "JSON" : "text"}, ${verbosity}`, () => expect(levels(json, verbosity)).toEqual(expected));
});

test("what was told before is told again", () => {
  const file = join(dir, "again");
  configureLog({ file, json: false, verbosity: "warning" });
  for (let turn = 0; turn < 20; turn++) logWarning("the same");
  expect(readFileSync(file, "utf8").match(/msg="the same"/g)).toHaveLength(20);
});

test("on standard error a line begins with what it is", () => {
  const script = `
    import { configureLog, logDebug, logFailure, logWarning } from "${import.meta.dir}/../../src/output/log";
    configureLog({ json: false, verbosity: "debug" });
    logDebug("a step");
    logWarning("left\\nout: \\u001b");
    logFailure("it failed");
  `;
  const file = join(dir, "script.ts");
  writeFileSync(file, script);
  const { stderr } = Bun.spawnSync([process.execPath, file]);
  expect(stderr.toString()).toBe("hako: debug: a step\nhako: warning: left out: \\x1b\nhako: it failed\n");
});
