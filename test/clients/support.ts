// What the tests of podman and buildah share: a storage and a configuration of their own below a temporary directory, with one
// image made from busybox. They run on the runtime that HAKO names, as the end-to-end tests do.
import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { e2e, execute, HAKO, type Needs, names, type Result, type RunOptions, until } from "../e2e/support";

export const IMAGE = "localhost/hako-clients-box";
export const RUNTIME = basename(HAKO);
/** Begins the name of every container, cgroup and temporary directory of these tests. */
const REMOVE_MS = 10_000;
const PREFIX = "hako-clients-";
const OVERLAYFS_MAGIC = 0x794c7630;
const LIMIT = 120_000;
/** A client starts some programs for each call, and on an emulated machine each takes seconds. */
const TEST_LIMIT = 400_000;
const PATIENCE = 90_000;
const SUBORDINATE = { start: 400_000, size: 65_536 };

/** The lines of an image with settings of its own and with layers that remove what others have, behind its FROM. */
export const SAVED_IMAGE = [
  "RUN mkdir -p /data/old /data/kept && echo 1 > /data/old/file && echo 2 > /data/kept/file && ln /data/kept/file /data/link",
  "RUN rm -r /data/old && echo 3 > /data/new && chown 1000:2000 /data/new && chmod 4755 /data/new",
  'ENV GREETING="a b"',
  "WORKDIR /data",
  "USER 1000",
  'ENTRYPOINT ["sh", "-c", "echo \\"$0\\"; pwd; id -u; echo $GREETING; ls; stat -c %u:%g:%a new"]',
  'CMD ["words"]',
];
/** How it ends, and what it says. */
export const HAKO_RUNS_SAVED = {
  status: 0,
  stdout: "words\n/data\n1000\na b\nkept\nlink\nnew\n1000:2000:4755\n",
};

/** A test of a client: as `e2e`, with more time. */
export function clientTest(name: string, body: () => void | Promise<void>, needs: Needs[]): void {
  e2e(name, body, needs, TEST_LIMIT);
}

export async function eventually(what: string, holds: () => boolean): Promise<void> {
  await until(what, holds, PATIENCE);
}

export interface StoreOptions {
  /** Run the client as this ordinary user, with subordinate ids; as root if absent. */
  uid?: number;
  cgroupManager?: "cgroupfs" | "systemd";
  /** XDG_RUNTIME_DIR, where the bus of a user's systemd is; a directory of its own if absent. */
  runtimeDirectory?: string;
}

/** An overlay can't carry another one: there a tmpfs is used. */
const tmpIsOverlay = statfsSync("/tmp").type === OVERLAYFS_MAGIC;

