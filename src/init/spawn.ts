import type { CgroupEntry } from "../cgroup";
import { during, HakoError } from "../errors";
import { cloneChild, FAILURE_SIZE, type Step, sealedExecutable, stepError } from "../linux/clone";
import { Fd, FdList } from "../linux/fd";
import { writeValueTo } from "../linux/file";
import { O, openAt } from "../linux/path";
import { hideProcess, processStatus, reapChild, signalProcess } from "../linux/process";
import { socketPair } from "../linux/socket";
import { address, cString, syscall, trySyscall } from "../linux/syscall";
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
    private readonly report: Fd,
    private readonly steps: readonly Step[],
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
    this.report.close();
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
    const words = new Int32Array(2);
    const length = trySyscall("read", this.report.number, words, FAILURE_SIZE);
    if (length === FAILURE_SIZE) return stepError(this.steps, words[0] ?? 0, words[1] ?? 0);
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
    this.report.close();
    signalProcess(this.pid, this.startTime, SIGKILL);
    reapChild(this.pid, true);
  }
}

function pipe(): [Fd, Fd] {
  const pair = new Int32Array(2);
  syscall("pipe2", pair, O_CLOEXEC);
  return [new Fd(pair[0] ?? -1), new Fd(pair[1] ?? -1)];
}

/** What the child does between clone and execve; `keep` stay open over it. */
function childSteps(
  options: { userNamespace: boolean; lateFlags: number; preserveFds: number },
  executable: Fd,
  go: readonly [Fd, Fd],
  keep: readonly Fd[],
): { steps: Step[]; memory: ArrayBufferView[] } {
  const sync = keep[0]?.number ?? -1;
  const args = stringVector(["hako", "init", String(sync)]);
  const environment = stringVector(STAGE_ENVIRONMENT);
  const root = cString("/");
  const empty = cString("");
  const byte = new Uint8Array(1);
  const steps: Step[] = [
    { what: "prctl (parent death signal)", call: "prctl", args: [PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0] },
    { what: "close", call: "close", args: [go[1].number] },
    { what: "wait for id maps", call: "read", args: [go[0].number, address(byte), 1], least: 1 },
  ];
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
  const [report, reportEnd] = pipe();
  using reportWriter = reportEnd;
  const go = pipe();
  using goRead = go[0];
  using goWrite = go[1];
  const { preserveFds, startSocket, consoleSocket } = options;
  using files = new FdList();
  for (const path of options.entry.self) files.add(openAt(undefined, path, O.WRONLY | O.CLOEXEC));
  const { born } = options.entry;
  using cgroup = born === undefined ? undefined : openAt(undefined, born, O.RDONLY | O.DIRECTORY | O.CLOEXEC);
  const keep = [sync, startSocket, consoleSocket, plan.mount, ...files.all].filter((fd) => fd !== undefined);
  const { steps, memory } = childSteps(
    { userNamespace, lateFlags: plan.lateFlags, preserveFds },
    executable,
    [goRead, goWrite],
    keep,
  );
  hideProcess();
  let init: InitProcess;
  try {
    const { flags, joinSteps: join } = plan;
    const pid = cloneChild({ flags, cgroup, join, steps, report: reportWriter, memory });
    init = new InitProcess(pid, processStatus(pid)?.startTime ?? 0, socket, report, steps, options.warn);
  } catch (error) {
    socket.close();
    report.close();
    throw error;
  }
  try {
    // closed here, so that the end of init is the end of these
    sync.close();
    reportWriter.close();
    if (newUser) writeIdMaps(init.pid, options.config);
    setOutOfMemoryScore(init.pid, options.config);
    syscall("write", goWrite.number, new Uint8Array(1), 1);
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
