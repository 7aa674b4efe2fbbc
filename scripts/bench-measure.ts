// Medians of interleaved runs. A part of scripts/bench.
import type { Runtime } from "./bench-runtimes";

/** What is measured of a task: numbers by name, such as "wall". */
export type Values = Readonly<Record<string, number>>;

export interface Summary {
  median: number;
  min: number;
  /** Quartiles. */
  lower: number;
  upper: number;
}

export interface Row {
  task: string;
  runtime: string;
  runs: number;
  values: Record<string, Summary>;
}

function quantile(sorted: readonly number[], part: number): number {
  const at = part * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(at)] ?? Number.NaN, sorted[Math.ceil(at)] ?? Number.NaN];
  return below + (above - below) * (at - Math.floor(at));
}

export function summary(numbers: readonly number[]): Summary {
  const sorted = numbers.toSorted((a, b) => a - b);
  const [min, lower, median, upper] = [0, 0.25, 0.5, 0.75].map((part) => quantile(sorted, part));
  return { median, min, lower, upper } as Summary;
}

/** A row of each task that `samples` has, for one runtime. */
function rowsOf(runtime: string, samples: ReadonlyMap<string, readonly Values[]>): Row[] {
  return [...samples].map(([task, all]) => {
    const keys = Object.keys(all[0] ?? {});
    const values = keys.map((key) => [key, summary(all.map((each) => each[key] ?? Number.NaN))]);
    return { task, runtime, runs: all.length, values: Object.fromEntries(values) };
  });
}

/** One run: what it measured, by task. */
export type Run<T> = (subject: T) => Record<string, Values> | Promise<Record<string, Values>>;

/**
 * Interleaved, so that what the machine does meanwhile hits all alike. The first run of each warms caches up and doesn't count. A
 * runtime that fails is told and left out.
 */
export async function measure<T extends Pick<Runtime, "name">>(
  what: string,
  subjects: readonly T[],
  runs: number,
  run: Run<T>,
): Promise<Row[]> {
  const samples = new Map(subjects.map(({ name }) => [name, new Map<string, Values[]>()]));
  for (let turn = 0; turn <= runs; turn++) {
    for (const subject of subjects) {
      const own = samples.get(subject.name);
      if (own === undefined) continue;
      try {
        const measured = await run(subject);
        if (turn === 0) continue;
        for (const [task, values] of Object.entries(measured))
          own.set(task, [...(own.get(task) ?? []), values]);
      } catch (error) {
        samples.delete(subject.name);
        console.error(`skipped: ${what}: ${subject.name}: ${(error as Error).message}`);
      }
    }
  }
  const rows = [...samples].flatMap(([name, own]) => rowsOf(name, own));
  const tasks = [...new Set(rows.map(({ task }) => task))];
  return tasks.flatMap((task) => rows.filter((row) => row.task === task));
}
