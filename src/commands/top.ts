import { parseDuration } from "../base/duration";
import { HakoError } from "../base/errors";
import { binarySize } from "../base/size";
import { defineCommand } from "../cli/command";
import { knownRoots } from "../container/known-roots";
import { pressureOf, SORT_NAMES, TopScreen } from "../container/top-screen";
import { type Usage, UsageSampler } from "../container/usage";
import { waitFor } from "../linux/file/poll";
import { readWaiting } from "../linux/file/stream";
import { getTermios, getWindowSize, isTerminal, rawTermios, setTermios } from "../linux/terminal/pty";
import { onFatalSignal } from "../linux/terminal/relay";
import { logWarning } from "../output/log";
import { print, printJson, UNREAD } from "../output/print";
import { printTable } from "../output/table";

/** How often signals and the terminal's size are looked at: a process that waits in a system call hears of neither. */
const LOOK_MS = 200;
/** The other screen of a terminal, without a cursor; and back. */
const [OPEN, CLOSE] = ["\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"];
const [HOME, END_OF_LINE, REST] = ["\x1b[H", "\x1b[K", "\x1b[J"];

export default defineCommand({
  meta: {
    description:
      "what all containers use, in a table that goes on: processor, memory and its limit, processes, input and output, how long they wait",
  },
  args: {
    interval: {
      type: "string",
      alias: "n",
      valueHint: "TIME",
      description: "time between two looks, as 2s or 500ms",
      default: "1s",
    },
    sort: { type: "enum", options: SORT_NAMES, description: "what the table is sorted by", default: "cpu" },
    once: { type: "boolean", description: "look twice, print the table and end" },
    json: { type: "boolean", description: "with --once: an array for programs" },
    "all-roots": {
      type: "boolean",
      description: "those of podman, docker and containerd too, as list --all-roots",
    },
  },
  examples: ["hako top", "hako top --once --json", "hako top --sort memory --interval 5s"],
  async run({ args, data: { globals } }) {
    const interval = parseDuration(args.interval);
    if (interval === undefined || interval < 1)
      throw HakoError.usage(`--interval: "${args.interval}" is not a time above 0, as 2s`);
    if (args.json && !args.once) throw HakoError.usage("--json needs --once");
    const roots = () => (args["all-roots"] ? knownRoots(globals.root) : [globals.root]);
    if (args.once) {
      const sampler = new UsageSampler(roots, (error) => logWarning(error.oneLine));
      const screen = new TopScreen(args.sort);
      sampler.take();
      await Bun.sleep(interval);
      screen.add(sampler.take());
      if (args.json) printJson(screen.sorted());
      else printUsages(screen.sorted());
      return;
    }
    if (!isTerminal(0) || !isTerminal(1))
      throw HakoError.usage(
        "top: standard input and output are not a terminal",
        "--once prints the table once",
      );
    return await live(new TopScreen(args.sort), roots, interval);
  },
});

/** Shows the table until a key ends it. */
async function live(
  screen: TopScreen,
  roots: () => readonly string[],
  interval: number,
): Promise<number | undefined> {
  const termios = getTermios(0);
  const sampler = new UsageSampler(roots, (error: HakoError) => {
    screen.problem = error.oneLine;
  });
  const restore = () => {
    setTermios(0, termios);
    print(CLOSE);
  };
  const forget = onFatalSignal(restore);
  try {
    setTermios(0, rawTermios(termios, false));
    print(OPEN);
    let size = "";
    for (let next = 0; ; ) {
      const now = performance.now();
      const due = now >= next;
      if (due) {
        screen.add(sampler.take());
        next = now + interval;
      }
      const { width, height } = getWindowSize(1);
      const changed = size !== `${width}x${height}`;
      size = `${width}x${height}`;
      if ((due || changed) && !draw(screen, width, height)) return UNREAD;
      if (waitFor(0, "read", Math.min(LOOK_MS, Math.max(0, next - performance.now())))) {
        const keys = readWaiting(0, 64);
        if (keys.length === 0) return undefined;
        const done = [...String.fromCharCode(...keys)].map((key) => screen.key(key));
        if (done.includes("quit")) return undefined;
        if (done.includes("draw") && !draw(screen, width, height)) return UNREAD;
      }
      // signals have their turn
      await Bun.sleep(0);
    }
  } finally {
    forget();
    restore();
  }
}

function draw(screen: TopScreen, width: number, height: number): boolean {
  // a terminal without a size is one of a program's
  const lines = screen.lines(width || 80, height || 24);
  return print(`${HOME}${lines.map((line) => `${line}${END_OF_LINE}`).join("\r\n")}${REST}`);
}

function printUsages(usages: readonly Usage[]): void {
  printTable(
    ["ID", "STATUS", "CPU %", "MEMORY", "LIMIT", "PIDS", "READ", "WRITTEN", "WAIT %", "SANDBOX"],
    usages.map((usage) => [
      ...[usage.id, usage.status, usage.cpuPercent.toFixed(1), binarySize(usage.memoryBytes)],
      usage.memoryLimitBytes === null ? "-" : binarySize(usage.memoryLimitBytes),
      ...[String(usage.pids), binarySize(usage.readBytes), binarySize(usage.writtenBytes)],
      pressureOf(usage)?.toFixed(1) ?? "-",
      usage.sandbox,
    ]),
  );
}