/** A root file system with every applet of busybox, and a user and a group besides root. */
function writeRootfs(rootfs: string): void {
  for (const dir of ["bin", "dev", "proc", "sys", "tmp", "etc", "root", "var"])
    mkdirSync(join(rootfs, dir), { recursive: true });
  chmodSync(join(rootfs, "tmp"), 0o1777);
  const busybox = Bun.which("busybox");
  if (busybox === null) throw new Error("busybox is not installed");
  copyFileSync(busybox, join(rootfs, "bin/busybox"));
  const applets = execute(busybox, ["--list"]).stdout.split("\n");
  for (const applet of applets.filter((name) => name !== "" && name !== "busybox"))
    symlinkSync("busybox", join(rootfs, "bin", applet));
  writeFileSync(
    join(rootfs, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n",
  );
  writeFileSync(join(rootfs, "etc/group"), "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n");
}

/** A storage of images and containers, and how podman and buildah are called to use it. */
export class Store implements Disposable {
  readonly dir = mkdtempSync(join(tmpIsOverlay ? "/run" : "/tmp", PREFIX));
  readonly env: Record<string, string>;
  private readonly runtimeDirectory: string;
  private readonly uid: number | undefined;
  /** What is podman's own and was there before. */
  private readonly before = new Set([...podmanCgroups(), ...podmanBridges()]);
  private counter = 0;

  constructor(options: StoreOptions = {}) {
    this.uid = options.uid;
    this.runtimeDirectory = options.runtimeDirectory ?? this.path("xdg");
    chmodSync(this.dir, 0o755);
    for (const name of ["home", "xdg", "store", "run", "tmp"]) mkdirSync(this.path(name), { mode: 0o700 });
    writeRootfs(this.path("rootfs"));
    execute("tar", ["-C", this.path("rootfs"), "-cf", this.path("box.tar"), "."]);
    let runtime = HAKO;
    if (this.uid !== undefined) {
      // the user may not be able to reach the build
      runtime = this.path(RUNTIME);
      copyFileSync(HAKO, runtime);
      chmodSync(runtime, 0o755);
      this.writeUser(this.uid);
    }
    // a user's overlay on a tmpfs needs Linux 6.6
    const driver = this.uid !== undefined && tmpIsOverlay ? "vfs" : "overlay";
    this.writeConfiguration(runtime, driver, options.cgroupManager ?? "cgroupfs");
    this.env = {
      PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin",
      HOME: this.path("home"),
      XDG_RUNTIME_DIR: this.runtimeDirectory,
      CONTAINERS_CONF: this.path("containers.conf"),
      CONTAINERS_STORAGE_CONF: this.path("storage.conf"),
      // buildah reads no runtime from containers.conf
      BUILDAH_RUNTIME: runtime,
      TERM: "xterm",
    };
    const changes = ["--change", "CMD=sh", "--change", "ENV PATH=/bin"];
    this.ok("import", ...changes, this.path("box.tar"), IMAGE);
  }

  private writeConfiguration(runtime: string, driver: string, cgroupManager: string): void {
    const store = this.path("store");
    // podman's own limits are more than an unprivileged virtual machine may set; the network is not the runtime's
    const containers = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
netns = "none"
[engine]
cgroup_manager = "${cgroupManager}"
events_logger = "file"
runtime = "${RUNTIME}"
static_dir = "${store}/libpod"
volume_path = "${store}/volumes"
tmp_dir = "${this.path("tmp")}"
runtime_supports_json = ["${RUNTIME}", "hako", "runc", "crun"]
runtime_supports_nocgroups = ["crun"]
[engine.runtimes]
${RUNTIME} = ["${runtime}"]
`;
    writeFileSync(this.path("containers.conf"), containers);
    const paths = `graphroot = "${store}"\nrootless_storage_path = "${store}"\nrunroot = "${this.path("run")}"`;
    writeFileSync(this.path("storage.conf"), `[storage]\ndriver = "${driver}"\n${paths}\n`);
  }

  /** An account with subordinate ids, in a copy of /etc that only this client's mount namespace sees in its place. */
  private writeUser(uid: number): void {
    execute("cp", ["-a", "/etc", this.path("etc")]);
    const subordinate = `tester:${SUBORDINATE.start}:${SUBORDINATE.size}\n`;
    appendFileSync(this.path("etc/passwd"), `tester:x:${uid}:${uid}::${this.path("home")}:/bin/sh\n`);
    appendFileSync(this.path("etc/group"), `tester:x:${uid}:\n`);
    for (const name of ["subuid", "subgid"]) writeFileSync(this.path(`etc/${name}`), subordinate);
    for (const name of ["home", "xdg", "store", "run", "tmp"]) chownSync(this.path(name), uid, uid);
    mkdirSync(this.path("readonly"));
    writeFileSync(this.path("readonly/file"), "root's\n");
  }

  /** The words that run a client: as this user, with the account's /etc and a directory on a read-only mount, if it is not root. */
  words(client: string, args: string[]): string[] {
    if (this.uid === undefined) return [client, ...args];
    const user = `--reuid ${this.uid} --regid ${this.uid} --clear-groups`;
    const readonly = this.path("readonly");
    const binds = `mount --bind ${this.path("etc")} /etc; mount --bind ${readonly} ${readonly}`;
    const line = `${binds}; mount -o remount,bind,ro,nosuid,nodev ${readonly}; exec setpriv ${user} "$@"`;
    return ["unshare", "--mount", "sh", "-c", line, "sh", client, ...args];
  }

  run(client: string, args: string[], options: RunOptions = {}): Result {
    const [command = client, ...rest] = this.words(client, args);
    return execute(command, rest, { env: this.env, cwd: this.dir, timeout: LIMIT, ...options });
  }

  /** The same without blocking, for several at once. */
  async later(client: string, args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
    const { env, dir: cwd } = this;
    const child = Bun.spawn(this.words(client, args), { env, cwd, stdin: "ignore", stderr: "pipe" });
    const [stdout, stderr] = await Promise.all(
      [child.stdout, child.stderr].map((stream) => new Response(stream).text()),
    );
    return { status: await child.exited, stdout: stdout ?? "", stderr: stderr ?? "" };
  }

  podman(...args: string[]): Result {
    return this.run("podman", args);
  }

  /** A call of podman that must succeed: what it printed, without the last line's end. */
  ok(...args: string[]): string {
    const result = this.podman(...args);
    if (result.status !== 0)
      throw new Error(`podman ${args.join(" ")}: status ${result.status}: ${result.stdout}${result.stderr}`);
    return result.stdout.trimEnd();
  }

  /** Removes a container, or with "pod" a pod, whatever it does. */
  remove(name: string, ...kind: "pod"[]): void {
    // what podman runs at a container's end unmounts in conmon's mount namespace; where the host's mounts are private (no systemd), the host's stay,
    // and podman, which believes them gone, can't remove their mount point: with every runtime
    if (this.podman(...kind, "rm", "-f", "-t", "0", name).stderr.includes("device or resource busy")) {
      unmountBelow(this.path("store/overlay-containers"));
      this.ok(...kind, "rm", "-f", "-t", "0", name);
    }
  }

  /** Runs a line of shell in a new container with these options; it must succeed. */
  sh(line: string, ...options: string[]): string {
    return this.ok("run", "--rm", ...options, IMAGE, "sh", "-c", line);
  }

  /** Starts a container in the background; gives back its name. */
  detached(options: string[], ...args: string[]): string {
    const name = this.name();
    this.ok("run", "-d", "--name", name, ...options, IMAGE, ...args);
    return name;
  }

  /** A name for a container, pod or volume that no other test uses. */
  name(): string {
    return `${PREFIX}${process.pid}-${this.counter++}`;
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  /** A client on a terminal of its own. */
  terminal(client: string, args: string[], size = { rows: 24, cols: 80 }): TerminalSession {
    return new TerminalSession(this.words(client, args), this.env, size);
  }

  inspect(name: string, format: string): string {
    return this.ok("inspect", "--type", "container", "--format", format, name);
  }

  async waitFor(name: string, format: string, value: string): Promise<void> {
    await eventually(`${name}: ${format} is ${value}`, () => this.inspect(name, format) === value);
  }

  /** The containers and pods ever made here. */
  private ids(): string[] {
    const list = this.podman("events", "--stream=false", "--filter", "event=create", "--format", "{{.ID}}");
    return list.stdout.split("\n").filter((line) => line.length === 64);
  }

  /** What the runtime left of the containers that were made here, after all are removed. */
  async leftBehind(): Promise<string[]> {
    const ids = this.ids();
    this.podman("pod", "rm", "--all", "--force", "--time", "0");
    this.podman("rm", "--all", "--force", "--time", "0");
    let found: string[] = [];
    for (const end = Date.now() + 30_000; Date.now() < end; await Bun.sleep(200)) {
      const states = [join("/run", RUNTIME), join(this.runtimeDirectory, RUNTIME)].flatMap((root) =>
        names(root).map((name) => join(root, name)),
      );
      // a pod's own cgroup is podman's to remove
      const cgroups = directories("/sys/fs/cgroup", 5).filter((path) => path.includes("libpod-"));
      found = [...states, ...cgroups].filter((path) => ids.some((id) => path.includes(id)));
      found.push(...this.processes());
      if (found.length === 0) return [];
    }
    return found;
  }

  /** Of this store: conmon, a runtime, a container's first process. podman's own pause process is none. */
  private processes(): string[] {
    return names("/proc").flatMap((pid) => {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
      try {
        const exe = basename(readlinkSync(`/proc/${pid}/exe`));
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
        const own = command.includes(this.dir) && (exe === "conmon" || exe.startsWith(RUNTIME));
        return own ? [`${pid} ${command.trim()}`] : [];
      } catch {
        return []; // it has ended, or is the kernel's
      }
    });
  }

  [Symbol.dispose](): void {
    const ids = this.ids();
    this.podman("pod", "rm", "--all", "--force", "--time", "0");
    this.podman("rm", "--all", "--force", "--time", "0");
    // podman forgets the parents of cgroups in hierarchies that it does not know; the deepest first
    const parents = directories("/sys/fs/cgroup", 5).filter((path) =>
      [...ids, `/${PREFIX}${process.pid}-`].some((part) => path.includes(part)),
    );
    parents.push(...podmanCgroups().filter((path) => !this.before.has(path)));
    if (parents.length > 0) execute("rmdir", parents.reverse());
    for (const name of podmanBridges()) {
      if (!this.before.has(name)) execute("ip", ["link", "delete", name]);
    }
    if (this.uid !== undefined) this.endPauseProcess();
    this.removeDirectory();
  }

  /** podman's own clean-up of a container that has just ended may mount in it once more. */
  private removeDirectory(): void {
    for (const end = performance.now() + REMOVE_MS; ; Bun.sleepSync(100)) {
      unmountBelow(this.dir);
      try {
        rmSync(this.dir, { recursive: true, force: true });
        return;
      } catch (error) {
        if (performance.now() > end) throw error;
      }
    }
  }

  /** It holds a rootless podman's user and mount namespaces for as long as the user is logged in. */
  private endPauseProcess(): void {
    const file = join(this.runtimeDirectory, "libpod/tmp/pause.pid");
    const other = this.path("tmp/pause.pid");
    for (const path of [file, other]) {
      if (existsSync(path)) process.kill(Number(readFileSync(path, "utf8")), "SIGKILL");
    }
  }
}

/** The last ones first. */
function unmountBelow(dir: string): void {
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n").reverse()) {
    const point = line.split(" ")[4] ?? "";
    if (point.startsWith(`${dir}/`)) execute("umount", ["-l", point]);
  }
}

/**
 * Where podman puts conmon when it makes the cgroups itself, and what it tries cgroup v2 with; it leaves them. A container's may be another store's: it is
 * empty until its process joins it.
 */
function podmanCgroups(): string[] {
  return directories("/sys/fs/cgroup", 3).filter(
    (path) => /\/(libpod_parent|podman_probe)(\/|$)/.test(path) && !path.includes("/libpod-"),
  );
}

/** The bridges of podman's default network, which it makes for a pod and leaves; none that somebody is attached to. */
function podmanBridges(): string[] {
  return ["cni-podman0", "podman0"].filter((name) => {
    const dir = `/sys/class/net/${name}/brif`;
    return existsSync(dir) && names(dir).length === 0;
  });
}

/** Directories below one, so many levels down. */
function directories(dir: string, levels: number): string[] {
  if (levels === 0) return [];
  try {
    return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
      const path = join(dir, entry.name);
      return entry.isDirectory() ? [path, ...directories(path, levels - 1)] : [];
    });
  } catch {
    return []; // it has just gone
  }
}

/**
 * A shell's line that says its terminal's name, and the terminal's size whenever that changes: podman sets the first one about when
 * the program starts, which may find none yet.
 */
export const TELLS_SIZES = "trap 'stty size' WINCH; tty; stty size; while :; do sleep 0.1; done";

/** A program on a terminal, which a test types at and reads from. */
export class TerminalSession implements Disposable {
  private output = "";
  private readonly child: Bun.Subprocess;

  constructor(words: string[], env: Record<string, string>, size: { rows: number; cols: number }) {
    const decoder = new TextDecoder();
    this.child = Bun.spawn(words, {
      env,
      cwd: "/",
      terminal: {
        ...size,
        data: (_terminal, data) => {
          this.output += decoder.decode(data, { stream: true });
        },
      },
    });
  }

  type(text: string): void {
    this.child.terminal?.write(text);
  }

  resize(cols: number, rows: number): void {
    this.child.terminal?.resize(cols, rows);
  }

  /** Waits until what the program wrote matches; gives back the match. */
  async read(pattern: RegExp, limit = PATIENCE): Promise<RegExpMatchArray> {
    for (const end = Date.now() + limit; Date.now() < end; await Bun.sleep(20)) {
      const match = this.output.match(pattern);
      if (match !== null) return match;
    }
    throw new Error(`timed out: ${pattern} in ${JSON.stringify(this.output)}`);
  }

  async exited(): Promise<number> {
    return await this.child.exited;
  }

  [Symbol.dispose](): void {
    this.child.kill("SIGKILL");
    this.child.terminal?.close();
  }
}
