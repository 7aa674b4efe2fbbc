// A private machine for docker's and containerd's daemons: process, mount and network namespaces of their own, with a tmpfs for
// all that they write. When it goes, so does everything that ran or was mounted in it. Clients are run inside.
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import {
  busyboxRootfs,
  execute,
  HAKO,
  names,
  type Result,
  type RunOptions,
  TIME_LIMIT,
  until,
} from "../e2e/support";

const PREFIX = "hako-e2e-";
/** Milliseconds that something slow on a slow machine may take. */
export const START_LIMIT = TIME_LIMIT;
/** Where containerd's shims and ctr have their sockets, and dockerd its key, whatever the options say. */
const FIXED_DIRECTORIES = ["/run/containerd", "/etc/docker"];

/** Waits for the machine's files and interfaces, then keeps its first process, which has to reap what daemons leave to it. */
const FIRST_PROCESS = `set -e
mount --make-rshared /
for dir; do mkdir -p "$dir"; mount -t tmpfs tmpfs "$dir"; done
# no AppArmor: its profiles would be the host's
[ ! -d /sys/kernel/security ] || mount -t tmpfs tmpfs /sys/kernel/security
ip link set lo up
echo ready
set +e
sleep infinity
exit`;

/** runc fails when it shall give a capability that it does not have; so does it with --privileged. */
export const hasAllCapabilities = /^CapBnd:\s*0*(1ff|3f)f{8}$/m.test(
  readFileSync("/proc/self/status", "utf8"),
);

/** The machine's first process, daemons, and the ps that looks. */
const OWN_PROCESSES = /(sleep infinity|sh -c set -e|dockerd |containerd --config|ps -e -o)/;

export interface MachineOptions {
  /** Leave it the processes of the caller, for what tells others of them by number: it has no end of its own for all that runs in it. */
  sharesProcesses?: boolean;
}

export class Machine implements AsyncDisposable {
  readonly dir = mkdtempSync(`/tmp/${PREFIX}clients-`);
  /** Where cgroups of this machine go. */
  readonly cgroup = `/${PREFIX}clients-${process.pid}-${this.dir.slice(-6)}`;
  private readonly first: ChildProcess;
  private readonly daemons: ChildProcess[] = [];
  private pid = 0;

  private constructor(private readonly options: MachineOptions) {
    // users that are mapped to others have to find their way to containers
    chmodSync(this.dir, 0o711);
    mkdirSync(this.path("data"));
    mkdirSync(this.path("bin"));
    // for callers that know the runtime by this name only
    symlinkSync(HAKO, this.path("bin/runc"));
    const out = openSync(this.path("first"), "w");
    const own = options.sharesProcesses === true ? [] : ["--pid", "--mount-proc"];
    const namespaces = ["--mount", "--net", "--fork", "--kill-child", ...own];
    const script = ["sh", "-c", FIRST_PROCESS, "sh", this.path("data"), ...FIXED_DIRECTORIES];
    // its own end ends the machine, and so does ours
    const command = ["--pdeathsig", "KILL", "unshare", ...namespaces, "--", ...script];
    this.first = spawn("setpriv", command, { stdio: ["ignore", out, out], cwd: "/" });
    closeSync(out);
  }

