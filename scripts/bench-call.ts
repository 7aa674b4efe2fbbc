// One command, measured: its time, the processor time and page faults of it and of the children that it waited for. A part of
// scripts/bench.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

export type Sample = {
  /** Milliseconds until it has ended. */
  wall: number;
  /** Milliseconds of user and system time (wait4's rusage). */
  cpu: number;
  /** Minor ones; pages that are read ahead with madvise(2) are counted too, as the kernel does it. */
  faults: number;
};

export const DIR = mkdtempSync("/tmp/hako-bench-");
const STDERR = join(DIR, "stderr");

/**
 * Where the runtimes keep state: a tmpfs, as /run is. ext4 passes over each inode that was freed in the last five seconds when it
 * looks for a new one (recently_deleted, fs/ext4/ialloc.c), which after some hundred containers is a fifth of the time of each.
 */
export const STATES = join(DIR, "states");

export function mountStates(): void {
  mkdirSync(STATES);
  call(["mount", "-t", "tmpfs", "tmpfs", STATES]);
}

export function removeDir(): void {
  Bun.spawnSync(["umount", STATES]);
  rmSync(DIR, { recursive: true, force: true });
}

/** Minor faults of all children that this process has waited for, and theirs: cminflt, proc_pid_stat(5). */
function faultsOfChildren(): number {
  const afterName = readFileSync("/proc/self/stat", "utf8").replace(/^.*\) /s, "");
  return Number(afterName.split(" ")[8]);
}

/** Files, not pipes: a created container keeps them open. */
const STREAMS = {
  stdin: "ignore",
  stdout: Bun.file("/dev/null"),
  stderr: Bun.file(STDERR),
} as const;

function failed(command: string[], end: string): Error {
  return new Error(`${command.join(" ")}: ${end}: ${readFileSync(STDERR, "utf8").trim()}`);
}

/** Runs a command that must succeed. */
export function call(command: string[], env?: Record<string, string>): Sample {
  const before = faultsOfChildren();
  const start = performance.now();
  const done = Bun.spawnSync(command, { ...STREAMS, ...(env === undefined ? {} : { env }) });
  const wall = performance.now() - start;
  if (done.exitCode !== 0) throw failed(command, `status ${done.exitCode}`);
  return { wall, cpu: Number(done.resourceUsage.cpuTime.total) / 1000, faults: faultsOfChildren() - before };
}

/** Measures commands that are started at once: the time until the last one has ended, and the sum of what all of them used. */
export async function callAll(commands: string[][]): Promise<Sample> {
  const before = faultsOfChildren();
  const start = performance.now();
  const running = commands.map((command) => Bun.spawn(command, STREAMS));
  const statuses = await Promise.all(running.map(({ exited }) => exited));
  const wall = performance.now() - start;
  const bad = statuses.findIndex((status) => status !== 0);
  if (bad !== -1) throw failed(commands[bad] ?? [], `status ${statuses[bad]}`);
  const cpu = running.map((process) => Number(process.resourceUsage()?.cpuTime.total ?? 0) / 1000);
  return { wall, cpu: cpu.reduce((sum, each) => sum + each, 0), faults: faultsOfChildren() - before };
}

/** Starts a command that stays, and returns it. */
export function start(command: string[]): Bun.Subprocess {
  return Bun.spawn(command, STREAMS);
}

export function sum(samples: readonly Sample[]): Sample {
  const total = (key: keyof Sample) => samples.reduce((all, sample) => all + sample[key], 0);
  return { wall: total("wall"), cpu: total("cpu"), faults: total("faults") };
}
