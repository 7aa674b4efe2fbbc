// The pages of the repository: every command in README and docs/ is run, as a reader would run it. A block says by its kind how:
//   ```sh test [needs=jq,ip]   as it stands; it must print the "```text output" that follows. hako has a state directory of its own
//   ```sh host [needs=...]     where what it writes below /etc, /usr, /var, /root and /run is gone afterwards; hako is /usr/local/bin/hako
//   ```sh user [needs=...]     as an ordinary user
//   ```sh sdk [needs=...]      as "sh test", in a project that has the TypeScript library
//   ```sh by=FILE              it needs an image or a daemon: the tests of that file make the same calls
// Settings are toml, json, yaml or ini, and drawings text. Nothing is indented in their place.
import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { aliasesOf } from "../../src/cli/find-command";
import program from "../../src/commands";
import { installLibrary } from "./library-project";
import {
  Box,
  e2e,
  execute,
  HAKO,
  type Needs,
  needsHako,
  needsProgram,
  REPOSITORY,
  type Result,
} from "./support";
import { throwAway } from "./throw-away";

const USER = 12_345;
/** A build from nothing, with packages that may have to be fetched. */
const LONG = 400_000;

const PAGES = [".", "docs", "docs/decisions"].flatMap((directory) =>
  readdirSync(join(REPOSITORY, directory))
    .filter((name) => name.endsWith(".md") && name !== "CHANGELOG.md")
    .map((name) => join(directory, name)),
);
/** Whose indented lines are scripts of the repository, each with what it does. */
const FOR_DEVELOPERS = ["docs/development.md", "CONTRIBUTING.md"];
const DEVELOPERS_PROGRAMS = ["npx", "npm"];

interface Block {
  line: number;
  kind: string;
  needs: string[];
  text: string;
  output: string | undefined;
}

function textOf(page: string): string {
  return readFileSync(join(REPOSITORY, page), "utf8");
}

/** The fenced blocks of a page; output belongs to the block before it. */
function blocksOf(page: string): Block[] {
  const text = textOf(page);
  const blocks: Block[] = [];
  for (const { 1: info = "", 2: content = "", index } of text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)) {
    const last = blocks.at(-1);
    const [, kind = info, needs] = /^(.*?)(?: needs=(\S+))?$/.exec(info) ?? [];
    if (kind === "text output" && last !== undefined) last.output = content;
    else {
      const line = text.slice(0, index).split("\n").length;
      blocks.push({ line, kind, needs: needs?.split(",") ?? [], text: content, output: undefined });
    }
  }
  return blocks;
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

const BASH = ["-euo", "pipefail", "-c"];

/** Runs a block where it stands. */
function here(box: Box, cwd: string, script: string): Result {
  const env = { PATH: `${programs(box)}:${process.env.PATH ?? ""}`, HOME: cwd };
  const result = execute("bash", [...BASH, script], { cwd, env });
  // containers have the names that readers see: none may stay for the next example
  for (const id of box.ok("list", "--quiet").stdout.split("\n").filter(Boolean))
    box.ok("delete", "--force", id);
  return result;
}

/** Runs a block in a project that has the library. */
function inProject(box: Box, cwd: string, script: string): Result {
  installLibrary(cwd);
  return here(box, cwd, script);
}

/** Runs a block where the host's files are, and what it changes of them is gone with its mount namespace. */
function onHost(box: Box, cwd: string, script: string): Result {
  const env = {
    PATH: `/usr/local/bin:${process.env.PATH ?? ""}`,
    HOME: process.env.HOME ?? "/root",
    HAKO,
    npm_config_prefer_offline: "true",
  };
  const install = 'rm -f /usr/local/bin/hako && ln -s "$HAKO" /usr/local/bin/hako\n';
  return throwAway(box, cwd, install + script.replaceAll("REPOSITORY", REPOSITORY), env, LONG);
}

/** Runs a block as somebody who is nobody here. */
function asUser(box: Box, cwd: string, script: string): Result {
  const bin = box.path("bin");
  mkdirSync(bin);
  copyFileSync(HAKO, join(bin, "hako"));
  chmodSync(join(bin, "hako"), 0o755);
  for (const dir of [box.dir, bin]) chmodSync(dir, 0o755);
  chownSync(cwd, USER, USER);
  const env = { PATH: `${bin}:${process.env.PATH ?? ""}`, HOME: cwd, XDG_RUNTIME_DIR: cwd };
  const ids = ["--reuid", String(USER), "--regid", String(USER), "--clear-groups"];
  return execute("setpriv", [...ids, "bash", ...BASH, script], { cwd, env });
}

const WAYS: Readonly<Record<string, (box: Box, cwd: string, script: string) => Result>> = {
  "sh test": here,
  "sh host": onHost,
  "sh user": asUser,
  "sh sdk": inProject,
};

