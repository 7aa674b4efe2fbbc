// The host's libseccomp as an oracle: what it makes of a profile. It runs in ./libseccomp-process.ts.
import { dlopen, FFIType as T } from "bun:ffi";
import { join } from "node:path";
import type { Seccomp } from "../../src/oci/config";

/** Numbers of profiles go as text: JSON has no 64-bit ones. */
export type Request = { profile: Seccomp } | { names: string[]; architecture: string };
export interface Answer {
  /** struct sock_filter, base64. */
  program?: string;
  /** A rule contradicts another (EEXIST). */
  refused?: true;
  known?: string[];
}

/** What libseccomp makes of a profile: a filter, EEXIST for a rule, or nothing, for it crashes or never comes to an end. */
export type Verdict = Uint8Array | "refused" | "nothing";

const PATIENCE = 2000 * Number(process.env.HAKO_TIME_FACTOR ?? 1);

export const isInstalled = (() => {
  try {
    dlopen("libseccomp.so.2", { seccomp_release: { args: [T.ptr], returns: T.void } }).close();
    return true;
  } catch {
    return false;
  }
})();

function start() {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "libseccomp-process.ts")], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  return { child, output: child.stdout.getReader() };
}

export class Libseccomp implements Disposable {
  #running = start();
  readonly #known = new Map<string, Set<string>>();

  async filter(profile: Seccomp): Promise<Verdict> {
    const answer = await this.#ask({ profile });
    if (answer === undefined) return "nothing";
    if (answer.refused) return "refused";
    return new Uint8Array(Buffer.from(answer.program ?? "", "base64"));
  }

  /** Which calls the installed libseccomp knows of an architecture: it may be older than our table. */
  async known(names: string[], architecture: string): Promise<Set<string>> {
    let known = this.#known.get(architecture);
    if (known === undefined) {
      known = new Set((await this.#ask({ names, architecture }))?.known);
      this.#known.set(architecture, known);
    }
    return known;
  }

  async #ask(request: Request): Promise<Answer | undefined> {
    const { child, output } = this.#running;
    const line = JSON.stringify(request, (_, each) => (typeof each === "bigint" ? `${each}` : each));
    child.stdin.write(`${line}\n`);
    child.stdin.flush();
    // a process that has just been started needs a while
    const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
    try {
      let text = "";
      while (!text.endsWith("\n")) {
        const { value, done } = await output.read();
        if (done) {
          await child.exited;
          if (child.signalCode === null) throw new Error(`libseccomp: exit status ${child.exitCode}`);
          this.#running = start();
          return undefined;
        }
        text += new TextDecoder().decode(value);
      }
      return JSON.parse(text) as Answer;
    } finally {
      clearTimeout(timer);
    }
  }

  [Symbol.dispose](): void {
    this.#running.child.kill("SIGKILL");
  }
}
