// A home directory with secrets and a project in it, of root and of an ordinary user: what `run --rootfs /` hides, writes and protects.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AS_USER, Home, NEEDS, USER } from "./rootless-home";
import { Box, execute, HAKO, type Needs, needsHako, type Result } from "./support";

/** A home directory with what people keep there, and a project. */
export class Workplace implements Disposable {
  readonly home: string;
  readonly project: string;
  readonly #owner: Home | Box;

  constructor(owner: Home | Box) {
    this.#owner = owner;
    const box = owner instanceof Home ? owner.box : owner;
    this.home = join(box.dir, "own");
    this.project = join(this.home, "project");
    for (const path of [this.ssh, join(this.project, ".git/hooks"), join(this.project, "src/deep/er")])
      mkdirSync(path, { recursive: true });
    for (const [path, text] of [
      [join(this.ssh, "id"), "secret\n"],
      [join(this.project, ".env"), "secret\n"],
      [join(this.project, ".git/config"), "[core]\n"],
      [join(this.project, ".git/hooks/pre-commit"), "#!/bin/sh\n"],
      [join(this.project, "src/deep/er/file"), "text\n"],
    ] as const)
      writeFileSync(path, text);
    if (owner instanceof Home) execute("chown", ["-R", `${USER}:${USER}`, this.home]);
  }

  get ssh(): string {
    return join(this.home, ".ssh");
  }

  /** Words before a command that is the owner's. */
  get as(): string[] {
    return this.#owner instanceof Home ? AS_USER : [];
  }

  get words(): string[] {
    const owner = this.#owner;
    return [...this.as, ...(owner instanceof Home ? [owner.hakoPath] : [HAKO, "--root", owner.root])];
  }

  get env(): Record<string, string> {
    const owner = this.#owner;
    const env: Record<string, string> = owner instanceof Home ? owner.env : { PATH: process.env.PATH ?? "" };
    return { ...env, HOME: this.home };
  }

  /** A line of shell in the project, by `run --rootfs /` with these flags. */
  sh(flags: string[], line: string): Result {
    return this.run([...flags, "--", "sh", "-c", line]);
  }

  run(args: string[]): Result {
    const [command = "", ...rest] = this.words;
    return execute(command, [...rest, "run", "--rootfs", "/", ...args], { env: this.env, cwd: this.project });
  }

  /** All that is there, with what is in it. */
  get files(): string {
    const line = `find . -printf '%p %y %m %s %T@ %n\\n' | sort; find . -type f -exec sha256sum {} + | sort`;
    return execute("sh", ["-c", line], { cwd: this.home }).stdout;
  }

  [Symbol.dispose](): void {
    this.#owner[Symbol.dispose]();
  }
}

export const WHO: readonly [who: string, make: () => Workplace, needs: Needs[]][] = [
  ["root", () => new Workplace(new Box()), [needsHako]],
  ["an ordinary user", () => new Workplace(new Home()), NEEDS],
];
