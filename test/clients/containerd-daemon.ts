// containerd on a machine of its own, called by ctr, with the tested runtime behind the shim runc.v2.
import type { ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { execute, HAKO, type Result, type RunOptions, until } from "../e2e/support";
import { hasEnded, Machine, type MachineOptions, START_LIMIT } from "./machine";

/** The names that image configurations have for CPUs. */
const ARCHITECTURES: Record<string, string> = { x64: "amd64", arm64: "arm64" };

/** An archive as `docker save` makes it, with one layer. */
function writeImage(machine: Machine, name: string, command: string[]): string {
  const dir = machine.path("image");
  mkdirSync(dir, { recursive: true });
  const layer = readFileSync(machine.archive());
  writeFileSync(`${dir}/layer.tar`, layer);
  const digest = createHash("sha256").update(layer).digest("hex");
  const configuration = {
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    os: "linux",
    config: { Cmd: command, Env: ["PATH=/bin"] },
    rootfs: { type: "layers", diff_ids: [`sha256:${digest}`] },
  };
  writeFileSync(`${dir}/config.json`, JSON.stringify(configuration));
  const manifest = [{ Config: "config.json", RepoTags: [name], Layers: ["layer.tar"] }];
  writeFileSync(`${dir}/manifest.json`, JSON.stringify(manifest));
  execute("tar", ["-C", dir, "-cf", machine.path("image.tar"), "manifest.json", "config.json", "layer.tar"]);
  return machine.path("image.tar");
}

/** The process itself; its shims and containers live on without it. */
export class ContainerdDaemon {
  private process: ChildProcess | undefined;

  /** `cri` are lines of config.toml for its CRI plugin; without them there is none. */
  constructor(
    private readonly machine: Machine,
    cri: string | undefined,
  ) {
    const path = (name: string) => JSON.stringify(machine.path(name));
    const lines = ["version = 2", `root = ${path("data/root")}`, `state = ${path("data/state")}`];
    if (cri === undefined) lines.push('disabled_plugins = ["io.containerd.grpc.v1.cri"]');
    lines.push("[grpc]", `address = ${path("containerd.sock")}`);
    lines.push("[ttrpc]", `address = ${path("ttrpc.sock")}`, cri ?? "");
    writeFileSync(machine.path("config.toml"), lines.join("\n"));
  }

  get address(): string {
    return this.machine.path("containerd.sock");
  }

  async up(): Promise<void> {
    const { machine, address } = this;
    const config = machine.path("config.toml");
    const daemon = machine.daemon("containerd", ["containerd", "--config", config]);
    this.process = daemon;
    const isUp = () =>
      existsSync(address) && machine.run("ctr", "--address", address, "version").status === 0;
    await until("containerd answers", () => hasEnded(daemon) || isUp(), START_LIMIT);
    if (hasEnded(daemon)) throw new Error(`containerd: ${machine.log("containerd").slice(-2000)}`);
  }

  async kill(): Promise<void> {
    const daemon = this.process;
    if (daemon === undefined || hasEnded(daemon)) return;
    const ended = new Promise((done) => daemon.once("exit", done));
    this.machine.ok("pkill", "--signal", "KILL", "--exact", "containerd");
    await ended;
  }
}

export async function startContainerd(machine: Machine, cri?: string): Promise<ContainerdDaemon> {
  const daemon = new ContainerdDaemon(machine, cri);
  await daemon.up();
  return daemon;
}

export const IMAGE = "docker.io/library/box:latest";

/** containerd with one image. */
export class Containerd implements AsyncDisposable {
  private counter = 0;

  private constructor(
    readonly machine: Machine,
    readonly daemon: ContainerdDaemon,
    /** Of containerd: its containers, and the folder of their cgroups. */
    readonly namespace: string,
  ) {}

  /** With the lines of a configuration for CRI its containers are those of Kubernetes' namespace. */
  static async start(
    configure?: (machine: Machine) => string,
    options: MachineOptions = {},
  ): Promise<Containerd> {
    const machine = await Machine.start(options);
    try {
      const cri = configure?.(machine);
      const namespace = cri === undefined ? machine.cgroup.slice(1) : "k8s.io";
      const containerd = new Containerd(machine, await startContainerd(machine, cri), namespace);
      containerd.ok("image", "import", writeImage(machine, IMAGE, ["sleep", "100000"]));
      return containerd;
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The words of a call, inside of the machine. */
  call(...args: string[]): string[] {
    return ["ctr", "--address", this.daemon.address, "--namespace", this.namespace, ...args];
  }

  ctr(...args: string[]): Result {
    return this.machine.run(...this.call(...args));
  }

  ok(...args: string[]): string {
    return this.machine.ok(...this.call(...args));
  }

  id(): string {
    return `box${this.counter++}`;
  }

  /** The words of `ctr run`. */
  runCall(options: string[], id: string, ...command: string[]): string[] {
    const runtime = ["--runtime", "io.containerd.runc.v2", "--runc-binary", HAKO];
    return this.call("run", ...runtime, ...options, IMAGE, id, ...command);
  }

  /** `ctr run --rm`. */
  run(options: string[], ...command: string[]): Result {
    return this.runWith({}, options, ...command);
  }

  runWith(run: RunOptions, options: string[], ...command: string[]): Result {
    return this.machine.runWith(run, ...this.runCall(["--rm", ...options], this.id(), ...command));
  }

  /** A task in the background, gone after `using`. */
  detached(options: string[], ...command: string[]): Task {
    const id = this.id();
    this.machine.ok(...this.runCall(["--detach", "--null-io", ...options], id, ...command));
    return new Task(this, id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]();
  }
}

export class Task implements Disposable {
  private executions = 0;

  constructor(
    private readonly containerd: Containerd,
    readonly id: string,
  ) {}

  /** The words of `ctr task exec`. */
  execCall(options: string[], ...command: string[]): string[] {
    const name = `${this.id}-exec${this.executions++}`;
    return this.containerd.call("task", "exec", "--exec-id", name, ...options, this.id, ...command);
  }

  exec(options: string[], ...command: string[]): Result {
    return this.containerd.machine.run(...this.execCall(options, ...command));
  }

  /** What `ctr task ls` says: the first process and the status. */
  get row(): { pid: string; status: string } | undefined {
    const row = this.containerd
      .ok("task", "ls")
      .split("\n")
      .map((line) => line.split(/\s+/))
      .find(([id]) => id === this.id);
    return row === undefined ? undefined : { pid: row[1] ?? "", status: row[2] ?? "" };
  }

  async until(status: string | undefined): Promise<void> {
    await until(`${this.id} is ${status}`, () => this.row?.status === status, START_LIMIT);
  }

  [Symbol.dispose](): void {
    this.containerd.ctr("task", "delete", "--force", this.id);
    this.containerd.ctr("container", "delete", this.id);
  }
}
