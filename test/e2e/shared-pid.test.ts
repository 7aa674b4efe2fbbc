// A container is made in the pid namespace of another one whose programs look at all that appears there, and attack it, as root with
// CAP_SYS_PTRACE (Kubernetes' shareProcessNamespace, --pid container:X): CVE-2019-5736, CVE-2016-9962.
import { afterAll, describe, expect } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, copyFileSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kernelRelease } from "../../src/linux/kernel/uname";
import { processStatus } from "../../src/linux/process/process";
import { Home, NEEDS, USER } from "./rootless-home";
import {
  Box,
  type BundleConfig,
  e2e,
  execute,
  executeLater,
  expectUnchanged,
  HAKO,
  hostSnapshot,
  type Needs,
  needsHako,
  needsProgram,
  needsUserNamespace,
  type Result,
} from "./support";

const FIXTURES = join(import.meta.dir, "fixtures");
const STAGE = "hako:[init]";
/** Who begins a procfs in the pid namespace, where the kernel makes none for it from outside. */
const OPENER = "hako:[procfs]";
const SECRET = "what-only-the-caller-knows";
const RIGHTS = ["PTRACE", "ADMIN", "CHROOT"].map((name) => `CAP_SYS_${name}`);
RIGHTS.push("CAP_DAC_READ_SEARCH", "CAP_DAC_OVERRIDE", "CAP_KILL");
const [MAJOR = 0, MINOR = 0] = kernelRelease();
/** Whether the kernel makes a procfs for another pid namespace (procfs' option pidns). */
const hasPidns = MAJOR > 6 || (MAJOR === 6 && MINOR >= 18);
/** How long a command may take whose process is stopped for ever: its patience is 10 s, and an end may take that long. */
const LONGEST_MS = 45_000 * Number(process.env.HAKO_TIME_FACTOR ?? 1);

interface Maps {
  uidMappings: { containerID: number; hostID: number; size: number }[];
  gidMappings: { containerID: number; hostID: number; size: number }[];
}

/** A runtime as a user has it. */
interface Runtime extends Disposable {
  box: Box;
  root: string;
  executable: string;
  call(command: string[]): Result;
  /** Without blocking. */
  later(command: string[]): Promise<Result>;
  bundle(args: string[], change: (config: BundleConfig) => void): string;
}

const range = (hostID: number, size: number): Maps => {
  const map = [{ containerID: 0, hostID, size }];
  return { uidMappings: map, gidMappings: map };
};

function ofRoot(maps: Maps | undefined): Runtime {
  const box = new Box();
  const env = { PATH: process.env.PATH ?? "", SECRET };
  return {
    box,
    root: box.root,
    executable: HAKO,
    call: ([command = "", ...words]) => execute(command, words, { env, timeout: LONGEST_MS }),
    later: ([command = "", ...words]) => executeLater(command, words, LONGEST_MS, env),
    bundle: (args, change) => {
      const dir = box.bundle(args, change);
      // whoever is root there may make the places of mounts
      const hostID = maps?.uidMappings[0]?.hostID ?? 0;
      if (hostID !== 0) execute("chown", ["-R", `${hostID}:${hostID}`, join(dir, "rootfs")]);
      return dir;
    },
    [Symbol.dispose]: () => box[Symbol.dispose](),
  };
}

function ofUser(): Runtime {
  const home = new Home();
  const line = `exec setpriv --reuid ${USER} --regid ${USER} --clear-groups "$@"`;
  const env = { PATH: process.env.PATH ?? "", XDG_RUNTIME_DIR: home.runtime, SECRET };
  return {
    box: home.box,
    root: join(home.runtime, "hako"),
    executable: home.hakoPath,
    call: (words) => execute("sh", ["-c", line, "sh", ...words], { env, timeout: LONGEST_MS }),
    later: (words) => executeLater("sh", ["-c", line, "sh", ...words], LONGEST_MS, env),
    bundle: (args, change) => home.bundle(args, change),
    [Symbol.dispose]: () => home[Symbol.dispose](),
  };
}

interface SetUp {
  name: string;
  maps: Maps | undefined;
  runtime(): Runtime;
  needs: Needs[];
}

