// What stays in memory while a container waits or runs: PSS is a process's share of all that it has mapped, private is what nobody
// else has. A part of scripts/bench.
import { readFileSync } from "node:fs";
import { type Bundles, SLEEP } from "./bench-bundle";
import { call, start } from "./bench-call";
import type { Values } from "./bench-measure";
import type { Runtime } from "./bench-runtimes";

/** Runs that are there at once. */
const TOGETHER = 20;
const STARTS_MS = 30_000;
/** A command that hands its place over does so after its program has started. */
const SETTLES_MS = 300;

/** In KiB. */
export function memoryOf(pid: number): Values {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const kilobytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1]);
  return { pss: kilobytes("Pss"), private: kilobytes("Private_Clean") + kilobytes("Private_Dirty") };
}

function stateOf(command: readonly string[], id: string): { pid: number; status: string } | undefined {
  const { exitCode, stdout } = Bun.spawnSync([...command, "state", id], { stderr: "ignore" });
  return exitCode === 0 ? JSON.parse(stdout.toString()) : undefined;
}

async function untilRunning(command: readonly string[], id: string): Promise<void> {
  for (const end = Date.now() + STARTS_MS; stateOf(command, id)?.status !== "running"; await Bun.sleep(20))
    if (Date.now() > end) throw new Error(`${id} does not start`);
}

function processesOf(command: readonly string[], id: string): number[] {
  return JSON.parse(Bun.spawnSync([...command, "ps", "--format", "json", id]).stdout.toString()) ?? [];
}

export class Memory {
  constructor(readonly bundles: Bundles) {}

  /** The first process of a container that waits for start. */
  created({ command }: Runtime): Record<string, Values> {
    const id = this.bundles.id();
    call([...command, "create", "--bundle", this.bundles.of(SLEEP), id]);
    try {
      return { "created container": memoryOf(stateOf(command, id)?.pid ?? 0) };
    } finally {
      call([...command, "delete", "--force", id]);
    }
  }

  /** Foreground runs that wait for their programs. */
  async #runs(command: string[], count: number): Promise<Values[]> {
    const ids = Array.from({ length: count }, () => this.bundles.id());
    const bundle = this.bundles.of(SLEEP);
    const running = ids.map((id) => start([...command, "run", "--bundle", bundle, id]));
    try {
      for (const id of ids) await untilRunning(command, id);
      await Bun.sleep(SETTLES_MS);
      return running.map(({ pid }) => memoryOf(pid));
    } finally {
      for (const id of ids) Bun.spawnSync([...command, "kill", id, "KILL"], { stderr: "ignore" });
      await Promise.all(running.map(({ exited }) => exited));
    }
  }

  async run({ command }: Runtime): Promise<Record<string, Values>> {
    const [own] = await this.#runs(command, 1);
    return { "run in the foreground": own ?? {} };
  }

  async runsTogether({ command }: Runtime): Promise<Record<string, Values>> {
    const all = await this.#runs(command, TOGETHER);
    const mean = (name: string) => all.reduce((sum, each) => sum + (each[name] ?? 0), 0) / all.length;
    return { [`each of ${TOGETHER} runs`]: { pss: mean("pss"), private: mean("private") } };
  }

  async exec({ command }: Runtime, id: string): Promise<Record<string, Values>> {
    const before = processesOf(command, id);
    const running = start([...command, "exec", id, ...SLEEP]);
    const added = () => processesOf(command, id).filter((pid) => !before.includes(pid));
    try {
      for (const end = Date.now() + STARTS_MS; added().length === 0; await Bun.sleep(20))
        if (Date.now() > end) throw new Error(`exec in ${id} does not start`);
      await Bun.sleep(SETTLES_MS);
      return { "exec in the foreground": memoryOf(running.pid) };
    } finally {
      for (const pid of added()) process.kill(pid, "SIGKILL");
      await running.exited;
    }
  }
}
