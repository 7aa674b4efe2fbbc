// What a sandbox holds while its command sleeps: processes beside the command, and memory that nobody else has, not even another sandbox
// of its kind, which runs beside it: what is read of a program's file is there once for both. A part of scripts/bench-sandboxes.
import { readdirSync, readFileSync } from "node:fs";
import { start } from "./bench-call";
import type { Values } from "./bench-measure";
import { memoryOf } from "./bench-memory";
import type { Sandbox } from "./bench-sandboxes";

const STARTS_MS = 30_000;
/** A command that hands its place over does so after its program has started. */
const SETTLES_MS = 500;

interface Process {
  pid: number;
  parent: number;
  name: string;
}

/** All that there are (proc_pid_stat(5)); one that ends meanwhile is none. */
function processes(): Process[] {
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const [, name = "", , parent = ""] =
        /^\d+ \((.*)\) (\S) (\d+)/s.exec(readFileSync(`/proc/${entry}/stat`, "utf8")) ?? [];
      return [{ pid: Number(entry), parent: Number(parent), name }];
    } catch {
      return [];
    }
  });
}

function below(pid: number): Process[] {
  const all = processes();
  const found = all.filter((each) => each.pid === pid);
  for (const { pid: parent } of found) found.push(...all.filter((each) => each.parent === parent));
  return found;
}

export async function measureMemory(run: Sandbox["run"]): Promise<Values> {
  await using measured = new Sleeping(run);
  await using beside = new Sleeping(run);
  await beside.begun();
  await measured.begun();
  await Bun.sleep(SETTLES_MS);
  const own = below(measured.pid).filter(({ name }) => name !== "sleep");
  const memory = own.map(({ pid }) => memoryOf(pid).private ?? 0);
  return { processes: own.length, private: memory.reduce((sum, each) => sum + each, 0) };
}

/** A sandbox whose command sleeps. */
class Sleeping implements AsyncDisposable {
  readonly #child: ReturnType<typeof start>;

  constructor(run: Sandbox["run"]) {
    this.#child = start(run(["sleep", "600"]));
  }

  get pid(): number {
    return this.#child.pid;
  }

  #sleeps(): Process[] {
    return below(this.pid).filter(({ name }) => name === "sleep");
  }

  async begun(): Promise<void> {
    for (const end = Date.now() + STARTS_MS; this.#sleeps().length === 0; await Bun.sleep(20))
      if (Date.now() > end) throw new Error("its command does not start");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { pid } of this.#sleeps()) process.kill(pid, "SIGKILL");
    await this.#child.exited;
  }
}
