// The TypeScript library in sdk/, installed as a package, on node and on Bun.
import { describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { installLibrary, Project } from "./library-project";
import { e2e, execute, HAKO, type Needs, needsHako, needsProgram, REPOSITORY, until } from "./support";

const LONG = 300_000;
const USER = 12_345;

function needsNode(): Needs {
  const lacking = needsProgram("node");
  if (lacking !== undefined) return lacking;
  const { stdout } = execute("node", ["--version"]);
  return Number(/^v(\d+)/.exec(stdout)?.[1]) >= 20 ? undefined : `node ${stdout.trim()} is older than 20`;
}

describe("the library", () => {
  e2e(
    "passes its tests on node",
    async () => {
      using project = new Project();
      const told = project.run("node", ["--test", "--test-reporter=tap", await project.tests()]);
      expect(told).toContain("# fail 0");
    },
    [needsHako, needsNode()],
    LONG,
  );

  e2e(
    "passes its tests on Bun",
    async () => {
      using project = new Project();
      project.run(process.execPath, ["test", "--timeout", "60000", await project.tests()]);
    },
    [needsHako],
    LONG,
  );

  e2e("runs for an ordinary user, who has its own state directory", () => {
    using project = new Project();
    project.give(USER);
    const hako = join(project.directory, "executable");
    copyFileSync(HAKO, hako);
    chmodSync(hako, 0o755);
    writeFileSync(
      join(project.directory, "user.mjs"),
      `import { Sandbox } from "@hako-runtime/sdk";
      const sandbox = await Sandbox.start();
      const { stdout } = await sandbox.exec(["sh", "-c", "id -u; echo x > file; cat file; echo y > /etc/x || echo refused"]);
      console.log(stdout, (await sandbox.close()).exitCode);`,
    );
    const user = ["--reuid", String(USER), "--regid", String(USER), "--clear-groups", process.execPath];
    const more = { XDG_RUNTIME_DIR: project.directory, HAKO_EXECUTABLE: hako, BUN_INSTALL_CACHE_DIR: "" };
    expect(project.run("setpriv", [...user, "user.mjs"], more)).toBe(`${USER}\nx\nrefused\n 0\n`);
  }, [needsHako, needsProgram("setpriv")]);

  e2e("ends sandboxes with a program that npx has started, not with npx", async () => {
    using project = new Project();
    project.install(
      "tool",
      `#!/usr/bin/env node
      import { Sandbox } from "@hako-runtime/sdk";
      await Sandbox.start({ root: process.env.HAKO_ROOT });
      console.log(process.pid);`,
    );
    const npx = spawn("npx", ["--offline", "tool"], {
      ...{ cwd: project.directory, env: project.environment },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [pid] = await once(npx.stdout, "data");
    npx.kill("SIGKILL");
    await once(npx, "exit");
    await Bun.sleep(300);
    expect(project.containers()).not.toBe("");
    process.kill(Number(String(pid)), "SIGKILL");
    await until("no container is left", () => project.containers() === "");
  }, [needsHako, needsNode(), needsProgram("npx")]);

  e2e(
    "ends sandboxes with vitest's workers, threads and processes @all",
    () => {
      using project = new Project();
      const installed = execute("npm", ["install", "--no-audit", "--no-fund", "vitest"], {
        ...{ cwd: project.directory, env: project.environment, timeout: LONG },
      });
      if (installed.status !== 0) {
        console.log(`skipped: vitest can't be installed: ${installed.stderr.split("\n")[0]}`);
        return;
      }
      // npm takes away what no package.json names
      installLibrary(project.directory);
      writeFileSync(
        join(project.directory, "smoke.test.mjs"),
        `import { expect, test } from "vitest";
      import { Sandbox, run } from "@hako-runtime/sdk";
      const hako = { root: process.env.HAKO_ROOT };
      test("sorts", async () => {
        expect((await run({ ...hako, command: ["sort"], input: "b\\na\\n" })).stdout).toBe("a\\nb\\n");
      });
      test("leaves one", async () => {
        expect((await (await Sandbox.start(hako)).exec(["echo", "x"])).stdout).toBe("x\\n");
      });`,
      );
      for (const pool of ["forks", "threads"]) {
        project.run(join(project.directory, "node_modules/.bin/vitest"), ["run", "--pool", pool]);
        expect(project.containers()).toBe("");
      }
    },
    [needsHako, needsNode(), needsProgram("npm")],
    LONG,
  );

  test(
    "has types for programs in TypeScript, which refuse what hako would",
    () => {
      using project = new Project();
      const program = (line: string) =>
        `import { run, Sandbox } from "@hako-runtime/sdk";
      await using sandbox = await Sandbox.start({ userns: "auto", write: ".", policy: { extends: "agent" } });
      const { stdout, refused } = await sandbox.exec(["ls"], { timeout: 1000 });
      const told: string[] = [stdout, ...refused.map(({ host }) => host)];
      ${line}
      console.log(told);`;
      const compile = (line: string, module = ["nodenext"]) => {
        writeFileSync(join(project.directory, "program.mts"), program(line));
        const target = ["--target", "es2022", "--module", ...module, "--strict", "--noEmit"];
        const tsc = join(REPOSITORY, "node_modules/.bin/tsc");
        // as of who names no types: the library says itself that its own need node's
        const args = [...target, "--types", "", "program.mts"];
        return execute(tsc, args, { cwd: project.directory }).stdout;
      };
      const types = join(project.directory, "node_modules/@types");
      mkdirSync(types);
      for (const name of ["node", "bun"])
        if (existsSync(join(REPOSITORY, "node_modules/@types", name)))
          symlinkSync(join(REPOSITORY, "node_modules/@types", name), join(types, name));
      for (const module of [["nodenext"], ["esnext", "--moduleResolution", "bundler"]])
        expect([module, compile("", module)]).toEqual([module, ""]);
      const wrong = compile(`
        await run({ command: ["true"], userns: "nobody" });
        await run({ command: ["true"], memry: "1G" });
        await run({ command: ["true"], policy: { hides: ["x"] } });
        told.push((await run({ command: ["true"], encoding: "buffer" })).stdout);`);
      expect(wrong.match(/^program.mts\(\d+/gm)).toHaveLength(4);
      for (const word of ['"nobody"', "memry", "hides", "Uint8Array"]) expect(wrong).toContain(word);
    },
    LONG,
  );

  e2e("has errors that are known by another copy of it, and may be extended", () => {
    using project = new Project();
    const copy = join(project.directory, "copy/node_modules/@hako-runtime");
    cpSync(join(project.directory, "node_modules/@hako-runtime"), copy, { recursive: true });
    writeFileSync(
      join(project.directory, "copies.mjs"),
      `import * as one from "@hako-runtime/sdk";
      import * as other from "./copy/node_modules/@hako-runtime/sdk/dist/index.js";
      class Mine extends one.SandboxError {}
      const usage = await one.run({ memry: "1G" }).catch((error) => error);
      const program = new one.ProgramError("x", { exitCode: 1, signal: null });
      const of = (error) => [one, other].flatMap((copy) => [error instanceof copy.SandboxError, error instanceof copy.ProgramError]);
      console.log(of(usage).join(), of(program).join(), of(new Error("x")).join(), of(null).join());
      console.log(usage instanceof Mine, new Mine("usage", "x") instanceof Mine, of(new Mine("usage", "x")).join());`,
    );
    expect(project.run(process.execPath, ["copies.mjs"])).toBe(
      [
        "true,false,true,false false,true,false,true false,false,false,false false,false,false,false",
        "false true true,false,true,false\n",
      ].join("\n"),
    );
  }, [needsHako]);

  e2e("may be bundled: it finds the package of the program, and knows its version", async () => {
    using project = new Project();
    const executable = join(project.directory, `node_modules/@hako-runtime/linux-${process.arch}/bin/hako`);
    mkdirSync(dirname(executable), { recursive: true });
    writeFileSync(executable, "#!/bin/sh\necho 'hako: unknown flag --x' >&2; exit 2\n", { mode: 0o755 });
    const entry = join(project.directory, "entry.mjs");
    writeFileSync(
      entry,
      `import { findExecutable, run } from "@hako-runtime/sdk";
      run({ command: ["true"] }).catch(({ message }) => console.log(findExecutable(), message));`,
    );
    const outdir = join(project.directory, "bundled");
    // as esbuild leaves it in CommonJS
    const define = { "import.meta.url": "undefined" };
    const built = await Bun.build({ entrypoints: [entry], outdir, target: "node", format: "cjs", define });
    expect(built.success).toBe(true);
    writeFileSync(join(outdir, "package.json"), "{}");
    expect(project.run(process.execPath, ["bundled/entry.js"], { HAKO_EXECUTABLE: "" })).toMatch(
      /\/linux-\w+\/bin\/hako unknown flag --x \(the library is for hako \d+\.\d+\.\d+\)\n$/,
    );
  }, [needsHako]);

  e2e("finds the executable of an npm package before others, and says where to get one", () => {
    using project = new Project();
    const find = (more: Record<string, string>) =>
      project.run(
        process.execPath,
        [
          "-e",
          'import("@hako-runtime/sdk").then((sdk) => console.log(sdk.findExecutable())).catch((e) => console.log(e.code))',
        ],
        { HAKO_EXECUTABLE: "", ...more },
      );
    expect(find({ PATH: ":.:/no/such" })).toMatch(/^(not-found|\/usr\/.*hako)\n$/);
    const directory = join(project.directory, "bin");
    mkdirSync(directory);
    writeFileSync(join(directory, "hako"), "", { mode: 0o755 });
    expect(find({ PATH: `/no/such:${directory}` })).toBe(`${directory}/hako\n`);
    // as pnpm lays packages: the executable is the main package's own dependency
    const main = join(project.directory, "node_modules/@hako-runtime/hako");
    const platform = join(main, `node_modules/@hako-runtime/linux-${process.arch}`);
    mkdirSync(join(platform, "bin"), { recursive: true });
    for (const each of [main, platform]) writeFileSync(join(each, "package.json"), "{}");
    writeFileSync(join(platform, "bin/hako"), "", { mode: 0o755 });
    expect(find({ PATH: directory })).toBe(`${platform}/bin/hako\n`);
    expect(find({ PATH: directory, HAKO_EXECUTABLE: "/told" })).toBe("/told\n");
  }, [needsHako]);
});
