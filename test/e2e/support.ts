// What the end-to-end tests share. They run the executable named by HAKO (default dist/hako) as root; most of them also
// hold for runc: HAKO=/usr/sbin/runc bun test test/e2e/lifecycle.test.ts
import { test } from "bun:test";
import { type SpawnSyncOptions, spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join, resolve } from "node:path";
import { type BundleConfig, defaultBundleConfig } from "./bundle-config";

export type { BundleConfig } from "./bundle-config";

export const REPOSITORY = resolve(import.meta.dir, "../..");
export const HAKO = resolve(REPOSITORY, process.env.HAKO ?? "dist/hako");
/** False when the tests run against another runtime, which lacks hako's own commands. */
export const IS_HAKO = basename(HAKO).startsWith("hako");
/** Begins the name of every container, cgroup and temporary directory of the tests. */
const PREFIX = "hako-e2e-";
/** The same for those of this run: others may go on beside it. */
const OWN_PREFIX = `${PREFIX}${process.pid}-`;
/** A program that is there until it is killed. */
export const SLEEP = ["sleep", "600"];
/** A line of shell that waits until its last background command, a run, has given its place to an attendant. */
export const ATTENDED = "until readlink /proc/$!/exe | grep -q attendant; do sleep 0.1; done";
/** HAKO_TIME_FACTOR: a machine that is emulated, on a busy one, is that much slower. */
export const TIME_FACTOR = Number(process.env.HAKO_TIME_FACTOR ?? 1);
export const TIME_LIMIT = 60_000 * TIME_FACTOR;
/** How long something may take that takes a moment where nothing else runs. */
export const PATIENCE_MS = 30_000 * TIME_FACTOR;
/** How many containers a client is asked for at once. */
export const AT_ONCE = TIME_FACTOR === 1 ? 30 : 10;

/** Why a test can't run here; undefined if it can. */
export type Needs = string | undefined;

export const needsRoot: Needs = process.getuid?.() === 0 ? undefined : "needs root";
const busybox = Bun.which("busybox");
export const needsBusybox: Needs = busybox === null ? "busybox-static is not installed" : undefined;
export const needsHako: Needs = IS_HAKO ? undefined : `${basename(HAKO)} is not hako`;
export const isV2 = existsSync("/sys/fs/cgroup/cgroup.controllers");

export function needsProgram(name: string): Needs {
  return Bun.which(name) === null ? `${name} is not installed` : undefined;
}

/** Why criu can't save processes here; asked once, as criu takes its time. */
export function needsCriu(): Needs {
  criuAnswer ??= criuLacks();
  return criuAnswer.lacking;
}

let criuAnswer: { lacking: Needs } | undefined;

function criuLacks(): { lacking: Needs } {
  if (Bun.which("criu") === null) return { lacking: "criu is not installed" };
  const { status, stdout, stderr } = execute("criu", ["check"]);
  const [first] = `${stderr}${stdout}`.trim().split("\n");
  return { lacking: status === 0 ? undefined : `criu can't work on this kernel: ${first}` };
}

/** A test that says why it is skipped. `needs` is asked in order; the first that is lacking is printed. */
export function e2e(
  name: string,
  body: () => void | Promise<void>,
  needs: Needs[] = [],
  limit = TIME_LIMIT * 2,
): void {
  const lacking = [needsRoot, needsBusybox, ...needs].find((why) => why !== undefined);
  if (lacking === undefined) {
    test(name, body, limit);
    return;
  }
  console.log(`skipped: ${name}: ${lacking}`);
  test.skip(name, body);
}

export interface Result {
  status: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  input?: string;
  cwd?: string;
  env?: Record<string, string>;
  timeout?: number;
  /** Descriptors of this process that the program gets as 3, 4, ... */
  extraFds?: number[];
}

let outputs = 0;

/**
 * Runs a program to its end. Output goes through files: a created container keeps them open after `create` has ended,
 * and a pipe would make us wait for the container.
 */