  static async start(options: MachineOptions = {}): Promise<Machine> {
    const machine = new Machine(options);
    const said = () => readFileSync(machine.path("first"), "utf8");
    await until("the machine is ready", () => said() !== "" || hasEnded(machine.first), START_LIMIT);
    if (!said().includes("ready")) throw new Error(`no machine for daemons: ${said()}`);
    const children = `/proc/${machine.first.pid}/task/${machine.first.pid}/children`;
    machine.pid = Number(readFileSync(children, "utf8").trim());
    return machine;
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  /** The words that run a command inside. */
  inside(...command: string[]): string[] {
    const own = this.options.sharesProcesses === true ? [] : ["--pid"];
    return ["nsenter", "--target", String(this.pid), "--mount", "--net", ...own, "--", ...command];
  }

  runWith(options: RunOptions, ...command: string[]): Result {
    const [program = "", ...args] = this.inside(...command);
    const env = {
      PATH: `${this.path("bin")}:${process.env.PATH}`,
      HOME: this.dir,
      TMPDIR: this.path("data"),
    };
    return execute(program, args, { env, timeout: START_LIMIT, ...options });
  }

  run(...command: string[]): Result {
    return this.runWith({}, ...command);
  }

  /** A command that must succeed; gives what it printed. */
  ok(...command: string[]): string {
    const result = this.run(...command);
    if (result.status !== 0) {
      throw new Error(`${command.join(" ")}: status ${result.status}: ${result.stdout}${result.stderr}`);
    }
    return result.stdout;
  }

  /** Starts a program that stays; what it says goes to the file NAME.log. */
  daemon(name: string, command: string[]): ChildProcess {
    const [program = "", ...args] = this.inside(...command);
    const log = openSync(this.path(`${name}.log`), "a");
    const env = {
      PATH: `${this.path("bin")}:${process.env.PATH}`,
      HOME: this.dir,
      TMPDIR: this.path("data"),
    };
    const child = spawn(program, args, { stdio: ["ignore", log, log], cwd: "/", env, detached: true });
    closeSync(log);
    this.daemons.push(child);
    return child;
  }

  log(name: string): string {
    return readFileSync(this.path(`${name}.log`), "utf8");
  }

  /** Puts a file over one of the host's. */
  cover(path: string, content: string): void {
    const own = this.path(basename(path));
    writeFileSync(own, content);
    this.ok("mount", "--bind", own, path);
  }

  /** A root file system made of busybox, as a tar archive. */
  archive(): string {
    const path = this.path("box.tar");
    if (!existsSync(path)) {
      busyboxRootfs(this.path("rootfs"));
      execute("tar", ["-C", this.path("rootfs"), "-cf", path, "."]);
    }
    return path;
  }

  /** What containers have left: processes and mounts of the machine, cgroups, and state in the runtime's directory. */
  leftovers(state: string): string[] {
    const processes = this.ok("ps", "-e", "-o", "pid,ppid,args").split("\n").slice(1);
    const mounts = this.ok("cat", "/proc/self/mounts").split("\n");
    const groups = cgroupMounts().flatMap((point) => cgroupsBelow(join(point, this.cgroup)));
    return [
      ...processes.filter((line) => line !== "" && !OWN_PROCESSES.test(line)),
      ...mounts.filter(
        (line) => / \S*\/(rootfs|merged|shm|netns\/\S+) /.test(line) && line.includes(this.dir),
      ),
      ...groups,
      ...names(this.hostPath(state)),
      ...names(this.hostPath(`${state}/containers-mapping`)),
    ].map((line) => line.trim());
  }

  /** A path of the machine, as seen from outside. */
  private hostPath(path: string): string {
    return join(`/proc/${this.pid}/root`, path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.options.sharesProcesses === true) await this.endDaemons();
    const ended = new Promise((done) => this.first.once("exit", done));
    if (!hasEnded(this.first)) {
      process.kill(this.pid, "SIGKILL");
      await ended;
    }
    await until("its cgroups are removed", () => this.removeCgroups(), START_LIMIT);
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** The last first: dockerd before its containerd. */
  private async endDaemons(): Promise<void> {
    for (const daemon of this.daemons.reverse()) {
      if (hasEnded(daemon)) continue;
      const ended = new Promise((done) => daemon.once("exit", done));
      daemon.kill("SIGTERM");
      await ended;
    }
  }

  private removeCgroups(): boolean {
    return cgroupMounts()
      .map((point) => join(point, this.cgroup))
      .every(removeCgroup);
  }
}

/** Has ended by itself or by a signal. */
export function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** statfs(2)'s types of both versions of cgroups. */
const CGROUP_MAGIC = [0x27e0eb, 0x63677270];

/** Where each hierarchy of cgroups is mounted, unless something else is mounted over it. */
function cgroupMounts(): string[] {
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, , type]) => type === "cgroup" || type === "cgroup2")
    .map(([, point = ""]) => point)
    .filter((point) => CGROUP_MAGIC.includes(statfsSync(point).type));
}

function cgroupsBelow(path: string): string[] {
  if (!existsSync(path)) return [];
  const entries = readdirSync(path, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(path, entry.name));
}

/** Depth first; false while there are processes in it. */
function removeCgroup(path: string): boolean {
  try {
    if (!cgroupsBelow(path).every(removeCgroup)) return false;
    rmdirSync(path);
    return true;
  } catch {
    return !existsSync(path);
  }
}
