// A private machine for docker's and containerd's daemons: process, mount and network namespaces of their own, with a tmpfs for
// all that they write. When it goes, so does everything that ran or was mounted in it. Clients are run inside.
import { type ChildProcess, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { busyboxRootfs, execute, HAKO, names, type Result, type RunOptions, until } from "../e2e/support";

const PREFIX = "hako-e2e-";
/** The client of docker.io, whatever else comes first in PATH. */
const CLIENT = existsSync("/usr/bin/docker") ? "/usr/bin/docker" : "docker";
const START_LIMIT = 120_000;
/** Where containerd's shims and ctr have their sockets, and dockerd its key, whatever the options say. */
const FIXED_DIRECTORIES = ["/run/containerd", "/etc/docker"];

/** Waits for the machine's files and interfaces, then keeps its first process, which has to reap what daemons leave to it. */
const FIRST_PROCESS = `set -e
mount --make-rshared /
for dir; do mkdir -p "$dir"; mount -t tmpfs tmpfs "$dir"; done
ip link set lo up
echo ready
set +e
sleep infinity
exit`;

export class Machine implements AsyncDisposable {
  readonly dir = mkdtempSync(`/tmp/${PREFIX}clients-`);
  /** Where cgroups of this machine go. */
  readonly cgroup = `/${PREFIX}clients-${process.pid}-${this.dir.slice(-6)}`;
  private readonly first: ChildProcess;
  private pid = 0;

  private constructor() {
    mkdirSync(this.path("data"));
    mkdirSync(this.path("bin"));
    // for callers that know the runtime by this name only
    symlinkSync(HAKO, this.path("bin/runc"));
    const out = openSync(this.path("first"), "w");
    const namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const script = ["sh", "-c", FIRST_PROCESS, "sh", this.path("data"), ...FIXED_DIRECTORIES];
    // its own end ends the machine, and so does ours
    const command = ["--pdeathsig", "KILL", "unshare", ...namespaces, "--", ...script];
    this.first = spawn("setpriv", command, { stdio: ["ignore", out, out], cwd: "/" });
    closeSync(out);
  }

  static async start(): Promise<Machine> {
    const machine = new Machine();
    const said = () => readFileSync(machine.path("first"), "utf8");
    await until("the machine is ready", () => said() !== "" || machine.first.exitCode !== null);
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
    return ["nsenter", "--target", String(this.pid), "--mount", "--net", "--pid", "--", ...command];
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

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((done) => this.first.once("exit", done));
    if (this.first.exitCode === null && this.first.signalCode === null) {
      process.kill(this.pid, "SIGKILL");
      await ended;
    }
    await until("its cgroups are removed", () => this.removeCgroups());
    rmSync(this.dir, { recursive: true, force: true });
  }

  private removeCgroups(): boolean {
    const mounted = readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" "))
      .filter(([, , type]) => type === "cgroup" || type === "cgroup2")
      .map(([, point = ""]) => join(point, this.cgroup));
    return mounted.every(removeCgroup);
  }
}

/** Depth first; false while there are processes in it. */
function removeCgroup(path: string): boolean {
  if (!existsSync(path)) return true;
  for (const name of names(path)) {
    try {
      // only a cgroup has this file
      if (existsSync(join(path, name, "cgroup.procs")) && !removeCgroup(join(path, name))) return false;
    } catch {
      return false;
    }
  }
  try {
    rmdirSync(path);
    return true;
  } catch {
    return false;
  }
}

export interface DockerOptions {
  /** Further flags of dockerd. */
  flags?: string[];
  /** Files of the host that hold something else for the daemon. */
  files?: Record<string, string>;
}

/** dockerd with the tested runtime as its default, as "tested", and as `runc` of its PATH. */
export class Docker implements AsyncDisposable {
  private daemon: ChildProcess | undefined;
  private counter = 0;

  private constructor(
    readonly machine: Machine,
    private readonly flags: string[],
  ) {}

