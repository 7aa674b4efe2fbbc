import type { CgroupEntry } from "../cgroup";
import { during, HakoError } from "../errors";
import { cloneChild, Reports, type Step, sealedExecutable } from "../linux/clone";
import { Fd, FdList } from "../linux/fd";
import { writeValueTo } from "../linux/file";
import { O, openAt } from "../linux/path";
import { hideProcess, processStatus, reapChild, signalProcess } from "../linux/process";
import { socketPair } from "../linux/socket";
import { address, cString, syscall } from "../linux/syscall";
import { stringVector } from "../linux/vector";
import type { Config } from "../oci/config";
import { NamespacePlan, writeIdMaps } from "./namespaces";
import {
  errorFrom,
  type InitMessage,
  type InitRequest,
  receiveValue,
  type Stage,
  sendValue,
} from "./protocol";

const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;
const AT_EMPTY_PATH = 0x1000;
const CLOSE_RANGE_CLOEXEC = 4;
const F_SETFD = 2;
const O_CLOEXEC = 0o2000000;
/**
 * The whole environment of our own stage inside the container. Without concurrent compilation and collection it has
 * one thread, so a pids limit of 1 does not hurt it.
 */
const STAGE_ENVIRONMENT = ["BUN_JSC_useConcurrentGC=0", "BUN_JSC_useConcurrentJIT=0"];

/** What a container's first process is made from. */
export interface InitOptions
  extends Omit<
    InitRequest,
    | "startSocket"
    | "consoleSocket"
    | "mountNamespace"
    | "newCgroupNamespace"
    | "newNetworkNamespace"
    | "userNamespace"
    | "cgroupFiles"
  > {
  entry: CgroupEntry;
  startSocket: Fd;
  consoleSocket: Fd | undefined;
  warn(message: string): void;
}

/** A container's first process, until its program runs; killed with its owner's end unless it was released. */
export class InitProcess implements Disposable {
  #released = false;

  constructor(
    readonly pid: number,
    readonly startTime: number,
    private readonly socket: Fd,
    private readonly reports: Reports,
    private readonly warn: (message: string) => void,
  ) {}

  /** Lets it go on, and waits until it has come to `stage`; throws what it failed with. */
  advance(stage: Stage): void {
    if (stage !== "mounted") this.#send("continue");
    for (;;) {
      const message = receiveValue(this.socket) as InitMessage | undefined;
      if (message === undefined) throw this.#death();
      if ("warning" in message) this.warn(message.warning);
      else if ("error" in message) throw errorFrom(message.error);
      else if (message.stage === stage) return;
      else throw new HakoError({ code: "system", message: `init is at ${message.stage}, expected ${stage}` });
    }
  }

  /** From now on it waits for start, whatever becomes of this process. */
  release(): void {
    this.#send("continue");
    // its end of the socket closes when it has understood
    receiveValue(this.socket);
    this.#released = true;
    this.socket.close();
    this.reports[Symbol.dispose]();
  }

  begin(request: InitRequest): void {
    this.#send(request);
  }

  #send(value: unknown): void {
    try {
      sendValue(this.socket, value);
    } catch (error) {
      if (error instanceof HakoError && error.errno === "EPIPE") throw this.#death();
      throw error;
    }
  }

  /** Why it has ended without a word. */
  #death(): HakoError {
    const failed = this.reports.failure();
    if (failed !== undefined) return failed;
    const ending = reapChild(this.pid, true);
    const how =
      ending === undefined
        ? "has gone"
        : ending.signal === undefined
          ? `exited with status ${ending.status}`
          : `was killed by signal ${ending.signal}`;
    return new HakoError({
      code: "system",
      message: `the container's first process ${how} before the container was ready`,
      hint: ending?.signal === SIGKILL ? "a memory limit that is too low would do that" : undefined,
    });
  }

  [Symbol.dispose](): void {
    if (this.#released) return;
    this.socket.close();
    this.reports[Symbol.dispose]();
    signalProcess(this.pid, this.startTime, SIGKILL);
    reapChild(this.pid, true);
  }
}

class Pipe implements Disposable {
  readonly read: Fd;
  readonly write: Fd;

  constructor() {
    const pair = new Int32Array(2);
    syscall("pipe2", pair, O_CLOEXEC);
    this.read = new Fd(pair[0] ?? -1);
    this.write = new Fd(pair[1] ?? -1);
  }

  [Symbol.dispose](): void {
    this.read.close();
    this.write.close();
  }
}

interface StepOptions {
  userNamespace: boolean;
  lateFlags: number;
  preserveFds: number;
  executable: Fd;
  /** A pipe whose end we write to when the child's id maps are there; undefined if it needs none. */
  go: Pipe | undefined;
  /** Stay open over execve; the first is the socket to us. */
  keep: readonly Fd[];
}