const SET_UPS: SetUp[] = [
  { name: "without a user namespace", maps: undefined, runtime: () => ofRoot(undefined), needs: [] },
  ...(
    [
      ["with a shared user namespace, mapped to other ids", range(100_000, 65_536)],
      ["with a shared user namespace, mapped to the same ids", range(0, 4_294_967_295)],
    ] as const
  ).map(([name, maps]) => ({ name, maps, runtime: () => ofRoot(maps), needs: [needsUserNamespace] })),
  { name: "of an ordinary user", maps: range(USER, 1), runtime: ofUser, needs: NEEDS },
];

let built: Box | undefined;
afterAll(() => built?.[Symbol.dispose]());

/** Where the programs of these tests are. */
function programs(): string {
  if (built !== undefined) return built.dir;
  built = new Box();
  for (const program of ["watch-processes", "without-pidns"]) {
    const words = ["-O1", "-static", "-o", built.path(program), join(FIXTURES, `${program}.c`)];
    expect(execute("gcc", words)).toMatchObject({ status: 0 });
  }
  return built.dir;
}

type Mode = "look" | "attack" | "halt";

/** A pod of one container that looks at, or attacks, those that are made beside it. */
class Pod implements Disposable {
  readonly #runtime: Runtime;
  readonly #found: string;
  readonly #before: { status: string; host: ReturnType<typeof hostSnapshot> };
  readonly #marker: string;
  /** Somebody of the host's whom nobody may touch. */
  readonly #bystander: ChildProcess;
  readonly watcher: string;
  #config: (config: BundleConfig) => void = () => {};

  constructor(
    { maps, runtime }: SetUp,
    mode: Mode,
    private readonly kernel: "as it is" | "before 6.18",
  ) {
    this.#runtime = runtime();
    const { box } = this.#runtime;
    this.#found = box.path("found");
    this.#marker = box.path("marker");
    for (const program of ["watch-processes", "without-pidns"])
      copyFileSync(join(programs(), program), box.path(program));
    for (const file of [this.#found, this.#marker]) {
      writeFileSync(file, "", { mode: 0o666 });
      chmodSync(file, 0o666);
    }
    writeFileSync(this.#marker, "the host's");
    chmodSync(box.dir, 0o755);
    const shared = [...["pid", "ipc", "network"], ...(maps === undefined ? [] : ["user"])];
    const change = (pid?: number) => (config: BundleConfig) => {
      const path = (type: string) => `/proc/${pid}/ns/${type === "network" ? "net" : type}`;
      config.linux.namespaces = [
        ...shared.map((type) => (pid === undefined ? { type } : { type, path: path(type) })),
        { type: "mount" },
        { type: "uts" },
        { type: "cgroup" },
      ];
      Object.assign(config.linux, maps ?? {});
      config.mounts = config.mounts.filter(({ destination }) => ["/proc", "/dev"].includes(destination));
      for (const set of ["bounding", "effective", "permitted"])
        config.process.capabilities?.[set]?.push(...RIGHTS);
    };
    const seed = 1 + Math.floor(Math.random() * 1e6);
    console.log(`attack: ${mode}, seed ${seed}`);
    const inode = statSync(this.#runtime.executable).ino;
    const words = [mode, seed, SECRET, inode, this.#marker].join(" ");
    const bundle = this.#runtime.bundle(["sh", "-c", `exec watch-processes ${words} > /found`], (config) => {
      change()(config);
      config.mounts.push(
        {
          destination: "/bin/watch-processes",
          type: "bind",
          source: box.path("watch-processes"),
          options: ["bind"],
        },
        { destination: "/found", type: "bind", source: this.#found, options: ["bind", "rw"] },
      );
    });
    this.watcher = box.id();
    this.#before = { status: statusOf(this.#runtime.executable), host: hostSnapshot(this.#runtime.root) };
    this.#bystander = spawn("sleep", ["600"], { stdio: "ignore" });
    const started = this.hako("run", "--detach", "--bundle", bundle, this.watcher);
    expect([started.status, started.stderr]).toEqual([0, ""]);
    this.#config = change(JSON.parse(this.hako("state", this.watcher).stdout).pid);
  }

  hako(...words: string[]): Result {
    const { executable, root } = this.#runtime;
    return this.#runtime.call([executable, "--root", root, ...words]);
  }

  /** The same on such a kernel. */
  #onKernel(words: readonly string[]): string[] {
    const { executable, root, box } = this.#runtime;
    const old = this.kernel === "as it is" ? [] : [box.path("without-pidns")];
    return [...old, executable, "--root", root, ...words];
  }

  bundle(args: string[], change: (config: BundleConfig) => void = () => {}): string {
    return this.#runtime.bundle(args, (config) => {
      this.#config(config);
      change(config);
    });
  }

