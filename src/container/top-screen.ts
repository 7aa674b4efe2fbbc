import { printable } from "../base/printable";
import { binarySize } from "../base/size";
import { bar, cut, sparkline } from "../output/graph";
import type { Usage } from "./usage";

const [GRAPH, BAR] = [8, 8];

/** What a key sorts by, largest first, names in their order. */
const SORTS: Readonly<Record<string, { name: string; by: (usage: Usage) => number | string }>> = {
  c: { name: "cpu", by: ({ cpuPercent }) => cpuPercent },
  m: { name: "memory", by: ({ memoryBytes }) => memoryBytes },
  p: { name: "pids", by: ({ pids }) => pids },
  i: { name: "io", by: (usage) => usage.readBytesPerSecond + usage.writtenBytesPerSecond },
  w: { name: "waiting", by: (usage) => pressureOf(usage) ?? -1 },
  n: { name: "name", by: ({ id }) => id },
  s: { name: "sandbox", by: ({ sandbox, id }) => `${sandbox}/${id}` },
};

export const SORT_NAMES: string[] = Object.values(SORTS).map(({ name }) => name);

/** The most of the three. undefined where the kernel doesn't measure them for cgroups, as on v1. */
export function pressureOf({ pressure: { cpu, memory, io } }: Usage): number | undefined {
  const known = [cpu, memory, io].filter((each) => each !== null);
  return known.length === 0 ? undefined : Math.max(...known);
}

/** The last processor times and pressures of a container. */
interface Past {
  cpu: number[];
  pressure: number[];
}
type History = Map<string, Past>;

interface Column {
  title: string;
  size: number;
  /** The width of a terminal from which it is shown. */
  from: number;
  cell(usage: Usage, past: Past): string;
}

const COLUMNS: readonly Column[] = [
  {
    ...{ title: "CPU %", size: 7, from: 0 },
    cell: ({ status, cpuPercent }) => (status === "paused" ? status : cpuPercent.toFixed(1)),
  },
  {
    ...{ title: "", size: GRAPH, from: 100 },
    cell: (_, { cpu }) => sparkline(cpu, GRAPH, Math.max(100, ...cpu)),
  },
  { ...{ title: "MEMORY", size: 10, from: 0 }, cell: ({ memoryBytes }) => binarySize(memoryBytes) },
  {
    ...{ title: "LIMIT", size: 10, from: 0 },
    cell: ({ memoryLimitBytes: limit }) => (limit === null ? "-" : binarySize(limit)),
  },
  {
    ...{ title: "", size: BAR, from: 110 },
    cell: ({ memoryBytes, memoryLimitBytes: limit }) => (limit === null ? "" : bar(memoryBytes / limit, BAR)),
  },
  { ...{ title: "PIDS", size: 6, from: 0 }, cell: ({ pids }) => String(pids) },
  { ...{ title: "READ/s", size: 10, from: 80 }, cell: (usage) => binarySize(usage.readBytesPerSecond) },
  { ...{ title: "WRITE/s", size: 10, from: 80 }, cell: (usage) => binarySize(usage.writtenBytesPerSecond) },
  { ...{ title: "WAIT %", size: 7, from: 60 }, cell: (usage) => pressureOf(usage)?.toFixed(1) ?? "-" },
  { ...{ title: "", size: GRAPH, from: 120 }, cell: (_, { pressure }) => sparkline(pressure, GRAPH, 100) },
  {
    ...{ title: "SANDBOX", size: 0, from: 130 },
    cell: ({ sandbox, id }) => (sandbox === id ? "-" : printable(sandbox)),
  },
];

/** What `top` shows: containers in an order, with a history of each. */
export class TopScreen {
  #sort: string;
  #reversed = false;
  #usages: readonly Usage[] = [];
  /** By state directory and id. */
  #history: History = new Map();
  /** The last thing that went wrong. */
  problem = "";

  constructor(sort: string) {
    this.#sort = Object.keys(SORTS).find((key) => SORTS[key]?.name === sort) ?? "c";
  }

  /** Takes what containers use now. */
  add(usages: readonly Usage[]): void {
    const history: History = new Map();
    for (const usage of usages) {
      const key = `${usage.root}/${usage.id}`;
      const before = this.#history.get(key);
      const longer = (values: readonly number[] = [], value: number) => [...values, value].slice(-GRAPH);
      history.set(key, {
        cpu: longer(before?.cpu, usage.cpuPercent),
        pressure: longer(before?.pressure, pressureOf(usage) ?? 0),
      });
    }
    this.#history = history;
    this.#usages = usages;
  }

  /** What a key does; "quit" for those that end it. */
  key(key: string): "quit" | "draw" | undefined {
    if (["q", "Q", "\x03", "\x04", "\x1b"].includes(key)) return "quit";
    if (key === "r") this.#reversed = !this.#reversed;
    else if (Object.hasOwn(SORTS, key)) [this.#sort, this.#reversed] = [key, false];
    else return undefined;
    return "draw";
  }

  sorted(): Usage[] {
    const { by } = SORTS[this.#sort] ?? { by: ({ id }: Usage) => id };
    const turn = this.#reversed ? -1 : 1;
    return [...this.#usages].sort((one, other) => {
      const [a, b] = [by(one), by(other)];
      const order = typeof a === "string" || typeof b === "string" ? (a < b ? -1 : Number(a > b)) : b - a;
      return turn * (order || (one.id < other.id ? -1 : 1));
    });
  }

  /** Lines that fit on a screen. */
  lines(width: number, height: number): string[] {
    const keys = Object.entries(SORTS).map(([key, { name }]) =>
      key === this.#sort ? `[${key} ${name}]` : `${key} ${name}`,
    );
    const head = [`hako top: ${this.#usages.length} containers`, this.problem]
      .filter((each) => each !== "")
      .join("   ");
    const widest = Math.min(24, Math.max(9, ...this.#usages.map(({ id }) => id.length)));
    const columns = COLUMNS.filter(({ from }) => width >= from);
    const line = (id: string, cells: readonly string[]) =>
      [cut(id, widest).padEnd(widest), ...cells].join(" ").trimEnd();
    const title = line(
      "ID",
      columns.map(({ title, size }) => title.padStart(size)),
    );
    const rows = this.sorted().map((usage) => {
      const history = this.#history.get(`${usage.root}/${usage.id}`) ?? { cpu: [], pressure: [] };
      return line(
        printable(usage.id),
        columns.map(({ size, cell }) => cell(usage, history).padStart(size)),
      );
    });
    const room = Math.max(0, height - 3);
    const shown =
      rows.length > room
        ? [...rows.slice(0, Math.max(0, room - 1)), `… ${rows.length - room + 1} more`]
        : rows;
    return [head, title, ...shown, [...keys, "r reverse", "q quit"].join("  ")]
      .slice(0, height)
      .map((each) => cut(each, width));
  }
}