/** What the child does between clone and execve. */
function childSteps(options: StepOptions): { steps: Step[]; memory: ArrayBufferView[] } {
  const { executable, go, keep } = options;
  const sync = keep[0]?.number ?? -1;
  const args = stringVector(["hako", "init", String(sync)]);
  const environment = stringVector(STAGE_ENVIRONMENT);
  const root = cString("/");
  const empty = cString("");
  const byte = new Uint8Array(1);
  const steps: Step[] = [
    { what: "prctl (parent death signal)", call: "prctl", args: [PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0] },
  ];
  if (go !== undefined) {
    steps.push(
      { what: "close", call: "close", args: [go.write.number] },
      { what: "wait for id maps", call: "read", args: [go.read.number, address(byte), 1], least: 1 },
    );
  }
  if (options.userNamespace) {
    steps.push(
      { what: "setgroups", call: "setgroups", args: [0, 0], optional: true },
      { what: "setresgid 0 in the user namespace", call: "setresgid", args: [0, 0, 0] },
      { what: "setresuid 0 in the user namespace", call: "setresuid", args: [0, 0, 0] },
    );
  }
  if (options.lateFlags !== 0) steps.push({ what: "unshare", call: "unshare", args: [options.lateFlags] });
  // the program's as well: Bun marks everything from 4 on close-on-exec when it starts
  const preserved = Array.from({ length: options.preserveFds }, (_, index) => 3 + index);
  const inherited = [...preserved, ...keep.map((fd) => fd.number)];
  steps.push(
    { what: "chdir /", call: "chdir", args: [address(root)] },
    {
      what: "close_range",
      call: "close_range",
      args: [3 + options.preserveFds, 0xffffffff, CLOSE_RANGE_CLOEXEC],
    },
    ...inherited.map(
      (fd): Step => ({ what: `keep descriptor ${fd}`, call: "fcntl", args: [fd, F_SETFD, 0] }),
    ),
    {
      what: "execveat of hako",
      call: "execveat",
      args: [
        executable.number,
        address(empty),
        address(args.pointers),
        address(environment.pointers),
        AT_EMPTY_PATH,
      ],
    },
  );
  const memory = [
    byte,
    root,
    empty,
    args.pointers,
    ...args.memory,
    environment.pointers,
    ...environment.memory,
  ];
  return { steps, memory };
}

/** Makes the container's first process in its namespaces; it begins to work with `advance("mounted")`. */
export function spawnInit(options: InitOptions): InitProcess {
  using plan = new NamespacePlan(options.config);
  const userNamespace = plan.has("user");
  const newUser = plan.created.has("user");
  using executable = sealedExecutable();
  const [socket, theirs] = socketPair();
  using sync = theirs;
  using go = newUser ? new Pipe() : undefined;
  const { preserveFds, startSocket, consoleSocket } = options;
  using files = new FdList();
  for (const path of options.entry.self) files.add(openAt(undefined, path, O.WRONLY | O.CLOEXEC));
  const { born } = options.entry;
  using cgroup = born === undefined ? undefined : openAt(undefined, born, O.RDONLY | O.DIRECTORY | O.CLOEXEC);
  const keep = [sync, startSocket, consoleSocket, plan.mount, ...files.all].filter((fd) => fd !== undefined);
  const { flags, lateFlags, joinSteps: join } = plan;
  const { steps, memory } = childSteps({ userNamespace, lateFlags, preserveFds, executable, go, keep });
  const reports = new Reports(steps);
  hideProcess();
  let init: InitProcess;
  try {
    const waitsForNothing = go === undefined;
    const pid = cloneChild({ flags, cgroup, join, steps, waitsForNothing, memory }, reports);
    init = new InitProcess(pid, processStatus(pid)?.startTime ?? 0, socket, reports, options.warn);
  } catch (error) {
    socket.close();
    reports[Symbol.dispose]();
    throw error;
  }
  try {
    // closed here, so that the end of init is the end of it
    sync.close();
    if (go !== undefined) {
      writeIdMaps(init.pid, options.config);
      syscall("write", go.write.number, new Uint8Array(1), 1);
    }
    setOutOfMemoryScore(init.pid, options.config);
    init.begin(requestOf(options, plan, files.all));
    return init;
  } catch (error) {
    init[Symbol.dispose]();
    throw error;
  }
}

function requestOf(options: InitOptions, plan: NamespacePlan, files: readonly Fd[]): InitRequest {
  const { warn: _, entry: __, startSocket, consoleSocket, ...plain } = options;
  return {
    ...plain,
    startSocket: startSocket.number,
    consoleSocket: consoleSocket?.number,
    mountNamespace: plan.mount?.number,
    cgroupFiles: files.map((fd) => fd.number),
    newCgroupNamespace: plan.created.has("cgroup"),
    newNetworkNamespace: plan.created.has("network"),
    userNamespace: plan.has("user"),
  };
}

/** From outside: in its user namespace the process has no right to. */
function setOutOfMemoryScore(pid: number, config: Config): void {
  const score = config.process?.oomScoreAdj;
  if (score === undefined) return;
  during(
    `config /process/oomScoreAdj: set to ${score}`,
    () => writeValueTo(`/proc/${pid}/oom_score_adj`, String(score)),
    { hint: "lowering it needs CAP_SYS_RESOURCE" },
  );
}
