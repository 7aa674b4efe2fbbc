import { HakoError } from "../base/errors";
import { UndoStack } from "../base/undo";
import { createContainer } from "../container/create";
import { deleteContainer } from "../container/delete";
import { startContainer } from "../container/start";
import { homeIn } from "../container/user";
import { driverOf } from "../drivers";
import type { ExecutedProcess } from "../drivers/interface/executed-process";
import { LivingContainer } from "../drivers/interface/living";
import type { AgentAnswer, AgentData } from "../drivers/vm/channel/agent-protocol";
import { O, SIG, W } from "../linux/call/constants";
import { Fd } from "../linux/call/fd";
import { syscall, trySyscall } from "../linux/call/syscall";
import type { Changes } from "../linux/file/epoll";
import { reapChild, signalGroupOf } from "../linux/process/process";
import type { Config, Process, Resources } from "../oci/config";
import { type ContainerId, containerId } from "../oci/id";
import { exactJson, parseJson } from "../oci/json";
import { logWarning } from "../output/log";
import { type ContainerRecord, type ProcessRecord, readContainer } from "../state/record";
import { ContainerFigures } from "./figures";
import { guardFiles } from "./files-guard";
import { mountFiles, mountRootfs, prepareGuest, unmountRootfs, withTreePaths } from "./guest";
import { GuestPorts } from "./guest-ports";
import { GuestProcess, type OfFirst } from "./guest-process";
import { setNetwork } from "./network";
import { openPort } from "./ports";
import { rowsAfter } from "./process-rows";
import { forgetSharedMemory, withContainers } from "./shared-places";
import { type ProgramStreams, withStreams, withTerminal } from "./streams";

/** Where the guest keeps the state of its containers. */
const ROOT = "/run/hako/state";
const END_MS = 10_000;
const P_ALL = 0;
const INFO_PID = 3;
/** What the host sends to end a process of exec, and what that has started. */
const ENDING: ReadonlySet<number> = new Set([SIG.TERM, SIG.KILL]);

/** The containers of a machine, which hako's own code makes in it, as it does on a host. */
export class Containers {
  /** First processes by their containers, and all processes whose streams lead to the host. */
  readonly #first = new Map<string, GuestProcess>();
  readonly #processes = new Set<GuestProcess>();
  readonly #changes: Changes;
  readonly #ports = new Map<string, Disposable>();

  constructor(changes: Changes) {
    this.#changes = changes;
  }

  /** Makes a container that waits for its start. */
  create(data: AgentData<"create">): void {
    prepareGuest(!data.writesRootfs);
    if (data.filesPort !== undefined) {
      mountFiles();
      guardFiles(data.filesPort);
    }
    const id = containerId(data.container);
    const written = data.writesRootfs || data.writesVolumes;
    const given = withContainers(parseJson(data.config, "config.json") as Config, (owner) =>
      this.#pidOf(owner),
    );
    const config = withTreePaths(given, data.tree, written);
    const terminal = config.process?.terminal === true;
    const stops = data.ownInit === true ? new Fd(syscall("eventfd2", 0, O.CLOEXEC | O.NONBLOCK)) : undefined;
    const { result, streams, port } = withPort(data.port, terminal, (socket) => {
      try {
        return made(id, config, data, stops, socket);
      } catch (error) {
        stops?.close();
        throw error;
      }
    });
    const send = (signal: number) => void sendSignal(id, signal, false);
    const figures = new ContainerFigures(this.#changes, { root: ROOT, record: result });
    const process = this.#have(result.init, streams, port, send, { figures, stops });
    this.#first.set(id, process);
  }

  #pidOf(container: string): number {
    const first = this.#first.get(container);
    if (first !== undefined && !first.ended) return first.pid;
    throw new HakoError({ code: "state", message: `container "${container}" has ended` });
  }

