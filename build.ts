// Compiles dist/hako: `bun run build.ts [--target x64|arm64|x64-musl|arm64-musl]... [--outdir DIR] [--plain]`.
// --plain: as Bun compiles it, without a rehearsal and without changes of the executable (docs/decisions/patched-executable.md).
import { execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { type Machine, withCleanStart } from "./scripts/clean-start";
import { withFewerPageFaults } from "./scripts/page-faults";
import { type HeapUse, heapUse, joined, type Range, usedHeap, usedMemory } from "./scripts/used-memory";
import { runAttendant } from "./src/container/run/run-attendant-rows";
import { SCRIPT_CAPABILITIES } from "./src/container/script/script-capabilities";
import type { BuiltSeccomp } from "./src/container/script/script-seccomp";
import { execAttendant } from "./src/drivers/namespaces/exec/exec-attendant-rows";
import { initProgram } from "./src/drivers/namespaces/init/init-rows";
import { confinedProfile } from "./src/drivers/vm/confined/confined-profile";
import type { StoredTemplate, Template } from "./src/linux/steps/template";
import { compile } from "./src/seccomp/compile";
import { defaultProfile, relevantCapabilities } from "./src/seccomp/default-profile";

interface Target {
  bun: Bun.Build.CompileTarget;
  /** Of npm, that holds this Bun. */
  package: string;
  libc: "glibc" | "musl";
  machine: Machine;
}
/** Of machines, in the words of seccomp profiles. */
const ARCHITECTURES: Record<Machine, string> = { x64: "SCMP_ARCH_X86_64", arm64: "SCMP_ARCH_AARCH64" };

/** By what a build is called. */
const TARGETS: Record<string, Target> = {
  x64: { bun: "bun-linux-x64", package: "@oven/bun-linux-x64", libc: "glibc", machine: "x64" },
  arm64: { bun: "bun-linux-arm64", package: "@oven/bun-linux-aarch64", libc: "glibc", machine: "arm64" },
  "x64-musl": {
    bun: "bun-linux-x64-musl",
    package: "@oven/bun-linux-x64-musl",
    libc: "musl",
    machine: "x64",
  },
  "arm64-musl": {
    bun: "bun-linux-arm64-musl",
    package: "@oven/bun-linux-aarch64-musl",
    libc: "musl",
    machine: "arm64",
  },
};
const NATIVE = process.arch === "arm64" ? "arm64" : "x64";

/**
 * What shows Bun which bytecode a start needs: commands that go through all of it and end for lack of a container, so that
 * they need no rights and leave nothing. The first counts most; more of them make all of them slower.
 */
const REHEARSED = [
  ["state", "nothing"],
  ["exec", "nothing", "true"],
];

function commit(): string {
  try {
    const hash = execFileSync("git", ["rev-parse", "HEAD"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    const dirty = execFileSync("git", ["status", "--porcelain"], { encoding: "utf8" }) !== "";
    return `${hash.trim()}${dirty ? "-dirty" : ""}`;
  } catch {
    return "unknown";
  }
}

/** The Bun of another target, fetched from npm once into node_modules/.bun-targets. */
function runtimeOf(name: string, npmPackage: string): string {
  const base = `node_modules/.bun-targets/${name}`;
  const file = `${base}/package/bin/bun`;
  if (existsSync(file)) return file;
  mkdirSync(base, { recursive: true });
  const tarball = execFileSync(
    "npm",
    ["pack", "--silent", "--pack-destination", base, `${npmPackage}@${Bun.version}`],
    {
      encoding: "utf8",
    },
  );
  execFileSync("tar", ["-xzf", `${base}/${tarball.trim().split("\n").pop()}`, "-C", base]);
  return file;
}

/** What `run --rootfs` puts into force unless it is told otherwise: root's, and an ordinary user's (src/container/script/script-seccomp.ts). */
function defaultSeccomp(architecture: string): Record<string, BuiltSeccomp> {
  const entries = [SCRIPT_CAPABILITIES, []].map((capabilities) => {
    const profile = defaultProfile(capabilities, architecture);
    const program = compile(profile, architecture).program.toBase64();
    return [String(relevantCapabilities(capabilities)), { profile: JSON.stringify(profile), program }];
  });
  return Object.fromEntries(entries);
}

function confinedFilter(architecture: string): string {
  return compile(confinedProfile(architecture), architecture).program.toBase64();
}

/** A hash of all that makes filters from profiles: what another build has compiled is none of its own (src/state/filter-cache.ts). */
function filterCompiler(): string {
  const hash = new Bun.CryptoHasher("sha256");
  const files = readdirSync("src/seccomp").map((name) => `src/seccomp/${name}`);
  for (const file of [...files.sort(), "src/oci/seccomp-words.ts", "src/linux/process/filter-steps.ts"])
    hash.update(readFileSync(file));
  return hash.digest("hex");
}

/** What takes hako's place while a command of `exec`, or the program of `run`, goes on without a terminal (src/linux/attendant). */
function stored({ data, at }: Template): StoredTemplate {
  return { data: data.toBase64(), at };
}

function targetOf(name: string) {
  const target = TARGETS[name];
  if (target !== undefined) return target;
  throw new Error(`unknown target ${name}; one of ${Object.keys(TARGETS).join(", ")}`);
}

/** Chunks of less are folded into others: Bun's table of them has to stay small (docs/decisions/patched-executable.md, "Why few chunks"). */
const MIN_CHUNK_SIZE = 8192;

/** Makes the executable of a target; what `rehearse` recorded puts the bytecode of a start together in it: some hundredths of its time. */
async function build(name: string, outdir: string, bytecodeOrder: string[]): Promise<string> {
  const target = targetOf(name);
  const outfile = `${outdir}/${name === NATIVE ? "hako" : `hako-${name}`}`;
  const version = (JSON.parse(readFileSync("package.json", "utf8")) as { version: string }).version;
  const result = await Bun.build({
    entrypoints: ["src/main.ts"],
    target: "bun",
    minify: true,
    bytecode: true,
    // a command reads the code of its own chunks only: most of a millisecond less
    format: "esm",
    splitting: true,
    minChunkSize: MIN_CHUNK_SIZE,
    define: {
      HAKO_VERSION: JSON.stringify(version),
      HAKO_COMMIT: JSON.stringify(commit()),
      HAKO_DEFAULT_SECCOMP: JSON.stringify(defaultSeccomp(ARCHITECTURES[target.machine])),
      HAKO_CONFINED_FILTER: JSON.stringify(confinedFilter(ARCHITECTURES[target.machine])),
      HAKO_FILTER_COMPILER: JSON.stringify(filterCompiler()),
      HAKO_LIBC: JSON.stringify(target.libc),
      // numbers and machine code that differ by it are decided by the build
      "process.arch": JSON.stringify(target.machine),
      HAKO_EXEC_ATTENDANT: JSON.stringify(stored(execAttendant(target.machine, undefined, []))),
      HAKO_INIT: JSON.stringify(stored(initProgram(target.machine))),
      HAKO_RUN_ATTENDANT: JSON.stringify(stored(runAttendant(target.machine, undefined, []))),
    },
    compile: {
      target: target.bun,
      outfile,
      // A command ends before compiled code would pay: a sixth of its time.
      jitPolicy: 1000,
      bytecodeOrder,
      // A runtime is started in directories that strangers write to: no .env and no bunfig.toml of theirs.
      autoloadDotenv: false,
      autoloadBunfig: false,
      ...(name === NATIVE ? {} : { executablePath: runtimeOf(name, target.package) }),
    },
  });
  if (!result.success) throw new AggregateError(result.logs, "build failed");
  return outfile;
}

/** What the commands of a start used: files that tell which bytecode, and the executable's memory. */
interface Rehearsal {
  bytecodeOrder: string[];
  memory: Range[];
  heap: HeapUse;
}

async function rehearse(hako: string, directory: string): Promise<Rehearsal> {
  const memory: Range[][] = [];
  const heaps: Set<number>[] = [];
  const bytecodeOrder: string[] = [];
  for (const [index, command] of REHEARSED.entries()) {
    const file = `${directory}/order-${index}`;
    const used = await rehearseCommand(hako, ["--root", `${directory}/root`, ...command], directory, file);
    memory.push(used.memory);
    heaps.push(used.heap);
    if (!existsSync(file)) throw new Error(`hako ${command.join(" ")} recorded no order of bytecode`);
    bytecodeOrder.push(file);
  }
  return { bytecodeOrder, memory: joined(memory), heap: heapUse(heaps) };
}

/** Runs a command that fails. It can't write its message, for the pipe is full: there it has used all its memory and still holds it. */
async function rehearseCommand(hako: string, command: string[], directory: string, order: string) {
  const pipe = `${directory}/pipe`;
  execFileSync("mkfifo", [pipe]);
  const reader = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
  const writer = openSync(pipe, constants.O_WRONLY);
  try {
    fill(reader);
    const child = spawn(hako, command, {
      env: { ...process.env, BUN_BYTECODE_ORDER_OUT: order },
      stdio: ["ignore", "ignore", writer],
    });
    const ended = new Promise((resolve) => child.on("exit", resolve));
    await new Promise((resolve, reject) => child.on("spawn", resolve).on("error", reject));
    const pid = child.pid ?? 0;
    const used = await settled(() => ({ memory: usedMemory(hako, pid), heap: usedHeap(pid) }));
    readSync(reader, Buffer.alloc(1 << 20));
    await ended;
    return used;
  } finally {
    closeSync(reader);
    closeSync(writer);
    rmSync(pipe);
  }
}

/** Writes until the pipe takes no more. */
function fill(pipe: number): void {
  try {
    for (;;) writeSync(pipe, Buffer.alloc(4096));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
  }
}

/** A value that no longer changes. */
async function settled<T>(read: () => T): Promise<T> {
  for (let before = read(); ; ) {
    await Bun.sleep(300);
    const now = read();
    if (Bun.deepEquals(before, now)) return now;
    before = now;
  }
}

/** What fails in a build without `--plain` alone. */
class NotPlain extends Error {}

/** Does what `--plain` leaves out. */
async function orPlain<T>(what: string, action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw new NotPlain(`${what}: ${error instanceof Error ? error.message : error}`);
  }
}

/** Makes executables whose start was rehearsed on this machine, and changes what Bun has compiled. */
async function buildPatched(names: readonly string[], outdir: string): Promise<void> {
  const directory = mkdtempSync(`${tmpdir()}/hako-build-`);
  try {
    const hako = await build(NATIVE, directory, []);
    const rehearsal = await orPlain("a start can't be rehearsed here", () => rehearse(hako, directory));
    for (const name of names) {
      const outfile = await build(name, outdir, rehearsal.bytecodeOrder);
      await orPlain("this Bun's executable can't be changed", () => patch(name, outfile, rehearsal));
      report(outfile);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function patch(name: string, outfile: string, { memory, heap }: Rehearsal): void {
  // The memory that a start uses is known for the Bun that was rehearsed, the code that asks for it is x86-64's, and where pages
  // are of 64 KiB, as arm64's may be, a huge one would be of 512 MiB.
  try {
    if (name === NATIVE && name === "x64") withFewerPageFaults(outfile, memory, heap);
    // last, for the entry that the kernel tells of is then this one's
    withCleanStart(outfile, targetOf(name).machine);
  } catch (error) {
    // one that was not changed looks like one that was
    rmSync(outfile);
    throw error;
  }
}

/** Makes executables as Bun compiles them. */
async function buildPlain(names: readonly string[], outdir: string): Promise<void> {
  for (const name of names) report(await build(name, outdir, []));
}

function report(outfile: string): void {
  console.log(`${outfile} ${Math.round(statSync(outfile).size / 1e6)} MB`);
}

const { values } = parseArgs({
  options: {
    target: { type: "string", multiple: true },
    outdir: { type: "string", default: "dist" },
    plain: { type: "boolean", default: false },
  },
});
const names = values.target ?? [NATIVE];
try {
  await (values.plain ? buildPlain : buildPatched)(names, values.outdir);
} catch (error) {
  if (!(error instanceof NotPlain)) throw error;
  console.error(`build: ${error.message}`);
  console.error(
    "build: --plain leaves that out: commands take longer then, and variables that Bun reads are in force (docs/decisions/patched-executable.md)",
  );
  process.exitCode = 1;
}
