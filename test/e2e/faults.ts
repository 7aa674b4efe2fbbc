// Makes one chosen system call of hako fail, or kills hako right before it: see fixtures/faults.c.
import { spawnSync } from "node:child_process";
import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Needs } from "./support";

/** Whose calls: of the command, or of its child before that executes anything. */
export const ROLES = ["command", "child"] as const;
export type Role = (typeof ROLES)[number];

/** A system call, by its number among those of its process. */
export interface Call {
  role: Role;
  index: number;
  name: string;
  path: string;
}

const COMPILER = Bun.which("cc");
export const needsCompiler: Needs = COMPILER === null ? "no C compiler (cc)" : undefined;

/** struct shared of faults.c: five words about the armed call and one for each role, the length of the text, the text. */
const TEXT_AT = 32;
const LENGTH_AT = 28;
const SIZE = TEXT_AT + (1 << 20);
const HEADER = new Uint8Array(TEXT_AT);

export const ENOMEM = 12;
export const EINTR = 4;
/** In place of an errno. */
export const KILL = 0;

/** The library, compiled; what it is told and what it saw goes through a file. */
export class Faults implements Disposable {
  readonly dir = mkdtempSync("/tmp/hako-faults-");
  readonly #file: number;

  constructor() {
    for (const [name, ...flags] of [["preload", "-DPRELOAD"], ["libc"]]) {
      const words = ["-shared", "-fPIC", "-O1", ...flags, "-o", join(this.dir, `${name}.so`)];
      const done = spawnSync(COMPILER ?? "cc", [...words, join(import.meta.dir, "fixtures/faults.c")]);
      if (done.status !== 0) throw new Error(`cc: ${done.stderr}`);
    }
    this.#file = openSync(join(this.dir, "file"), "w+");
    ftruncateSync(this.#file, SIZE);
  }

  /** For hako. */
  get environment(): Record<string, string> {
    return {
      PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin",
      LD_PRELOAD: join(this.dir, "preload.so"),
      HAKO_FAULTS_LIBC: join(this.dir, "libc.so"),
      HAKO_FAULTS_FILE: join(this.dir, "file"),
    };
  }

  /** Counts from here. */
  disarm(): void {
    writeSync(this.#file, HEADER, 0, TEXT_AT, 0);
  }

  /** Counts from here; the call with this number fails. */
  arm({ role, index }: Pick<Call, "role" | "index">, errno: number): void {
    this.disarm();
    const words = new Int32Array([ROLES.indexOf(role) + 1, index, errno]);
    writeSync(this.#file, new Uint8Array(words.buffer), 0, words.byteLength, 0);
  }

  #word(at: number): number {
    const word = new Int32Array(1);
    readSync(this.#file, new Uint8Array(word.buffer), 0, 4, at);
    return word[0] ?? 0;
  }

  /** Whether the armed call was made. */
  get hit(): boolean {
    return this.#word(12) === 1;
  }

  /** The calls that were made since `arm` or `disarm`. */
  calls(): Call[] {
    const text = Buffer.alloc(this.#word(LENGTH_AT));
    readSync(this.#file, text, 0, text.length, TEXT_AT);
    return text
      .toString()
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => {
        const [role, index, name = "", ...path] = line.split(" ");
        return {
          role: ROLES[Number(role) - 1] ?? "command",
          index: Number(index),
          name,
          path: path.join(" "),
        };
      });
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/**
 * Of all calls so many, the same ones each time: the first and the last of each name, and of the others every n-th.
 * HAKO_FAULTS=all takes all.
 */
export function sample(calls: readonly Call[], count: number): Call[] {
  if (process.env.HAKO_FAULTS === "all" || calls.length <= count) return [...calls];
  const groups = Map.groupBy(calls, ({ role, name }) => `${role} ${name}`);
  const chosen = new Set([...groups.values()].flatMap((group) => [group[0], group.at(-1)]));
  for (const call of evenly(calls, count - chosen.size)) chosen.add(call);
  return evenly(
    calls.filter((call) => chosen.has(call)),
    count,
  );
}

/** So many of a list, from its beginning to its end. */
function evenly<T>(list: readonly T[], count: number): T[] {
  if (list.length <= count) return [...list];
  return Array.from({ length: Math.max(0, count) }, (_, index) => {
    return list[Math.floor((index * list.length) / count)] as T;
  });
}