  static async start(options: DockerOptions = {}): Promise<Docker> {
    const docker = new Docker(await Machine.start(), options.flags ?? []);
    try {
      for (const [path, content] of Object.entries(options.files ?? {})) docker.machine.cover(path, content);
      await docker.up();
      docker.ok("import", "--change", 'CMD ["sh"]', docker.machine.archive(), "box");
    } catch (error) {
      await docker[Symbol.asyncDispose]();
      throw error;
    }
    return docker;
  }

  private get socket(): string {
    return `unix://${this.machine.path("docker.sock")}`;
  }

  /** Starts the daemon; also again, after `down`. */
  async up(): Promise<void> {
    const { machine } = this;
    const path = (name: string) => machine.path(name);
    writeFileSync(path("daemon.json"), "{}");
    const command = ["dockerd", "--config-file", path("daemon.json"), "--data-root", path("data/docker")];
    command.push("--exec-root", path("data/exec"), "--pidfile", path("docker.pid"), "--host", this.socket);
    command.push("--exec-opt", "native.cgroupdriver=cgroupfs", "--storage-driver", "overlay2");
    command.push("--cgroup-parent", machine.cgroup, "--add-runtime", `tested=${HAKO}`);
    command.push("--default-runtime", "tested", "--live-restore", ...this.flags);
    const daemon = machine.daemon("dockerd", command);
    this.daemon = daemon;
    const isUp = () => existsSync(path("docker.sock")) && this.docker("version").status === 0;
    await until("dockerd answers", () => daemon.exitCode !== null || isUp(), START_LIMIT);
    if (daemon.exitCode !== null) throw new Error(`dockerd: ${machine.log("dockerd").slice(-2000)}`);
  }

  /** Ends the daemon by a signal, not its containers. */
  async down(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const { daemon } = this;
    if (daemon === undefined || daemon.exitCode !== null) return;
    const ended = new Promise((done) => daemon.once("exit", done));
    this.machine.run(
      "kill",
      `-${signal.slice(3)}`,
      readFileSync(this.machine.path("docker.pid"), "utf8").trim(),
    );
    await ended;
    this.daemon = undefined;
  }

  /** The words of a client's call, inside of the machine. */
  call(...args: string[]): string[] {
    return [CLIENT, "--host", this.socket, ...args];
  }

  /** The same from outside. */
  words(...args: string[]): string[] {
    return this.machine.inside(...this.call(...args));
  }

  dockerWith(options: RunOptions, ...args: string[]): Result {
    return this.machine.runWith(options, ...this.call(...args));
  }

  docker(...args: string[]): Result {
    return this.dockerWith({}, ...args);
  }

  /** A call that must succeed; gives what it printed. */
  ok(...args: string[]): string {
    return this.machine.ok(...this.call(...args));
  }

  /** `docker run --rm` without a network, which takes time and is not always what a test is about. */
  run(...args: string[]): Result {
    return this.docker("run", "--rm", "--network", "none", ...args);
  }

  /** A container in the background, gone after `using`. */
  detached(options: string[], ...command: string[]): DockerContainer {
    const name = `box${this.counter++}`;
    this.ok("run", "--detach", "--network", "none", "--name", name, ...options, "box", ...command);
    return new DockerContainer(this, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]();
  }
}

export class DockerContainer implements Disposable {
  constructor(
    private readonly docker: Docker,
    readonly name: string,
  ) {}

  exec(...args: string[]): Result {
    return this.docker.docker("exec", this.name, ...args);
  }

  /** A value of `docker inspect`. */
  inspect(format: string): string {
    return this.docker.ok("inspect", "--format", format, this.name).trim();
  }

  get status(): string {
    return this.inspect("{{.State.Status}} {{.State.ExitCode}}");
  }

  async until(what: string, holds: () => boolean): Promise<void> {
    await until(`${this.name}: ${what}`, holds, START_LIMIT);
  }

  [Symbol.dispose](): void {
    this.docker.docker("rm", "--force", this.name);
  }
}