/** Reads a block of settings; what is no such text throws. */
const SETTINGS: Readonly<Record<string, (text: string) => unknown>> = {
  toml: (text) => Bun.TOML.parse(text),
  json: (text) => JSON.parse(text),
  yaml: (text) => Bun.YAML.parse(text),
  ini: (text) => expect(text).toMatch(/^(#.*\n|\[\w+\]\n|\w+=.*\n)+$/),
  // a drawing, or an answer: nothing to type
  text: (text) => expect(text).not.toMatch(/^\s*(\$|#|hako [a-z]+ -)/m),
};

for (const page of PAGES) {
  describe(page, () => {
    for (const { line, kind, needs, text, output } of blocksOf(page)) {
      const run = WAYS[kind];
      if (run === undefined) continue;
      const needed =
        kind === "sh host" ? [needsProgram("unshare")] : kind === "sh user" ? [needsProgram("setpriv")] : [];
      // a build takes long, and one page that says how is enough for each run
      const isLong = page === "README.md" && text.includes("build.ts");
      e2e(
        `line ${line}${isLong ? " @all" : ""}`,
        () => {
          using box = new Box();
          const cwd = box.path("work");
          mkdirSync(cwd);
          writeFileSync(join(cwd, "untrusted.sh"), "#!/bin/sh\necho ran\n", { mode: 0o755 });
          const { status, stdout, stderr } = run(box, cwd, text);
          expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: output ?? stdout, stderr });
        },
        [needsHako, ...needed, ...lacking(needs)],
        LONG,
      );
    }

    test("each block is run, read, or says which tests make its calls", () => {
      for (const { line, kind, text } of blocksOf(page)) {
        if (kind in WAYS) continue;
        const by = /^sh by=(\S+)$/.exec(kind)?.[1];
        if (by !== undefined) {
          const calls = text
            .trimEnd()
            .split("\n")
            .map((each) => each.split(" ")[0] ?? "");
          const made = calls.filter((call) => textOf(by).includes(call));
          expect([line, made.length > 0]).toEqual([line, true]);
        } else {
          expect([line, kind]).toEqual([line, kind in SETTINGS ? kind : "a kind that is known"]);
          SETTINGS[kind]?.(text);
        }
      }
    });

    test("no command stands outside of a block", () => {
      const outside = textOf(page).replaceAll(/^```.*\n[\s\S]*?^```$/gm, "");
      const indented = [...outside.matchAll(/(?<=\n\n|^) {4}\S.*(\n {4}.*)*/g)].map(([text]) => text);
      if (!FOR_DEVELOPERS.includes(page)) expect(indented).toEqual([]);
      for (const line of indented.flatMap((text) => text.split("\n"))) {
        const [script = ""] = line.trim().split(/\s/);
        const known = DEVELOPERS_PROGRAMS.includes(script) || existsSync(join(REPOSITORY, script));
        expect([line, known]).toEqual([line, true]);
      }
    });

    test("files that it names or leads to are there", () => {
      const text = textOf(page);
      const links = [...text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, path = ""]) =>
        join(dirname(page), path),
      );
      const named = [...text.matchAll(/`((?:src|test|scripts|docs)\/[\w./-]+)`/g)].map(
        ([, path = ""]) => path,
      );
      const missing = [...links, ...named].filter((path) => !existsSync(join(REPOSITORY, path)));
      // a name of the reader's own is in capitals: src/commands/NAME.ts
      expect(missing.filter((path) => !/\b[A-Z]+\b/.test(path))).toEqual([]);
    });

    test("commands of hako in the text exist, with their flags", () => {
      for (const [, call = ""] of textOf(page).matchAll(/`(hako [^`]*)`/g)) {
        expect([call, unknownWords(call)]).toEqual([call, []]);
      }
    });
  });
}

e2e("scripts/demo shows what README says of it", () => {
  const { status, stdout } = execute("scripts/demo", [], { cwd: REPOSITORY });
  expect(status).toBe(0);
  expect(stdout).toContain("on the host       /tmp/hako-demo-marker is not there");
  expect(stdout).toContain("== Its exit code is the command's: sh -c 'exit 42'\n42\n");
}, [needsHako]);

const helps = new Map<string, string>();

function helpOf(...words: string[]): string {
  const key = words.join(" ");
  const known = helps.get(key) ?? execute(HAKO, [...words, "--help"]).stdout;
  helps.set(key, known);
  return known;
}

/** The words that commands have. */
const NAMES = new Set(
  Object.entries(program.subCommands ?? {}).flatMap(([name, { meta }]) => [name, ...aliasesOf(meta)]),
);

/** What of a call no help speaks of. */
function unknownWords(call: string): string[] {
  const words = (call.split(/ -- |[|;&>]/)[0] ?? "").split(/\s+/).slice(1);
  const place = words.findIndex((word) => /^[a-z]+$/.test(word) && NAMES.has(word));
  // "hako COMMAND --help", "hako ..."
  if (place < 0)
    return words.filter((word) => /^[a-z]{3,}$/.test(word) && !["kata-check", "version"].includes(word));
  const name = words[place] ?? "";
  const group = helpOf(name).includes(`usage: hako ${name} COMMAND`);
  const path = group ? [name, words[place + 1] ?? ""] : [name];
  // "mapping add|get": the first of them
  const first = path.map((word) => word.split("|")[0] ?? word);
  const flags = (list: string[], help: string) =>
    list
      .map((word) => /^(--[a-z-]+|-[a-z])(?=$|[^a-z-])/.exec(word.replaceAll(/[[\]]/g, ""))?.[1] ?? "")
      .filter((flag) => flag !== "" && flag !== "--help" && !help.includes(` ${flag}`));
  return [
    ...flags(words.slice(0, place), helpOf()),
    ...flags(words.slice(place + path.length), helpOf(...first)),
  ];
}