export function execute(command: string, args: string[], options: RunOptions = {}): Result {
  const base = join("/tmp", `${PREFIX}output-${process.pid}-${outputs++}`);
  const out = openSync(`${base}.out`, "w");
  const err = openSync(`${base}.err`, "w");
  try {
    const spawnOptions: SpawnSyncOptions = {
      stdio: [options.input === undefined ? "ignore" : "pipe", out, err, ...(options.extraFds ?? [])],
      cwd: options.cwd ?? "/",
      env: options.env ?? { PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin" },
      timeout: options.timeout ?? TIME_LIMIT,
      ...(options.input === undefined ? {} : { input: options.input }),
    };
    const done = spawnSync(command, args, spawnOptions);
    return {
      status: done.status,
      signal: done.signal,
      stdout: readFileSync(`${base}.out`, "utf8"),
      stderr: readFileSync(`${base}.err`, "utf8"),
    };
  } finally {
    closeSync(out);
    closeSync(err);
    rmSync(`${base}.out`, { force: true });
    rmSync(`${base}.err`, { force: true });
  }
}

/** The same without blocking, for several at once; `kill` after so many milliseconds, if given. */
export async function executeLater(
  command: string,
  args: string[],
  killAfter?: number,
  env: Record<string, string> = { PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin" },
): Promise<Result> {
  const base = join("/tmp", `${PREFIX}output-${process.pid}-${outputs++}`);
  const out = openSync(`${base}.out`, "w");
  const err = openSync(`${base}.err`, "w");
  const child = spawn(command, args, {
    stdio: ["ignore", out, err],
    cwd: "/",
    env,
  });
  closeSync(out);
  closeSync(err);
  const timer = setTimeout(() => child.kill("SIGKILL"), killAfter ?? TIME_LIMIT);
  const [status, signal] = await new Promise<[number | null, string | null]>((done) =>
    child.on("exit", (...end) => done(end)),
  );
  clearTimeout(timer);
  const result = {
    status,
    signal,
    stdout: readFileSync(`${base}.out`, "utf8"),
    stderr: readFileSync(`${base}.err`, "utf8"),
  };
  rmSync(`${base}.out`, { force: true });
  rmSync(`${base}.err`, { force: true });
  return result;
}

/** Can this host make a user namespace with a full mapping? */
export const needsUserNamespace: Needs =
  execute("unshare", ["--user", "--map-root-user", "true"]).status === 0 ? undefined : "no user namespaces";

let boxes = 0;

/** A temporary directory with a state directory of its own; everything made through it is gone after `using`. */
export class Box implements Disposable {
  readonly dir = mkdtempSync(join("/tmp", OWN_PREFIX));
  readonly root = join(this.dir, "state");
  private count = 0;
  /** Begins the names of its containers and cgroups. */
  readonly names = `${PREFIX}${process.pid}-${boxes++}-`;

  hako(...args: string[]): Result {
    return this.hakoWith({}, ...args);
  }

  hakoWith(options: RunOptions, ...args: string[]): Result {
    return execute(HAKO, ["--root", this.root, ...args], options);
  }

  /** Without blocking; killed after so many milliseconds, if given. */
  later(args: string[], killAfter?: number): Promise<Result> {
    return executeLater(HAKO, ["--root", this.root, ...args], killAfter);
  }

  /** A command that must succeed. */
  ok(...args: string[]): Result {
    const result = this.hako(...args);
    if (result.status !== 0) {
      throw new Error(`${args.join(" ")}: status ${result.status} ${result.signal ?? ""}: ${result.stderr}`);
    }
    return result;
  }

  /** A container id that no other test uses. */
  id(): string {
    return `${this.names}${this.count++}`;
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  /** A bundle whose rootfs holds busybox, unless `mutate` names another; `mutate` changes its config.json. */
  bundle(args: string[], mutate: (config: BundleConfig) => void = () => {}): string {
    const dir = this.path(`bundle-${this.count++}`);
    const config = defaultBundleConfig(args, `/${this.names}${this.count++}`);
    mutate(config);
    mkdirSync(dir);
    if (config.root.path === "rootfs") busyboxRootfs(join(dir, "rootfs"));
    writeFileSync(join(dir, "config.json"), JSON.stringify(config, null, 2));
    return dir;
  }

  /** Creates and starts a container; its id. */
  started(args: string[] = SLEEP, mutate?: (config: BundleConfig) => void): string {
    const id = this.id();
    this.ok("create", "--bundle", this.bundle(args, mutate), id);
    this.ok("start", id);
    return id;
  }

  /** Runs `args` in a new container with `hako run`. */
  run(args: string[], mutate?: (config: BundleConfig) => void, options: RunOptions = {}): Result {
    return this.hakoWith(options, "run", "--bundle", this.bundle(args, mutate), this.id());
  }

  /** Runs a line of shell in a new container and gives back what it printed; the line must succeed. */
  sh(line: string, mutate?: (config: BundleConfig) => void): string {
    const result = this.run(["sh", "-c", line], mutate);
    if (result.status !== 0) {
      throw new Error(`sh -c '${line}': status ${result.status}: ${result.stdout}${result.stderr}`);
    }
    return result.stdout;
  }

  state(id: string): { id: string; pid: number; status: string; bundle: string; [key: string]: unknown } {
    return JSON.parse(this.ok("state", id).stdout);
  }

  async waitFor(id: string, status: string): Promise<void> {
    await until(`${id} is ${status}`, () => this.state(id).status === status);
  }

  [Symbol.dispose](): void {
    // those of runs that were killed, too, whose ids hako has chosen
    for (const id of names(this.root))
      if (id.startsWith(PREFIX) || existsSync(join(this.root, id, "state.json")))
        this.hako("delete", "--force", id);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** A line of shell that prints where links point. (busybox's readlink takes one.) */
export function readLinks(dir: string, ...links: string[]): string {
  return `cd ${dir}; for link in ${links.join(" ")}; do readlink $link; done`;
}

export function names(dir: string): string[] {
  try {
    return readdirSync(dir).sort();
  } catch {
    return [];
  }
}

export async function until(what: string, holds: () => boolean, limit = PATIENCE_MS): Promise<void> {
  for (const end = Date.now() + limit; !holds(); await Bun.sleep(20)) {
    if (Date.now() > end) throw new Error(`timed out: ${what}`);
  }
}

/** Waits until a process holds something open: a path, or what proc_pid_fd(5) calls it, as "[pidfd]". */
export async function untilOpen(pid: number, what: string): Promise<void> {
  await until(`${pid} has opened ${what}`, () => {
    const dir = `/proc/${pid}/fd`;
    return names(dir).some((fd) => {
      try {
        return readlinkSync(join(dir, fd)).includes(what);
      } catch {
        return false; // it was closed meanwhile
      }
    });
  });
}

const APPLETS =
  "sh true false cat echo sleep id ls pwd env mount umount touch mkdir rm hostname readlink stat grep kill test wc ip dd tty stty umask head tail ps uname sort od seq yes chmod chown ln sed cut tr sync mknod date printenv nproc getopt expr";

export function busyboxRootfs(rootfs: string): void {
  for (const dir of ["bin", "dev", "proc", "sys", "tmp", "etc", "root"])
    mkdirSync(join(rootfs, dir), { recursive: true });
  if (busybox === null) throw new Error("busybox is not installed");
  copyFileSync(busybox, join(rootfs, "bin/busybox"));
  for (const applet of APPLETS.split(" ")) symlinkSync("busybox", join(rootfs, "bin", applet));
  writeFileSync(
    join(rootfs, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n",
  );
  writeFileSync(join(rootfs, "etc/group"), "root:x:0:\nuser:x:1000:\n");
}

export interface HostSnapshot {
  mounts: string[];
  cgroups: string[];
  processes: string[];
  state: string[];
}

/** Cgroups that tests made, in every hierarchy. */
function testCgroups(dir = "/sys/fs/cgroup", depth = 0): string[] {
  if (depth > 4) return [];
  const found: string[] = [];
  for (const entry of (() => {
    try {
      return readdirSync(dir, { withFileTypes: true });
    } catch {
      return [];
    }
  })()) {
    if (!entry.isDirectory()) continue;
    const path = join(dir, entry.name);
    if (entry.name.includes(OWN_PREFIX)) found.push(path);
    found.push(...testCgroups(path, depth + 1));
  }
  return found;
}

/** Processes of ours: of this executable, in a cgroup of a test, or called with a path of a test. */
function testProcesses(): string[] {
  const found: string[] = [];
  for (const pid of names("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    try {
      const exe = readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, "");
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      const inCgroup = readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(OWN_PREFIX);
      if (exe === HAKO || inCgroup || command.includes(`/tmp/${OWN_PREFIX}`)) {
        found.push(`${pid} ${command.trim()}`);
      }
    } catch {
      // a kernel thread, or it has ended
    }
  }
  return found;
}

const MAPPINGS = "containers-mapping";

/** Of somebody else, who works in a temporary directory of its own meanwhile. */
function isOthers(mount: string): boolean {
  return mount.includes(" /tmp/") && !mount.includes(` /tmp/${OWN_PREFIX}`);
}

/** What a container could leave behind on the host. */
export function hostSnapshot(root: string): HostSnapshot {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ").slice(3).join(" "))
    .filter((mount) => !isOthers(mount));
  return {
    mounts: mounts.sort(),
    cgroups: testCgroups().sort(),
    processes: testProcesses(),
    // the root directory stays
    state: [...names(root), ...names(join(root, MAPPINGS))],
  };
}

/** Fails unless the host is as it was; what is on its way out gets its time. */
export async function expectUnchanged(before: HostSnapshot, root: string): Promise<void> {
  let added: string[] = [];
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await Bun.sleep(100)) {
    const now = hostSnapshot(root);
    added = (Object.keys(before) as (keyof HostSnapshot)[]).flatMap((key) =>
      now[key].filter((entry) => !before[key].includes(entry)).map((entry) => `${key}: ${entry}`),
    );
    if (added.length === 0) return;
  }
  throw new Error(`left behind on the host:\n${added.join("\n")}`);
}
