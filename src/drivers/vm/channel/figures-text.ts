import type { Spent } from "../../../cgroup/stats/spent";

/** What a container in a machine has used, as far as its end or a lack of memory makes it told. */
export interface Figures {
  spent: Spent;
  /** Bytes of the container's own limit for which a process was killed; undefined if none was, or if the machine had no memory left. */
  memoryLimit?: number | undefined;
  /** The signal that the program died of; undefined if it lives, or has ended otherwise. */
  signal?: number | undefined;
}

/** Bytes of a text of figures: each is written over the one before. */
export const FIGURES_SIZE = 512;
const LINE = /^([a-z_]+) (\d{1,15})$/;

/** Lines as those of a cgroup's memory.events: the first one counts kills. */
export function figuresText({ spent, memoryLimit, signal }: Figures): string {
  const { cpuUserMs, cpuSystemMs, memoryPeakBytes, pidsPeak, memoryKills } = spent;
  const micro = (milliseconds: number | undefined) =>
    milliseconds === undefined ? undefined : Math.round(1000 * milliseconds);
  const lines = Object.entries({
    oom_kill: memoryKills,
    user_usec: micro(cpuUserMs),
    system_usec: micro(cpuSystemMs),
    memory_peak: memoryPeakBytes,
    pids_peak: pidsPeak,
    memory_limit: memoryLimit,
    signal,
  }).flatMap(([name, value]) => (value === undefined ? [] : `${name} ${value}\n`));
  return lines.join("").padEnd(FIGURES_SIZE, "\n");
}

/** Reads what a guest has told: numbers of names that are known, or nothing. */
export function readFigures(text: string): Figures {
  const lines = text.slice(0, FIGURES_SIZE).split("\n");
  const told = new Map(lines.map((line) => LINE.exec(line)?.slice(1)).map((pair) => [pair?.[0], pair?.[1]]));
  const number = (name: string) => {
    const digits = told.get(name);
    return digits === undefined ? undefined : Number(digits);
  };
  const milli = (name: string) => {
    const micro = number(name);
    return micro === undefined ? undefined : micro / 1000;
  };
  return {
    spent: {
      cpuUserMs: milli("user_usec"),
      cpuSystemMs: milli("system_usec"),
      memoryPeakBytes: number("memory_peak"),
      pidsPeak: number("pids_peak"),
      memoryKills: number("oom_kill"),
    },
    memoryLimit: number("memory_limit"),
    signal: number("signal"),
  };
}
