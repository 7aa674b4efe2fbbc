// A home directory with secrets and a project in it, of root and of an ordinary user: what `run --rootfs /` hides, writes and protects.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { AS_USER, Home, NEEDS, USER } from "./rootless-home";
import { Box, execute, HAKO, type Needs, needsHako, type Result } from "./support";

/** What people keep in a home directory, and in a project there. */
const KEPT = {
  ".ssh/id": "secret\n",
  "project/.env": "secret\n",
  "project/.git/config": "[core]\n",
  "project/.git/hooks/pre-commit": "#!/bin/sh\n",
  "project/src/deep/er/file": "text\n",
};

/** A home directory with these files, and a project in it. */
export class Workplace implements Disposable {
  readonly home: string;
  readonly project: string;
  readonly #owner: Home | Box;

  constructor(owner: Home | Box, files: Readonly<Record<string, string>> = KEPT) {
    this.#owner = owner;
    const box = owner instanceof Home ? owner.box : owner;
    this.home = join(box.dir, "own");
    this.project = join(this.home, "project");
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(this.home, dirname(path)), { recursive: true });
      writeFileSync(join(this.home, path), text);
    }
    this.own(this.home);
  }

  /** Makes a file or a tree the owner's. */
  own(path: string): void {
    if (this.#owner instanceof Home) execute("chown", ["-Rh", `${USER}:${USER}`, path]);
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
    return this.hako("run", "--rootfs", "/", ...args);
  }

  /** hako, called by the owner in the project. */
  hako(...args: string[]): Result {
    const [command = "", ...rest] = this.words;
    return execute(command, [...rest, ...args], { env: this.env, cwd: this.project });
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

/** Who has a workplace, how it is made, and what that takes. */
export function owners<T extends Workplace>(
  make: (owner: Home | Box) => T,
): readonly [who: string, make: () => T, needs: Needs[]][] {
  return [
    ["root", () => make(new Box()), [needsHako]],
    ["an ordinary user", () => make(new Home()), NEEDS],
  ];
}

export const WHO = owners((owner) => new Workplace(owner));
