// What a container's commands take, one after the other and many at once. A part of scripts/bench.
import { readFileSync } from "node:fs";
import type { Bundles } from "./bench-bundle";
import { SLEEP } from "./bench-bundle";
import { call, callAll, type Sample, sum } from "./bench-call";
import type { Runtime } from "./bench-runtimes";
import { PODMAN_PROFILE, podmanProfile } from "./podman-profile";

const AT_ONCE = 40;
/** The containers of a list. */
export const LISTED = 100;
/** Each reads and writes one byte: a million system calls that a filter looks at. */
const MANY_CALLS = ["sh", "-c", "dd if=/dev/zero of=/dev/null bs=1 count=500000 2>/dev/null"];
const STOPS_MS = 10_000;

type Samples = Record<string, Sample>;

export class Commands {
  readonly #profile = podmanProfile();

  constructor(readonly bundles: Bundles) {}

  /** Undefined, and told, if there is none. */
  get profile(): object | undefined {
    if (this.#profile === undefined) console.error(`skipped: with a profile: there is no ${PODMAN_PROFILE}`);
    return this.#profile;
  }

  version({ path }: Runtime): Samples {
    return { version: call([path, "--version"]) };
  }

  #run({ command }: Runtime, bundle: string): Sample {
    return call([...command, "run", "--bundle", bundle, this.bundles.id()]);
  }

  run(runtime: Runtime): Samples {
    return { run: this.#run(runtime, this.bundles.of(["true"])) };
  }

  runWithProfile(runtime: Runtime, profile: object): Samples {
    return { "run, profile": this.#run(runtime, this.bundles.of(["true"], profile)) };
  }

  /** A container's life, of which each command is measured. */
  lifecycle({ command }: Runtime): Samples {
    const id = this.bundles.id();
    const bundle = this.bundles.of(SLEEP);
    try {
      const create = call([...command, "create", "--bundle", bundle, id]);
      const start = call([...command, "start", id]);
      const state = call([...command, "state", id]);
      const list = call([...command, "list"]);
      // it ignores that one
      const kill = call([...command, "kill", id, "USR1"]);
      this.#stop(command, id);
      const deletion = call([...command, "delete", id]);
      const all = sum([create, start, deletion]);
      return { create, start, delete: deletion, "create, start, delete": all, state, list, kill };
    } catch (error) {
      Bun.spawnSync([...command, "delete", "--force", id], { stdout: "ignore", stderr: "ignore" });
      throw error;
    }
  }

  #stop(command: string[], id: string): void {
    const { stdout } = Bun.spawnSync([...command, "state", id]);
    const { pid } = JSON.parse(stdout.toString()) as { pid: number };
    call([...command, "kill", id, "KILL"]);
    for (const end = Date.now() + STOPS_MS; !hasEnded(pid); Bun.sleepSync(1))
      if (Date.now() > end) throw new Error(`${id} does not stop`);
  }

  async atOnce({ command }: Runtime): Promise<Samples> {
    const bundle = this.bundles.of(["true"]);
    const commands = Array.from({ length: AT_ONCE }, () => [
      ...command,
      "run",
      "--bundle",
      bundle,
      this.bundles.id(),
    ]);
    return { [`${AT_ONCE} run at once`]: await callAll(commands) };
  }

  systemCalls(runtime: Runtime, profile: object | undefined): Samples {
    const name = `10^6 system calls, ${profile === undefined ? "no filter" : "profile"}`;
    return { [name]: this.#run(runtime, this.bundles.of(MANY_CALLS, profile)) };
  }

  exec({ command }: Runtime, id: string): Samples {
    return { exec: call([...command, "exec", id, "true"]) };
  }

  list({ command }: Runtime): Samples {
    return { [`list of ${LISTED}`]: call([...command, "list"]) };
  }
}

function hasEnded(pid: number): boolean {
  try {
    return /^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
}

/** Containers that run, so many of each runtime; they are gone after `using`. */
export class Running implements Disposable {
  readonly ids = new Map<string, string[]>();

  constructor(
    bundles: Bundles,
    readonly runtimes: readonly Runtime[],
    count = 1,
  ) {
    const bundle = bundles.of(SLEEP);
    for (const { name, command } of runtimes) {
      const made: string[] = [];
      this.ids.set(name, made);
      for (let index = 0; index < count; index++) {
        const id = bundles.id();
        try {
          call([...command, "create", "--bundle", bundle, id]);
          made.push(id);
          call([...command, "start", id]);
        } catch (error) {
          console.error(`skipped: ${name}: ${(error as Error).message}`);
          break;
        }
      }
    }
  }

  [Symbol.dispose](): void {
    for (const { name, command } of this.runtimes)
      for (const id of this.ids.get(name) ?? []) call([...command, "delete", "--force", id]);
  }
}