  id(): string {
    return this.#runtime.box.id();
  }

  make(...words: string[]): Result {
    const began = performance.now();
    const result = this.#runtime.call(this.#onKernel(words));
    orderly(words, result, performance.now() - began);
    return result;
  }

  async makeLater(...words: string[]): Promise<Result> {
    const began = performance.now();
    const result = await this.#runtime.later(this.#onKernel(words));
    orderly(words, result, performance.now() - began);
    return result;
  }

  /** What was found; and nobody else on the host was touched, nor is anything left there, if nobody else makes something. */
  async findings(alone = true): Promise<string[]> {
    const ended = this.hako("delete", "--force", this.watcher);
    expect([ended.status, ended.stderr]).toEqual([0, ""]);
    const { pid = 0 } = this.#bystander;
    expect(processStatus(pid)).toMatchObject({ name: "sleep", state: "S" });
    expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toBe(readFileSync("/proc/self/cgroup", "utf8"));
    expect(readFileSync(this.#marker, "utf8")).toBe("the host's");
    expect(statusOf(this.#runtime.executable)).toBe(this.#before.status);
    this.#bystander.kill("SIGKILL");
    if (alone) await expectUnchanged(this.#before.host, this.#runtime.root);
    return this.lines;
  }

  /** What was found up to now. */
  get lines(): string[] {
    const lines = readFileSync(this.#found, "utf8").trim().split("\n");
    return lines.map((line) => line.trim());
  }

  [Symbol.dispose](): void {
    this.#bystander.kill("SIGKILL");
    this.#runtime[Symbol.dispose]();
  }
}

function statusOf(file: string): string {
  const { ino, size, mtimeMs, ctimeMs, mode } = statSync(file);
  return JSON.stringify({ ino, size, mtimeMs, ctimeMs, mode, hash: String(Bun.hash(readFileSync(file))) });
}

/** A command has ended by itself, and has said why if it failed. */
function orderly(words: string[], { status, signal, stderr }: Result, milliseconds: number): void {
  const what = words.join(" ");
  expect({ what, signal }).toEqual({ what, signal: null });
  expect(milliseconds).toBeLessThan(LONGEST_MS);
  const lines = stderr.split("\n").filter((line) => line !== "");
  const other = lines.filter(
    (line) => !/^hako: /.test(line) || /internal|\bat .*:\d+|undefined|NaN|\w+Error\b/.test(line),
  );
  expect({ what, other }).toEqual({ what, other: [] });
  if (words[0] === "create" && status !== 0) expect(lines.length).toBeGreaterThan(0);
}

/**
 * What there is to see of a process of the container's, and nothing else; one that exec makes has the lists of its cgroups open, which
 * it joins.
 */
const OWN =
  /^(saw .*|memory \S+ mem|traced .*|descriptor \S+ (\/dev\/null|pipe:.*|socket:.*|anon_inode:.*|\/memfd:.*|\/tmp\/.*|\/sys\/fs\/cgroup\/\S*\/hako-e2e-\d+-\d+-\d+\/(tasks|cgroup.procs)))$/;

function isOwn(line: string, maps: Maps | undefined): boolean {
  return maps === undefined
    ? OWN.test(line)
    : /^saw /.test(line) || /^\w+ (sleep|true|sh|busybox)\b/.test(line);
}

/** Containers are made, started, run and deleted beside the pod's; one in so many programs is executed in that one. */
function makeBeside(pod: Pod, rounds: number): void {
  const sleeping = pod.bundle(["sleep", "600"]);
  const short = pod.bundle(["true"]);
  for (let round = 0; round < rounds; round++) {
    const id = pod.id();
    if (round % 4 === 3) pod.make("run", "--bundle", short, id);
    else if (pod.make("create", "--bundle", sleeping, id).status === 0 && round % 2 === 0)
      pod.make("start", id);
    if (round % 4 === 2) pod.make("exec", pod.watcher, "true");
    const deleted = pod.hako("delete", "--force", id);
    expect([deleted.status, deleted.stderr]).toEqual([0, ""]);
  }
}

const KERNELS = hasPidns ? (["as it is", "before 6.18"] as const) : (["as it is"] as const);

function on(kernel: "as it is" | "before 6.18"): string {
  return kernel === "as it is" ? "" : ", on a kernel before 6.18";
}

for (const setUp of SET_UPS) {
  describe(`a container in a pid namespace that others share, ${setUp.name}`, () => {
    const needs = [needsHako, needsProgram("gcc"), ...setUp.needs];
    const limit = 240_000 * Number(process.env.HAKO_TIME_FACTOR ?? 1);

    for (const kernel of KERNELS) {
      const attacked = (rounds: number) => async () => {
        using pod = new Pod(setUp, "attack", kernel);
        makeBeside(pod, rounds);
        const found = await pod.findings();
        // it was looking
        expect(found.some((line) => line.startsWith("saw "))).toBe(true);
        expect(found.filter((line) => !isOwn(line, setUp.maps))).toEqual([]);
      };
      e2e(`is attacked, and the host is not${on(kernel)}`, attacked(6), needs, limit);
      e2e(`is attacked 200 times, and the host is not${on(kernel)} @all`, attacked(200), needs, 10 * limit);
    }

    // who attacks looks too, but may end what it would see
    if (setUp.maps === undefined || setUp.runtime === ofUser) {
      e2e(
        "who only looks finds nothing of the host",
        async () => {
          using pod = new Pod(setUp, "look", "as it is");
          makeBeside(pod, 4);
          const found = await pod.findings();
          expect(found).toContain(`saw ${STAGE}`);
          expect(found.filter((line) => !isOwn(line, setUp.maps))).toEqual([]);
        },
        needs,
        limit,
      );
    }
  });
}

describe("a container in a pid namespace that others share", () => {
  const limit = 240_000 * Number(process.env.HAKO_TIME_FACTOR ?? 1);
  /** Who begins a procfs is there for so short a time that nobody may see it. */
  const MOST_TRIES = 3;

  let refused = 0;

  const wantedOn = (kernel: (typeof KERNELS)[number]) => `saw ${kernel === "as it is" ? STAGE : OPENER}`;

  const stopped = async (setUp: SetUp, kernel: (typeof KERNELS)[number]): Promise<string[]> => {
    using pod = new Pod(setUp, "halt", kernel);
    const wanted = wantedOn(kernel);
    const bundle = pod.bundle(["sleep", "600"]);
    for (let tries = 0; tries < MOST_TRIES && !pod.lines.includes(wanted); tries++) {
      const id = pod.id();
      const created = await pod.makeLater("create", "--bundle", bundle, id);
      const last = created.status === 0 ? await pod.makeLater("start", id) : created;
      // who is too late has stopped a program that runs
      if (last.status !== 0) {
        expect([last.status, last.stderr]).toEqual([1, expect.stringContaining("does not go on")]);
        refused++;
      }
      expect(pod.hako("delete", "--force", id).status).toBe(0);
    }
    const found = await pod.findings(false);
    expect(found.filter((line) => !isOwn(line, setUp.maps))).toEqual([]);
    return found;
  };

  for (const kernel of KERNELS) {
    e2e(
      `who stops its process for ever does not stop the command${on(kernel)}`,
      async () => {
        const before = hostSnapshot("/run/hako");
        refused = 0;
        const ends = await Promise.allSettled(SET_UPS.map((setUp) => stopped(setUp, kernel)));
        const failed = ends.filter(({ status }) => status === "rejected") as PromiseRejectedResult[];
        for (const { reason } of failed) throw reason;
        // one of them was quick enough at least
        const found = ends.flatMap((end) => (end.status === "fulfilled" ? end.value : []));
        expect(found).toContain(wantedOn(kernel));
        expect(refused).toBeGreaterThan(0);
        await expectUnchanged(before, "/run/hako");
      },
      [needsHako, needsProgram("gcc"), needsUserNamespace, ...NEEDS],
      limit,
    );
  }
});
