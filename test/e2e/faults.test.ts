// Each system call of create, start, exec, run and delete fails once, and hako is killed right before it once: an error is
// one line that says what failed, and nothing is left behind. HAKO_FAULTS=all tries every call, not a sample.
import { describe, expect } from "bun:test";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Call, EINTR, ENOMEM, Faults, KILL, needsCompiler, sample } from "./faults";
import { expectNothingLeft } from "./left";
import {
  Box,
  busyboxRootfs,
  e2e,
  execute,
  executeLater,
  HAKO,
  needsHako,
  needsProgram,
  type Result,
  until,
} from "./support";

const NEEDS = [
  needsHako,
  needsCompiler,
  needsProgram("ldd"),
  execute("ldd", [HAKO]).stdout.includes("libc.so.6") ? undefined : "hako is not built for glibc",
];
/** Scenes at once; a sample of calls is shared among them. */
const SCENES = 3;
/** None of hako's commands waits for anything here. */
const HANGS = 60_000;
/** For all of a command's faults together. */
const LIMIT = process.env.HAKO_FAULTS === "all" ? 3_600_000 : 1_800_000;

/** A container's bundle, and a hako whose calls can be made to fail. */
class Scene implements Disposable {
  readonly box = new Box();
  readonly faults = new Faults();
  /** What was left behind before, and told. */
  readonly #known = new Set<string>();
  readonly bundle: string;
  /** Of the container or of exec's process. */
  readonly pidFile = this.box.path("pid");

  constructor() {
    const rootfs = join(this.box.dir, "rootfs");
    busyboxRootfs(rootfs);
    // as any but the first container finds it: the calls are the same ones each time
    mkdirSync(this.box.root);
    this.bundle = this.box.bundle(["sleep", "600"], (config) => {
      config.root.path = rootfs;
      config.process.oomScoreAdj = 100;
      config.linux.namespaces.push({ type: "cgroup" });
      Object.assign(config.linux, { seccomp: { defaultAction: "SCMP_ACT_ALLOW" } });
      Object.assign(config.linux.resources, { memory: { limit: 64 << 20 }, pids: { limit: 100 } });
      // the cgroup's name is the container's, so that a scene can have several
      delete config.linux.cgroupsPath;
    });
  }

  faulty(args: readonly string[]): Promise<Result> {
    return executeLater(HAKO, ["--root", this.box.root, ...args], HANGS, this.faults.environment);
  }

  async ok(...args: string[]): Promise<void> {
    this.check(await this.box.later(args));
  }

  check({ status, stderr }: Result): void {
    if (status !== 0 || stderr !== "") throw new Error(`status ${status}: ${stderr}`);
  }

