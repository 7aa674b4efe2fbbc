// docker's daemon on a machine of its own, with the tested runtime as its default.
import type { ChildProcess } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { HAKO, type Result, type RunOptions, until } from "../e2e/support";
import { type ContainerdDaemon, startContainerd } from "./containerd-daemon";
import { hasEnded, Machine, START_LIMIT } from "./machine";

/** The client of docker.io, whatever else comes first in PATH. */
const CLIENT = existsSync("/usr/bin/docker") ? "/usr/bin/docker" : "docker";

export interface DockerOptions {
  /** Further flags of dockerd. */
  flags?: string[];
  /** Files of the host that hold something else for the daemon. */
  files?: Record<string, string>;
  /** Containers are scopes of systemd's, which the daemon shares its processes with. */
  systemd?: boolean;
}

/** dockerd with the tested runtime as its default, as "tested", and as `runc` of its PATH. */
export class Docker implements AsyncDisposable {
  private daemon: ChildProcess | undefined;
  private containerd: ContainerdDaemon | undefined;
  private counter = 0;

  private constructor(
    readonly machine: Machine,
    private readonly options: DockerOptions,
  ) {}

  static async start(options: DockerOptions = {}): Promise<Docker> {
    const docker = new Docker(await Machine.start({ sharesProcesses: options.systemd === true }), options);
    try {
      docker.containerd = await startContainerd(docker.machine);
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
    const { systemd = false, flags = [] } = this.options;
    command.push("--containerd", this.containerd?.address ?? "", "--storage-driver", "overlay2");
    command.push("--exec-opt", `native.cgroupdriver=${systemd ? "systemd" : "cgroupfs"}`);
    if (!systemd) command.push("--cgroup-parent", machine.cgroup);
    command.push("--add-runtime", `tested=${HAKO}`);
    command.push("--default-runtime", "tested", "--live-restore", ...flags);
    const daemon = machine.daemon("dockerd", command);
    this.daemon = daemon;
    const isUp = () => existsSync(path("docker.sock")) && this.docker("version").status === 0;
    await until("dockerd answers", () => hasEnded(daemon) || isUp(), START_LIMIT);
    if (hasEnded(daemon)) throw new Error(`dockerd: ${machine.log("dockerd").slice(-2000)}`);
  }

  /** Ends the daemon by a signal, not its containers. */
  async down(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const { daemon } = this;
    if (daemon === undefined || hasEnded(daemon)) return;
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
