// Medians of interleaved runs of hako, runc and crun, and their ratios. Called by scripts/bench.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { IMAGE, Store } from "../test/clients/support";
import { defaultBundleConfig } from "../test/e2e/bundle-config";

const { values } = parseArgs({
  options: { runs: { type: "string", default: "30" }, json: { type: "boolean", default: false } },
});
const RUNS = Number(values.runs);
const LISTED = 100;

interface Sample {
  milliseconds: number;
  /** Peak resident memory of the largest process. */
  megabytes: number;
}

interface Runtime {
  name: string;
  path: string;
  root: string;
}

const dir = mkdtempSync("/tmp/hako-bench-");
const rootfs = join(dir, "rootfs");
let count = 0;

/**
 * Runs a command. Peak memory is taken by a small parent: a process's own count begins with what the one that
 * started it had, and this one is large. It costs time, so such a run's clock doesn't count.
 */
function call(command: string[], weigh: boolean, env?: Record<string, string>): Sample {
  const report = join(dir, "weight");
  const words = weigh ? ["busybox", "time", "-f", "%M", "-o", report, ...command] : command;
  const start = performance.now();
  // a file, not a pipe: a created container keeps its standard output open
  const done = Bun.spawnSync(words, {
    stdin: "ignore",
    stdout: Bun.file("/dev/null"),
    stderr: Bun.file(join(dir, "stderr")),
    ...(env === undefined ? {} : { env }),
  });
  const milliseconds = performance.now() - start;
  if (done.exitCode !== 0) {
    throw new Error(
      `${command.join(" ")}: status ${done.exitCode}: ${readFileSync(join(dir, "stderr"), "utf8").trim()}`,
    );
  }
  // busybox takes the kernel's kilobytes for pages of 4 KiB
  return { milliseconds, megabytes: weigh ? Number(readFileSync(report, "utf8")) / 4 / 1024 : 0 };
}

function bundle(args: string[], linux: object = {}): { id: string; path: string } {
  const id = `hako-bench-${process.pid}-${count++}`;
  const path = join(dir, id);
  mkdirSync(path);
  const config = defaultBundleConfig(args, `/${id}`);
  config.root.path = rootfs;
  Object.assign(config.linux, linux);
  writeFileSync(join(path, "config.json"), JSON.stringify(config));
  return { id, path };
}

function sum(samples: Sample[]): Sample {
  return {
    milliseconds: samples.reduce((total, sample) => total + sample.milliseconds, 0),
    megabytes: Math.max(...samples.map((sample) => sample.megabytes)),
  };
}

/** What is measured; each makes what it needs before its clock runs, and cleans up after. */
const TASKS: Record<string, (runtime: Runtime, weigh: boolean) => Sample> = {
  version: (runtime, weigh) => call([runtime.path, "--version"], weigh),
  "run true": (runtime, weigh) => {
    const { id, path } = bundle(["true"]);
    return call([runtime.path, "--root", runtime.root, "run", "--bundle", path, id], weigh);
  },
  "create, start, delete": (runtime, weigh) => {
    const { id, path } = bundle(["sleep", "600"]);
    const command = [runtime.path, "--root", runtime.root];
    return sum([
      call([...command, "create", "--bundle", path, id], weigh),
      call([...command, "start", id], weigh),
      call([...command, "delete", "--force", id], weigh),
    ]);
  },
  state: (runtime, weigh) => {
    const { id, path } = bundle(["sleep", "600"]);
    const command = [runtime.path, "--root", runtime.root];
    call([...command, "create", "--bundle", path, id], false);
    try {
      return call([...command, "state", id], weigh);
    } finally {
      call([...command, "delete", "--force", id], false);
    }
  },
};