  /** Nothing of the container is on the host. */
  async expectNothingLeft(): Promise<void> {
    await expectNothingLeft([this.box.dir, this.box.names, this.faults.dir], this.box.root, this.#known);
    if (existsSync(this.pidFile)) throw new Error("left behind: the pid file");
  }

  /** Whatever state it is in, other commands can deal with it. */
  async lookAt(id: string): Promise<void> {
    const list = await this.box.later(["list"]);
    // of a create that was killed at once
    const remains = `container "${id}" has no record: hako delete --force ${id} removes what is left of it`;
    this.check({ ...list, stderr: list.stderr.includes(remains) ? "" : list.stderr });
    const { status, stderr } = await this.box.later(["state", id]);
    if (status !== 0 && !stderr.includes("does not exist")) throw new Error(`state: ${stderr}`);
  }

  async remove(id: string): Promise<void> {
    await this.ok("delete", "--force", id);
    rmSync(this.pidFile, { force: true });
    await this.expectNothingLeft();
  }

  [Symbol.dispose](): void {
    this.box[Symbol.dispose]();
    this.faults[Symbol.dispose]();
  }
}

interface Case {
  prepare(scene: Scene, id: string): Promise<void>;
  /** The command whose calls fail. */
  words(scene: Scene, id: string): string[];
  /** After a fault, whatever came of it: what the command must have undone is checked. True if nothing is there to delete. */
  after(scene: Scene, id: string, result: Result, victim?: Call["role"]): Promise<boolean>;
  /** How many calls are tried. */
  errors: number;
  kills: number;
}

const CASES: Record<string, Case> = {
  create: {
    prepare: async () => {},
    words: ({ bundle, pidFile }, id) => ["create", "--bundle", bundle, "--pid-file", pidFile, id],
    after: async (scene, id, { status }) => {
      // one whose process failed after create had ended has stopped, and start says so
      if (status === 0 && scene.box.state(id).status !== "stopped") await scene.ok("start", id);
      if (status === 0 || status === null) return false;
      await scene.expectNothingLeft();
      return true;
    },
    errors: 50,
    kills: 15,
  },
  start: {
    prepare: (scene, id) => scene.ok("create", "--bundle", scene.bundle, id),
    words: (_, id) => ["start", id],
    after: async (scene, id, { status }) => {
      const now = scene.box.state(id).status;
      const allowed = status === 0 ? ["running"] : ["created", "stopped"];
      if (status === null) allowed.push("running");
      if (!allowed.includes(now)) throw new Error(`it is ${now}`);
      if (now === "created") await scene.ok("start", id);
      return false;
    },
    errors: 15,
    kills: 10,
  },
  exec: {
    prepare: (scene, id) => scene.ok("run", "--detach", "--bundle", scene.bundle, id),
    words: ({ pidFile }, id) => ["exec", "--detach", "--pid-file", pidFile, id, "sleep", "600"],
    after: async (scene, id, { status }, victim) => {
      const { box, pidFile } = scene;
      const now = box.state(id).status;
      if (now !== "running") throw new Error(`it is ${now}`);
      if (status === null) return false;
      if (existsSync(pidFile) !== (status === 0)) throw new Error("the pid file tells otherwise");
      const processes = (): number => JSON.parse(box.ok("ps", "--format", "json", id).stdout).length;
      // a process that is killed while it becomes the program is as one killed right after
      const expected = status === 0 && victim !== "child" ? 2 : 1;
      await until("only its own process is left", () => processes() === expected);
      return false;
    },
    errors: 35,
    kills: 15,
  },
  delete: {
    prepare: (scene, id) => scene.ok("run", "--detach", "--bundle", scene.bundle, id),
    words: (_, id) => ["delete", "--force", id],
    after: async (scene, _, { status }) => {
      if (status === 0) await scene.expectNothingLeft();
      // else a second one does the rest
      return status === 0;
    },
    errors: 25,
    kills: 12,
  },
  run: {
    prepare: async () => {},
    words: ({ bundle }, id) => ["run", "--detach", "--bundle", bundle, id],
    after: async (scene, _, { status }) => {
      if (status === 0 || status === null) return false;
      await scene.expectNothingLeft();
      return true;
    },
    errors: 20,
    kills: 12,
  },
};

/** What is wrong with how a command failed; undefined if nothing is. */
function complaint({ status, signal, stderr }: Result): string | undefined {
  if (status === null) return `ended by ${signal}`;
  if (![1, 126, 127, 255].includes(status)) return `status ${status}: ${stderr}`;
  const lines = stderr.trim().split("\n");
  const [line = ""] = lines;
  if (lines.length !== 1) return `${lines.length} lines: ${stderr}`;
  if (!line.startsWith("hako: ")) return `not of hako: ${line}`;
  if (/undefined|\[object|Error:|NaN/.test(line)) return `not for people: ${line}`;
  // a call's name alone doesn't say what failed, unless it is a step of its own
  const bare = /^hako: ([a-z_0-9]+): [^:]*$/.exec(line)?.[1];
  return bare === undefined || STEPS.has(bare) ? undefined : `does not say of what: ${line}`;
}

/** How often a command waits, and so the number of its calls, is not the same each time. */
const NOT_MADE = "the call was not made";
const MAY_MISS = 0.1;

const STEPS = new Set([
  "pivot_root",
  "setsid",
  "sethostname",
  "clone3",
  "unshare",
  "chroot",
  "capset",
  "capget",
]);

function describeCall({ role, index, name, path }: Call): string {
  return `${role} ${index} ${name}${path === "" ? "" : ` ${path}`}`;
}

async function tryFault(kind: Case, scene: Scene, call: Call, errno: number): Promise<string | undefined> {
  const { faults } = scene;
  const id = scene.box.id();
  await kind.prepare(scene, id);
  faults.arm(call, errno);
  const result = await scene.faulty(kind.words(scene, id));
  const { hit } = faults;
  const made = faults.calls().find(({ role, index }) => role === call.role && index === call.index);
  faults.disarm();
  const problems: string[] = [];
  if (!hit) problems.push(NOT_MADE);
  if (errno === EINTR && result.status !== 0) problems.push(`after EINTR: ${result.stderr}`);
  const killed = errno === KILL && call.role === "command";
  const wrong = result.status === 0 || killed ? undefined : complaint(result);
  if (wrong !== undefined) problems.push(wrong);
  try {
    if (!(await kind.after(scene, id, result, errno === KILL ? call.role : undefined))) {
      if (killed) await scene.lookAt(id);
      await scene.remove(id);
    }
  } catch (error) {
    problems.push((error as Error).message);
  }
  const what = describeCall(made ?? call);
  if (process.env.HAKO_FAULTS_VERBOSE !== undefined) {
    console.log(what, result.status, result.stderr.trim(), problems.join("; "));
  }
  return problems.length === 0 ? undefined : `${what}: ${problems.join("; ")}`;
}

/** Calls of a command that were once without an undo, by what makes them that call among those of its trace. */
const ONCE_FORGOTTEN: [string, string, (calls: readonly Call[]) => Call | undefined][] = [
  ["create", "the lock of its directory", (calls) => calls.find(({ name }) => name === "flock")],
  [
    "create",
    "a look at its child",
    (calls) => {
      const command = calls.filter(({ role }) => role === "command");
      const clone = command.findIndex(({ name }) => name === "clone3");
      return command.slice(clone).find(({ name, path }) => name === "openat" && path.endsWith("/stat"));
    },
  ],
  ["start", "the end of its socket", (calls) => calls.find(({ name }) => name === "unlinkat")],
  [
    "delete",
    "reading the record",
    (calls) => calls.find(({ name, path }) => name === "read" && path.endsWith("/state.json")),
  ],
];

async function tryOne(kind: Case, choose: (calls: readonly Call[]) => Call | undefined): Promise<void> {
  using scene = new Scene();
  const call = choose(await trace(kind, scene));
  if (call === undefined) throw new Error("the command makes no such call");
  expect(await tryFault(kind, scene, call, ENOMEM)).toBe(undefined);
}

/** The calls of a command that works. */
async function trace(kind: Case, scene: Scene): Promise<Call[]> {
  const id = scene.box.id();
  await kind.prepare(scene, id);
  scene.faults.disarm();
  const whole = await scene.faulty(kind.words(scene, id));
  expect(whole).toMatchObject({ status: 0, stderr: "" });
  const calls = scene.faults.calls();
  await kind.after(scene, id, whole);
  await scene.remove(id);
  return calls;
}

async function tryAll(kind: Case, errno: number, count: number): Promise<void> {
  const problems: string[] = [];
  let missed = 0;
  let calls: Call[] = [];
  {
    using scene = new Scene();
    calls = sample(await trace(kind, scene), count);
  }
  expect(calls.length).toBeGreaterThanOrEqual(10);
  const next = calls.values();
  const work = async (): Promise<void> => {
    using scene = new Scene();
    for (const call of next) {
      const problem = await tryFault(kind, scene, call, errno);
      if (problem?.endsWith(`: ${NOT_MADE}`)) missed++;
      else if (problem !== undefined) problems.push(problem);
    }
  };
  await Promise.all(Array.from({ length: SCENES }, work));
  if (problems.length > 0) throw new Error(`${problems.length} of ${calls.length}:\n${problems.join("\n")}`);
  expect(missed).toBeLessThanOrEqual(calls.length * MAY_MISS);
}

describe("a system call fails", () => {
  for (const [name, what, choose] of ONCE_FORGOTTEN) {
    const kind = CASES[name];
    if (kind !== undefined) e2e(`in ${name}, ${what}`, () => tryOne(kind, choose), NEEDS, LIMIT);
  }
  for (const [name, kind] of Object.entries(CASES)) {
    e2e(
      `in ${name}: it is undone, and said in one line`,
      () => tryAll(kind, ENOMEM, kind.errors),
      NEEDS,
      LIMIT,
    );
  }
});

describe("hako is killed before a system call", () => {
  for (const [name, kind] of Object.entries(CASES)) {
    e2e(
      `in ${name}: delete --force removes what there is`,
      () => tryAll(kind, KILL, kind.kills),
      NEEDS,
      LIMIT,
    );
  }
});