  /** Ends what there is of a container, and forgets it: its id may come again. */
  delete(container: string): void {
    const id = containerId(container);
    this.#end(id);
    deleteContainer({ root: ROOT, id, force: true, alone: true });
    unmountRootfs(id);
    forgetSharedMemory(id);
    this.#first.delete(id);
    this.#ports.get(id)?.[Symbol.dispose]();
    this.#ports.delete(id);
  }

  /** A pid namespace ends when all of its processes have been reaped, some of which are this one's children. */
  #end(id: ContainerId): void {
    const first = this.#first.get(id);
    if (first === undefined || first.ended) return;
    sendSignal(id, SIG.KILL, false);
    for (const deadline = performance.now() + END_MS; !first.ended && performance.now() < deadline; ) {
      this.look();
      Bun.sleepSync(1);
    }
  }

  pause(id: string): void {
    const container = readContainer(ROOT, containerId(id));
    driverOf(container.record).pause(container);
  }

  resume(id: string): void {
    const container = readContainer(ROOT, containerId(id));
    driverOf(container.record).resume(container);
  }

  start(container: string): void {
    startContainer({ root: ROOT, id: containerId(container), notifySocket: undefined });
  }

  /** Starts a process beside the first one of a container. */
  exec({ container, process: text, gathers, port: name }: AgentData<"exec">): void {
    const process = parseJson(text, "process") as Process;
    const id = containerId(container);
    const made = withPort(name, process.terminal === true, (socket) =>
      startBeside(id, process, gathers, socket),
    );
    const { result, streams, port } = made;
    const send = (signal: number) => {
      if (ENDING.has(signal)) result.signalAll(signal);
      // it leads a session
      else signalGroupOf(result.pid, signal);
    };
    this.#have(result, streams, port, send);
  }

  /** Gives it what its network namespace has on the host. */
  network({ container: id, ...network }: AgentData<"network">): void {
    const { init } = readContainer(ROOT, containerId(id)).record;
    if (init === undefined) throw new Error("a container without a process");
    setNetwork(`/proc/${init.pid}/ns/net`, network);
  }

  /** Has ports of its loopback lead to the host, and be led to: at which ports these are reached. */
  ports({ container: id, ...ports }: AgentData<"ports">): number[] {
    const { init } = readContainer(ROOT, containerId(id)).record;
    if (init === undefined) throw new Error("a container without a process");
    const guestPorts = new GuestPorts(this.#changes, init.pid);
    this.#ports.get(id)?.[Symbol.dispose]();
    this.#ports.set(id, guestPorts);
    return guestPorts.serve(ports);
  }

  /** What its processes use, as text: numbers of 64 bits stay what they are. */
  stats(id: string): string {
    const container = readContainer(ROOT, containerId(id));
    return exactJson(driverOf(container.record).stats(container));
  }

  /** Its processes by their numbers in it, as many as fit into an answer. */
  processes({ container: id, after }: AgentData<"processes">): AgentAnswer<"processes"> {
    const container = readContainer(ROOT, containerId(id));
    return rowsAfter(driverOf(container.record).processes(container), after);
  }

  /** Changes limits; all of them are as before if one is refused. */
  update({ container: id, resources: text }: AgentData<"update">): void {
    const container = readContainer(ROOT, containerId(id));
    const resources = parseJson(text, "resources") as Resources;
    using undo = new UndoStack((error) => logWarning(error.oneLine));
    driverOf(container.record).update(container, { resources, schemas: {} }, () => undefined, undo);
    undo.commit();
  }

  /** Whether there was a process to send it to. */
  signal(container: string, signal: number, all: boolean): boolean {
    const first = this.#first.get(container);
    return first !== undefined && !first.ended && sendSignal(containerId(container), signal, all);
  }

  #have(
    init: ProcessRecord | undefined,
    streams: ProgramStreams,
    port: Fd,
    send: (signal: number) => void,
    ofFirst?: OfFirst,
  ): GuestProcess {
    const process = new GuestProcess(this.#changes, init, streams, port, send, ofFirst);
    this.#processes.add(process);
    return process;
  }

  /** Whether all processes have ended, whoever has been told. */
  get haveEnded(): boolean {
    return [...this.#processes].every(({ ended }) => ended);
  }

  /** Forgets processes, whose host is not there. */
  abandon(): void {
    for (const process of this.#processes) process[Symbol.dispose]();
    this.#processes.clear();
  }

  /** Reaps what has ended; says whether there is something to be here for. */
  look(): "all have ended" | "some" | "none" {
    for (const process of this.#processes) {
      process.look();
      if (!process.isOver) continue;
      process[Symbol.dispose]();
      this.#processes.delete(process);
    }
    this.#reapOrphans();
    if (this.#processes.size > 0) return "some";
    return this.#first.size > 0 ? "all have ended" : "none";
  }

  /** Processes whose parents have ended are the guest's first process's children. */
  #reapOrphans(): void {
    const info = new Int32Array(32);
    for (;;) {
      info[INFO_PID] = 0;
      const result = trySyscall("waitid", P_ALL, 0, info, W.EXITED | W.NOHANG | W.NOWAIT, null);
      const pid = info[INFO_PID] ?? 0;
      if (result < 0 || pid === 0) return;
      // those of the host's are looked at by themselves
      if ([...this.#processes].some((each) => each.pid === pid)) return;
      reapChild(pid, false);
    }
  }
}

/** Makes a process whose streams lead to a port, which is there before the process is. */
function withPort<T>(name: string, terminal: boolean, make: (consoleSocket: Fd | undefined) => T) {
  const port = openPort(name);
  try {
    return { ...(terminal ? withTerminal(make) : withStreams(() => make(undefined))), port };
  } catch (error) {
    port.close();
    throw error;
  }
}

/** What a signal to one container means to others of its sandbox is for the host to say. */
function sendSignal(id: ContainerId, signal: number, all: boolean): boolean {
  const container = readContainer(ROOT, id);
  return driverOf(container.record).signal(container, signal, all ? "all" : "first");
}

function made(
  id: ContainerId,
  config: Config,
  { bundle: path, filter, ownInit, noNewKeyring, tree, writesRootfs }: AgentData<"create">,
  stops: Fd | undefined,
  consoleSocket: Fd | undefined,
): ContainerRecord {
  const compiled = filter && {
    program: Uint8Array.fromBase64(filter.program),
    flags: filter.flags,
    passedBy: "sendmsg" as const,
  };
  const rootfs = mountRootfs(id, tree, writesRootfs);
  const init = ownInit === false ? undefined : { stops, idle: ownInit === "idle" };
  const bundle = { path, rootfs, config, filter: compiled };
  return createContainer(
    {
      ...{ root: ROOT, id, bundle, consoleSocket, cgroupManager: "cgroupfs", rootless: "auto" },
      ...{ noPivot: false, noNewKeyring, preserveFds: 0, notifySocket: undefined },
      ...{ pidFile: undefined, pidfdSocket: undefined, ownInit: init },
    },
    false,
  ).record;
}

function startBeside(
  id: ContainerId,
  process: Process,
  gathers: boolean,
  consoleSocket: Fd | undefined,
): ExecutedProcess {
  const container = readContainer(ROOT, id);
  using living = LivingContainer.open(container);
  if (living === undefined)
    throw new HakoError({
      code: "state",
      message: `cannot exec in a stopped container "${id}": container not running`,
    });
  const { rootfs } = living;
  const driver = driverOf(container.record);
  driver.check(process);
  using undo = new UndoStack((error) => logWarning(error.oneLine));
  const homeOf = (uid: number) => homeIn(rootfs.path, uid);
  const plan = { process, homeOf, cgroups: [], consoleSocket, preserveFds: 0, gathers, leaves: false };
  const started = driver.exec(living, plan, () => undefined, undo);
  undo.commit();
  return started;
}