function median(numbers: number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

interface Row {
  task: string;
  runtime: string;
  milliseconds: number;
  megabytes: number;
}

/** Interleaved, so that what the machine does meanwhile hits all alike. */
function measure(
  task: string,
  runtimes: Runtime[],
  once: (runtime: Runtime, weigh: boolean) => Sample,
  runs: number,
): Row[] {
  const samples = new Map<string, number[]>(runtimes.map((runtime) => [runtime.name, []]));
  const weights = new Map<string, number>();
  const broken = new Set<string>();
  for (let run = 0; run <= runs; run++) {
    for (const runtime of runtimes) {
      if (broken.has(runtime.name)) continue;
      try {
        // the first warms caches up, and is the one that is weighed
        const sample = once(runtime, run === 0);
        if (run === 0) weights.set(runtime.name, sample.megabytes);
        else samples.get(runtime.name)?.push(sample.milliseconds);
      } catch (error) {
        broken.add(runtime.name);
        console.error(`skipped: ${task}: ${runtime.name}: ${(error as Error).message}`);
      }
    }
  }
  return runtimes
    .filter((runtime) => !broken.has(runtime.name))
    .map(({ name }) => ({
      task,
      runtime: name,
      milliseconds: median(samples.get(name) ?? []),
      megabytes: weights.get(name) ?? Number.NaN,
    }));
}

/** exec of true in a container that runs: one container a runtime. */
function measureExec(runtimes: Runtime[]): Row[] {
  const containers = new Map<string, string>();
  try {
    for (const { name, path, root } of runtimes) {
      const made = bundle(["sleep", "600"]);
      call([path, "--root", root, "create", "--bundle", made.path, made.id], false);
      containers.set(name, made.id);
      call([path, "--root", root, "start", made.id], false);
    }
    const exec = ({ name, path, root }: Runtime, weigh: boolean) =>
      call([path, "--root", root, "exec", containers.get(name) ?? "", "true"], weigh);
    return measure("exec true", runtimes, exec, RUNS);
  } finally {
    for (const { name, path, root } of runtimes) {
      const id = containers.get(name);
      if (id !== undefined) call([path, "--root", root, "delete", "--force", id], false);
    }
  }
}

/** What a user of podman waits for; most of it is podman's own time. */
function measurePodman(runtimes: Runtime[]): Row[] {
  const lacking = ["podman", "conmon"].find((name) => Bun.which(name) === null);
  if (lacking !== undefined) {
    console.error(`skipped: podman: ${lacking} is not installed`);
    return [];
  }
  using store = new Store();
  const podman = ({ path }: Runtime, ...args: string[]): Sample => {
    // its memory is podman's
    const { milliseconds } = call(["podman", "--runtime", path, ...args], false, store.env);
    return { milliseconds, megabytes: Number.NaN };
  };
  const able = runtimes.filter((runtime) => {
    try {
      podman(runtime, "run", "-d", "--name", runtime.name, IMAGE, "sleep", "6000");
      return true;
    } catch (error) {
      console.error(`skipped: podman: ${runtime.name}: ${(error as Error).message}`);
      return false;
    }
  });
  return [
    ...measure("podman run true", able, (runtime) => podman(runtime, "run", "--rm", IMAGE, "true"), RUNS),
    ...measure("podman exec true", able, (runtime) => podman(runtime, "exec", runtime.name, "true"), RUNS),
  ];
}

const PROFILE = "/usr/share/containers/seccomp.json";
/** Each reads and writes one byte: a million system calls that a filter looks at. */
const MANY_CALLS = "dd if=/dev/zero of=/dev/null bs=1 count=500000 2>/dev/null";

/** A program that does little but system calls, with podman's default profile and without: what the filter costs. */
function measureFilter(runtimes: Runtime[]): Row[] {
  if (!existsSync(PROFILE)) {
    console.error(`skipped: system calls under a filter: there is no ${PROFILE}`);
    return [];
  }
  const seccomp = podmanProfile();
  return [undefined, seccomp].flatMap((profile) => {
    const task = `10^6 calls, ${profile === undefined ? "no filter" : "filter"}`;
    const once = ({ path, root }: Runtime, weigh: boolean) => {
      const made = bundle(["sh", "-c", MANY_CALLS], profile === undefined ? {} : { seccomp: profile });
      return call([path, "--root", root, "run", "--bundle", made.path, made.id], weigh);
    };
    return measure(task, runtimes, once, Math.min(RUNS, 10));
  });
}

/** As podman resolves it for a container without further capabilities. */
function podmanProfile(): object {
  interface Entry {
    includes?: { caps?: string[]; arches?: string[] };
    excludes?: { caps?: string[]; arches?: string[] };
    [key: string]: unknown;
  }
  const source = JSON.parse(readFileSync(PROFILE, "utf8")) as {
    syscalls: Entry[];
    defaultAction: string;
    defaultErrnoRet: number;
  };
  const kept = source.syscalls.filter(
    ({ includes, excludes }) =>
      !includes?.caps?.length &&
      (!includes?.arches?.length || includes.arches.includes("amd64")) &&
      !excludes?.arches?.includes("amd64"),
  );
  const syscalls = kept.map(({ names, action, errnoRet, args }) => ({
    names,
    action,
    errnoRet,
    args: args ?? undefined,
  }));
  const architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
  return {
    defaultAction: source.defaultAction,
    defaultErrnoRet: source.defaultErrnoRet,
    architectures,
    syscalls,
  };
}

function measureList(runtimes: Runtime[]): Row[] {
  const made: { runtime: Runtime; id: string }[] = [];
  const able: Runtime[] = [];
  try {
    for (const runtime of runtimes) {
      try {
        for (let index = 0; index < LISTED; index++) {
          const { id, path } = bundle(["sleep", "600"]);
          call([runtime.path, "--root", runtime.root, "create", "--bundle", path, id], false);
          made.push({ runtime, id });
        }
        able.push(runtime);
      } catch (error) {
        console.error(`skipped: list: ${runtime.name}: ${(error as Error).message}`);
      }
    }
    const task = `list of ${LISTED}`;
    return measure(task, able, ({ path, root }, weigh) => call([path, "--root", root, "list"], weigh), RUNS);
  } finally {
    for (const { runtime, id } of made)
      call([runtime.path, "--root", runtime.root, "delete", "--force", id], false);
  }
}

/** The floor: a compiled Bun program that does nothing. */
async function emptyProgram(): Promise<string> {
  writeFileSync(join(dir, "empty.ts"), "process.exit(0);\n");
  const outfile = join(dir, "empty");
  const built = await Bun.build({
    entrypoints: [join(dir, "empty.ts")],
    target: "bun",
    minify: true,
    bytecode: true,
    compile: { outfile },
  });
  if (!built.success) throw new AggregateError(built.logs);
  return outfile;
}

function print(rows: Row[]): void {
  const line = (cells: string[]): void =>
    console.log(cells.map((cell, index) => (index < 2 ? cell.padEnd(24) : cell.padStart(10))).join(""));
  line(["task", "runtime", "median ms", "to runc", "peak MB"]);
  for (const row of rows) {
    const runc = rows.find((other) => other.task === row.task && other.runtime === "runc");
    const ratio = runc === undefined ? "" : (row.milliseconds / runc.milliseconds).toFixed(2);
    const megabytes = Number.isNaN(row.megabytes) ? "" : row.megabytes.toFixed(0);
    line([row.task, row.runtime, row.milliseconds.toFixed(1), ratio, megabytes]);
  }
}

async function main(): Promise<void> {
  const busybox = Bun.which("busybox");
  if (busybox === null) throw new Error("busybox-static is not installed");
  for (const name of ["bin", "dev", "proc", "sys", "tmp"]) mkdirSync(join(rootfs, name), { recursive: true });
  copyFileSync(busybox, join(rootfs, "bin/busybox"));
  for (const applet of ["true", "sleep", "sh", "dd"]) symlinkSync("busybox", join(rootfs, "bin", applet));
  const runtimes: Runtime[] = [];
  for (const name of ["hako", "runc", "crun"]) {
    const path = name === "hako" ? resolve(process.env.HAKO ?? "dist/hako") : Bun.which(name);
    if (path === null) console.error(`skipped: ${name}: not installed`);
    else runtimes.push({ name, path, root: join(dir, `state-${name}`) });
  }
  const empty = await emptyProgram();
  const rows = measure(
    "empty Bun program",
    [{ name: "-", path: empty, root: "" }],
    ({ path }, weigh) => call([path], weigh),
    RUNS,
  );
  for (const [task, once] of Object.entries(TASKS)) rows.push(...measure(task, runtimes, once, RUNS));
  rows.push(...measureExec(runtimes), ...measurePodman(runtimes));
  rows.push(...measureList(runtimes), ...measureFilter(runtimes));
  if (values.json) console.log(JSON.stringify(rows, null, 2));
  else print(rows);
}

try {
  await main();
} finally {
  rmSync(dir, { recursive: true, force: true });
}
