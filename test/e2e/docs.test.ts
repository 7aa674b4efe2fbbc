// The examples of docs/: a block that begins with "```sh test" is run as it stands, and must print the "```text output" after it.
import { describe, expect } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Box, e2e, execute, HAKO, type Needs, needsHako, needsProgram, REPOSITORY } from "./support";

const DOCS = join(REPOSITORY, "docs");

interface Example {
  line: number;
  needs: string[];
  script: string;
  output: string | undefined;
}

/** The fenced blocks of a page that are examples to run. */
function examplesOf(page: string): Example[] {
  const examples: Example[] = [];
  const blocks = page.matchAll(/^```(sh test|text output)(?: needs=(\S+))?\n([\s\S]*?)^```$/gm);
  for (const { 1: kind, 2: needs, 3: text = "", index } of blocks) {
    const last = examples.at(-1);
    if (kind === "sh test") {
      const line = page.slice(0, index).split("\n").length;
      examples.push({ line, needs: needs?.split(",") ?? [], script: text, output: undefined });
    } else if (last !== undefined) last.output = text;
  }
  return examples;
}

/** A directory for PATH: hako with a state directory of its own, and the bun that runs the tests. */
function programs(box: Box): string {
  const bin = box.path("bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "hako"), `#!/bin/sh\nexec '${HAKO}' --root '${box.root}' "$@"\n`, { mode: 0o755 });
  symlinkSync(process.execPath, join(bin, "bun"));
  return bin;
}

function lacking(needs: readonly string[]): Needs[] {
  return needs.filter((name) => name !== "bun").map(needsProgram);
}

for (const name of readdirSync(DOCS).filter((file) => file.endsWith(".md"))) {
  const examples = examplesOf(readFileSync(join(DOCS, name), "utf8"));
  if (examples.length === 0) continue;
  describe(`docs/${name}`, () => {
    for (const { line, needs, script, output } of examples) {
      e2e(`line ${line}`, () => {
        using box = new Box();
        const cwd = box.path("work");
        mkdirSync(cwd);
        const env = { PATH: `${programs(box)}:${process.env.PATH ?? ""}`, HOME: cwd };
        const result = execute("bash", ["-euo", "pipefail", "-c", script], { cwd, env });
        // containers have the names that readers see: none may stay for the next example
        for (const id of box.ok("list", "--quiet").stdout.split("\n").filter(Boolean))
          box.ok("delete", "--force", id);
        expect({ status: result.status, stdout: result.stdout, stderr: result.stderr }).toEqual({
          status: 0,
          stdout: output ?? result.stdout,
          stderr: result.stderr,
        });
      }, [needsHako, ...lacking(needs)]);
    }
  });
}
