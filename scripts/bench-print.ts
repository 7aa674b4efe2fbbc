// The tables that people read. A part of scripts/bench.
import type { Machine } from "./bench-machine";
import type { Row } from "./bench-measure";
import type { Runtime } from "./bench-runtimes";

const OTHERS = ["runc", "crun"];

interface Column {
  title: string;
  cell(row: Row, rows: readonly Row[]): string;
}

function median(title: string, value: string, digits: number): Column {
  return { title, cell: ({ values }) => values[value]?.median.toFixed(digits) ?? "" };
}

/** How many times as much as another runtime it is. */
function ratio(value: string, other: string): Column {
  const cell = ({ task, values }: Row, rows: readonly Row[]): string => {
    const theirs = rows.find((row) => row.task === task && row.runtime === other)?.values[value]?.median;
    const own = values[value]?.median;
    return own === undefined || theirs === undefined ? "" : (own / theirs).toFixed(2);
  };
  return { title: `/ ${other}`, cell };
}

const TIMES: Column[] = [
  median("ms", "wall", 1),
  { title: "min", cell: ({ values }) => values.wall?.min.toFixed(1) ?? "" },
  ...OTHERS.map((other) => ratio("wall", other)),
  median("CPU ms", "cpu", 1),
  ...OTHERS.map((other) => ratio("cpu", other)),
  median("faults", "faults", 0),
  ...OTHERS.map((other) => ratio("faults", other)),
];
const MEMORY: Column[] = [
  median("PSS KiB", "pss", 0),
  median("private KiB", "private", 0),
  ...OTHERS.map((other) => ratio("private", other)),
];

function table(columns: readonly Column[], rows: readonly Row[]): void {
  if (rows.length === 0) return;
  const cells = [
    ["", "", ...columns.map(({ title }) => title)],
    ...rows.map((row) => [row.task, row.runtime, ...columns.map((column) => column.cell(row, rows))]),
  ];
  const widths = columns.map((_, column) => Math.max(...cells.map((line) => line[column + 2]?.length ?? 0)));
  const names = [0, 1].map((column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)));
  for (const line of cells) {
    const padded = line.map((cell, column) =>
      column < 2 ? cell.padEnd(names[column] ?? 0) : cell.padStart(widths[column - 2] ?? 0),
    );
    console.log(padded.join("  ").trimEnd());
  }
  console.log();
}

export function printReport(
  machine: Machine,
  runtimes: readonly Runtime[],
  rows: readonly Row[],
  runs: number,
): void {
  const { cpu, processors, virtual, kernel, cgroups, libc, pageFault } = machine;
  const place = virtual ? "in a virtual machine" : "on bare metal";
  console.log(`${processors} x ${cpu}, ${place}; Linux ${kernel}; cgroup ${cgroups}; ${libc}`);
  console.log(`a page fault: ${(pageFault / 1000).toFixed(2)} us`);
  for (const { name, version, path } of runtimes) console.log(`${name}: ${version} (${path})`);
  console.log(`medians of ${runs} interleaved runs\n`);
  table(
    TIMES,
    rows.filter(({ values }) => values.wall !== undefined),
  );
  table(
    MEMORY,
    rows.filter(({ values }) => values.pss !== undefined),
  );
}
