// What containers in machines cost: times, streams, memory. Called by scripts/bench-machines.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { summary } from "./bench-measure";

const HAKO = resolve(import.meta.dir, "../dist/hako");
const DIR = mkdtempSync("/tmp/hako-bench-machines-");
/** A guest and a template of its own, and a kernel if the host has none. */
const ENVIRONMENT = { ...process.env, XDG_CACHE_HOME: join(DIR, "cache"), XDG_DATA_HOME: join(DIR, "data") };
const STREAM = 256_000_000;
/** How long a machine is left to come to rest, and how long it is looked at then, in seconds. */
const [REST, IDLE] = [5, 10] as const;
const TICKS = 100;

interface Output {
  stdout: string;
  stderr: string;
  milliseconds: number;
}

function run(command: string[], stdout: "pipe" | "ignore" = "pipe"): Output {
  const start = performance.now();
  const ended = Bun.spawnSync(command, { env: ENVIRONMENT, stdout, stderr: "pipe" });
  const milliseconds = performance.now() - start;
  const stderr = ended.stderr.toString();
  if (ended.exitCode !== 0) throw new Error(`${command.join(" ")}: status ${ended.exitCode}: ${stderr}`);
  return { stdout: ended.stdout?.toString() ?? "", stderr, milliseconds };
}

function hako(...words: string[]): Output {
  return run([HAKO, "--root", join(DIR, "root"), ...words]);
}

/** What is measured so many times, after once that doesn't count. */
function repeated(runs: number, measure: (turn: number) => number): number[] {
  measure(0);
  return Array.from({ length: runs }, (_, turn) => measure(turn + 1));
}

/** KiB of the mappings of a process for which `counts` holds: what it has written, which nobody shares. */
function privateOf(pid: number, counts: (permissions: string, path: string) => boolean): number {
  const mappings = readFileSync(`/proc/${pid}/smaps`, "utf8").split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/);
  const wanted = mappings.filter((mapping) => {
    const [, permissions = "", , , , path = ""] = (mapping.split("\n", 1)[0] ?? "").split(/ +/);
    return counts(permissions, path);
  });
  const sizes = wanted.flatMap((mapping) => [...mapping.matchAll(/^Private_Dirty: +(\d+) kB$/gm)]);
  return sizes.reduce((sum, [, size]) => sum + Number(size), 0);
}

function residentOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

/** Seconds of processor time. */
function processorTimeOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

interface Row {
  what: string;
  unit: string;
  median: number;
  /** On a host that does other things too it says more. */
  best: number;
}

/** "most": more is better. */
function row(what: string, unit: string, measured: number | readonly number[], better?: "most"): Row {
  const all = [measured].flat();
  const best = better === "most" ? Math.max(...all) : Math.min(...all);
  return { what, unit, median: summary(all).median, best };
}

function measureAll(runs: number): Row[] {
  hako("machine", "setup", "--download");
  const probe = JSON.parse(hako("machine", "probe", "--json").stdout);
  const boot: number = probe.trials.find(({ works }: { works: boolean }) => works)?.seconds;
  const build = hako("machine", "template", "build").milliseconds;
  const [template] = JSON.parse(hako("machine", "template", "show", "--json").stdout).templates;
  const flags = ["--driver", "vm", "--rootfs", "/"];
  const first = repeated(runs, (turn) => {
    const { stderr } = hako("--debug", "run", ...flags, `first${turn}`, "--", "true");
    return Number(/the guest answers after (\d+) ms/.exec(stderr)?.[1]);
  });
  const whole = repeated(runs, (turn) => hako("run", ...flags, `run${turn}`, "--", "true").milliseconds);
  // what stays does not hold the pipes of this call
  hako("run", "--detach", "--output", join(DIR, "output"), ...flags, "idle", "--", "sleep", "10000");
  try {
    const { pid } = JSON.parse(hako("state", "idle").stdout);
    const machine = JSON.parse(readFileSync(join(DIR, "root/@machines/idle/machine.json"), "utf8"));
    const qemu: number = machine.qemu.pid;
    Bun.sleepSync(1000 * REST);
    const memory = privateOf(qemu, () => true);
    const code = privateOf(qemu, (permissions) => permissions.includes("x") && permissions.includes("w"));
    const guest = privateOf(qemu, (_, path) => path.endsWith("/memory"));
    const before = processorTimeOf(qemu);
    Bun.sleepSync(1000 * IDLE);
    const idle = (100 * (processorTimeOf(qemu) - before)) / IDLE;
    const standIn = residentOf(pid);
    const exec = repeated(runs, () => hako("exec", "idle", "true").milliseconds);
    const words = ["dd", "if=/dev/zero", "bs=64k", `count=${STREAM / 64_000}`, "iflag=fullblock"];
    const out = repeated(Math.ceil(runs / 4), () => {
      const piped = `'${HAKO}' --root '${join(DIR, "root")}' exec idle ${words.join(" ")} | cat`;
      return STREAM / 1e3 / (run(["sh", "-c", piped], "ignore").milliseconds - Math.min(...exec));
    });
    const seconds = (all: readonly number[]) => all.map((each) => each / 1000);
    return [
      row("boot, up to the agent's first answer", "s", boot),
      row("the first answer of a machine from a template", "s", seconds(first)),
      row("`run` of `true`", "s", seconds(whole)),
      row("`exec` of `true`", "ms", exec),
      row("standard output, through a pipe", "MB/s", out, "most"),
      row("a stand-in's memory", "KiB", standIn),
      row("a machine's own memory, with a container that sleeps", "MiB", memory / 1024),
      row("of it translated code", "MiB", code / 1024),
      row("of it the guest's", "MiB", guest / 1024),
      row("processor time of such a machine", "%", idle),
      row("to make a template", "s", build / 1000),
      row("a template on the disk", "MiB", template.size / 2 ** 20),
    ];
  } finally {
    hako("delete", "--force", "idle");
  }
}

const { values } = parseArgs({
  options: { runs: { type: "string", default: "10" }, json: { type: "boolean", default: false } },
});
const runs = Number(values.runs);
try {
  if (!(runs > 0)) throw new Error(`--runs ${values.runs}: not a number above 0`);
  const rows = measureAll(runs);
  if (values.json) console.log(JSON.stringify(rows, null, 2));
  else
    for (const { what, unit, median, best } of rows) {
      const [middle, top] = [median, best].map((value) => value.toPrecision(value < 100 ? 2 : 3));
      console.log(`| ${what} | ${middle} ${unit} | ${top} ${unit} |`);
    }
} catch (error) {
  console.error(`bench-machines: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  rmSync(DIR, { recursive: true, force: true });
}
