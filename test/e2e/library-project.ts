// A project with the TypeScript library of sdk/ in it, for its tests and for the examples of docs/sdk.md.
import { chmodSync, chownSync, cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Box, execute, HAKO, REPOSITORY } from "./support";

const LONG = 300_000;

/** Puts the library into a project's node_modules, as npm would. */
export function installLibrary(directory: string): void {
  const installed = join(directory, "node_modules/@hako-runtime/sdk");
  mkdirSync(installed, { recursive: true });
  cpSync(join(REPOSITORY, "sdk/package.json"), join(installed, "package.json"));
  const tsc = join(REPOSITORY, "node_modules/.bin/tsc");
  const compiled = execute(tsc, ["--project", join(REPOSITORY, "sdk"), "--outDir", join(installed, "dist")]);
  if (compiled.status !== 0) throw new Error(`the library can't be compiled: ${compiled.stdout}`);
  writeFileSync(join(directory, "package.json"), '{"name": "project", "type": "module"}');
}

/** A project that has the library as npm would put it there, and its tests. */
export class Project implements Disposable {
  readonly #box = new Box();
  readonly directory = this.#box.path("project");
  readonly environment: Record<string, string>;

  constructor() {
    mkdirSync(this.directory);
    installLibrary(this.directory);
    this.environment = {
      PATH: process.env.PATH ?? "/usr/bin:/bin",
      HOME: this.directory,
      HAKO_EXECUTABLE: HAKO,
      HAKO_ROOT: this.#box.root,
    };
  }

  run(program: string, args: string[], more: Record<string, string> = {}) {
    const env = { ...this.environment, ...more };
    const { status, stdout, stderr } = execute(program, args, { cwd: this.directory, env, timeout: LONG });
    if (status !== 0) throw new Error(`${program}: status ${status}\n${stdout}${stderr}`);
    return stdout;
  }

  /** Installs something that can be executed, as a package that has one file. */
  install(name: string, program: string): void {
    const installed = join(this.directory, "node_modules", name);
    mkdirSync(installed, { recursive: true });
    writeFileSync(
      join(installed, "package.json"),
      JSON.stringify({ name, version: "1.0.0", bin: "bin/main.mjs" }),
    );
    mkdirSync(join(installed, "bin"));
    writeFileSync(join(installed, "bin/main.mjs"), program, { mode: 0o755 });
    mkdirSync(join(this.directory, "node_modules/.bin"), { recursive: true });
    symlinkSync(`../${name}/bin/main.mjs`, join(this.directory, "node_modules/.bin", name));
  }

  containers(): string {
    return this.#box.ok("list", "-q").stdout;
  }

  /** Whose it is from now on. */
  give(user: number): void {
    chmodSync(this.#box.dir, 0o755);
    chownSync(this.directory, user, user);
  }

  /** The library's own tests as plain JavaScript, without `await using`, which node 20 hasn't. */
  async tests(): Promise<string> {
    const built = await Bun.build({
      entrypoints: [join(REPOSITORY, "sdk/test/sdk.test.ts")],
      outdir: this.directory,
      naming: "[name].js",
      target: "node",
      external: ["@hako-runtime/sdk"],
    });
    if (!built.success) throw new AggregateError(built.logs, "the tests can't be built");
    return "./sdk.test.js";
  }

  [Symbol.dispose](): void {
    this.#box[Symbol.dispose]();
  }
}
