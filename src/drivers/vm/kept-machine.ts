import * as v from "valibot";
import { asHakoError, HakoError } from "../../base/errors";
import { textOf } from "../../linux/call/bytes";
import { O, SIG } from "../../linux/call/constants";
import type { Fd } from "../../linux/call/fd";
import { syscallOn } from "../../linux/call/syscall";
import { hasErrno, readAtMost } from "../../linux/file/file";
import { openAt } from "../../linux/file/path";
import { waitFor } from "../../linux/file/poll";
import { fileStatusOf } from "../../linux/file/stat";
import { unixConnectWithin, unixListen } from "../../linux/file/unix-socket";
import { openProcess, reapChild, signalOpened, startTimeOf } from "../../linux/process/process";
import { logDebug } from "../../output/log";
import type { ProcessRecord } from "../../state/record";
import { AgentClient } from "./channel/agent-client";
import { type AgentAnswer, type AgentCall, type AgentData, streamPort } from "./channel/agent-protocol";
import { lastLine, tellingLine } from "./machine";
import { lockMachine, type MachineFiles } from "./machine-record";
import type { NetworkCard } from "./network/taken-network";
import type { FoundQemu } from "./qemu/find-qemu";
import { freePort, plugMemory } from "./qemu/plug";
import { plugProcessors, processorThreads } from "./qemu/processors";
import { CONSOLE_BUFFER, type MachinePlan, streamDevice } from "./qemu/qemu-arguments";
import { startQemuProgram } from "./qemu/qemu-program";
import { Qmp } from "./qemu/qmp";
import { loadState } from "./qemu/saved-state";

/** For how many processes a machine can have ports. */
const MOST_STREAMS = 29;
/** What of QEMU's answer to query-chardev is looked at (qapi/char.json). */
const characterDevices = v.array(
  v.object({ label: v.string(), filename: v.string(), "frontend-open": v.boolean() }),
);

/** How long QEMU may take for an answer of its own. */
const MONITOR_MS = 10_000;
const END_MS = 10_000;
/** How long the agent may take for what a command has asked that was killed. */
const LAST_MS = 60_000;
/** How much of what QEMU has written is looked at. */
const MOST_WORDS = 4096;

/** Starts QEMU as a process that goes on when this one has ended, and listens at two sockets of the machine's directory. */
export function startQemu(
  files: MachineFiles,
  qemu: FoundQemu,
  plan: Omit<MachinePlan, "controlFd" | "qmpFd" | "listens">,
): ProcessRecord {
  using control = unixListen(files.control);
  using monitor = unixListen(files.monitor);
  using output = openAt(undefined, files.words, O.WRONLY | O.CREAT | O.EXCL | O.APPEND, 0o600);
  const sockets = { controlFd: control.number, qmpFd: monitor.number };
  const pid = startQemuProgram(
    qemu,
    { ...plan, ...sockets, listens: true },
    { output, descriptors: [control, monitor], endsWithMaker: false },
  );
  return { pid, startTime: startTimeOf(pid) };
}

/** A machine that other commands find again. One command at a time speaks to it. */
export class KeptMachine implements Disposable {
  readonly #files: MachineFiles;
  readonly #lock: Fd;
  #monitor: Qmp | undefined;
  #agent: AgentClient | undefined;

  /** Locks it, unless `lock` is its lock already. */
  constructor(files: MachineFiles, lock = lockMachine(files)) {
    if (lock === undefined)
      throw new HakoError({ code: "state", message: "the container's machine is gone" });
    this.#files = files;
    this.#lock = lock;
  }

  /** Asks the guest's agent. Until it has answered, the lock's file has a byte: whoever speaks to the machine next knows then that it may be at work. */
  ask<Call extends AgentCall>(call: Call, data: AgentData<Call>, milliseconds: number): AgentAnswer<Call> {
    this.#agent ??= new AgentClient(connect(this.#files.control, milliseconds), undefined, firstRequest());
    syscallOn(this.#files.lock, "pwrite64", this.#lock.number, Uint8Array.of(1), 1, 0);
    const answer = this.#agent.ask(call, data, performance.now() + milliseconds);
    syscallOn(this.#files.lock, "ftruncate", this.#lock.number, 0);
    return answer;
  }

  /** Asks the agent for its first answer; an end of the guest before that is told with its last words. */
  awaitAgent<Call extends AgentCall>(
    call: Call,
    data: AgentData<Call>,
    milliseconds: number,
  ): AgentAnswer<Call> {
    const monitor = this.#qmp(milliseconds);
    const look = () => {
      monitor.readEvents();
      const status = monitor.status(performance.now() + MONITOR_MS);
      if (status === "running" || status === "prelaunch") return;
      throw new HakoError({ code: "system", message: `the guest has ended (${status})` });
    };
    const beside = { fd: monitor.lines.fd, look };
    this.#agent = new AgentClient(connect(this.#files.control, milliseconds), beside, firstRequest());
    try {
      return this.#agent.ask(call, data, performance.now() + milliseconds);
    } catch (thrown) {
      const error = asHakoError(thrown);
      const words = this.lastWords();
      throw words === undefined ? error : error.with({ message: `${error.message}: ${words}` });
    }
  }

  /** Has the machine go on from a state that was saved. */
  restore(state: Fd, milliseconds: number): void {
    loadState(this.#qmp(milliseconds), state, performance.now() + milliseconds);
  }

  /** From now on QEMU ends with the guest. */
  endWithGuest(): void {
    this.#command("set-action", { shutdown: "poweroff" });
  }

  /** Connects a port that no process has with a socket; its number. */
  connectStream(socket: Fd): number {
    // a command that was killed may have asked for a process whose port the guest has not opened yet
    if (fileStatusOf(this.#lock).size > 0) this.ask("hello", {}, LAST_MS);
    const number = this.#freeStream();
    const name = streamDevice(number);
    this.#command("chardev-change", { id: name, backend: this.#backend(name, socket) });
    return number;
  }

  /** Gives QEMU a connected socket; what a character device is told to be at it (qapi/char.json). */
  #backend(name: string, socket: Fd): object {
    this.#qmp().give(name, socket, performance.now() + MONITOR_MS);
    const addr = { type: "fd", data: { str: name } };
    return { type: "socket", data: { addr, server: false } };
  }

  /** Plugs a file system with a tag, which virtiofsd serves at this socket. The machine's memory has to be shared. */
  plugFiles(tag: string, socket: Fd): void {
    this.#command("chardev-add", { id: tag, backend: this.#backend(tag, socket) });
    this.plugDevice({ driver: "vhost-user-fs-pci", id: `${tag}.device`, chardev: tag, tag });
  }

  /** A stream whose port neither the guest has open nor a stand-in, or a new one. */
  #freeStream(): number {
    const devices = v.safeParse(characterDevices, this.#command("query-chardev", {}));
    if (!devices.success) throw this.#qmp().lines.broken("no list of devices");
    for (let number = 0; number < MOST_STREAMS; number++) {
      const device = devices.output.find(({ label }) => label === streamDevice(number));
      if (device === undefined) {
        this.#addStream(number);
        return number;
      }
      if (/^(null$|disconnected:)/.test(device.filename) && !device["frontend-open"]) return number;
    }
    throw new HakoError({
      code: "state",
      message: `the machine has no port left: ${MOST_STREAMS} processes have their streams on the host`,
    });
  }

  /**
   * Plugs a device (device_add of qapi/qdev.json, without its bus) and comes back when QEMU has it, which is some 0.1 s before the guest. It
   * is known by its `id`.
   */
  plugDevice(device: { driver: string; id: string } & Record<string, unknown>): void {
    const bus = freePort(this.#qmp(), performance.now() + MONITOR_MS);
    this.#command("device_add", { ...device, bus });
  }

  /** Adds so many bytes of memory, or some more; how many there are added. The guest begins to use it soon after. */
  plugMemory(bytes: number): number {
    return plugMemory(this.#qmp(), bytes, performance.now() + MONITOR_MS);
  }

  /** Plugs a network card whose frames come from a tap, and go there. */
  plugCard({ mac, fd }: NetworkCard): void {
    const name = `card-${mac}`;
    this.#qmp().give(name, fd, performance.now() + MONITOR_MS);
    this.#command("netdev_add", { type: "tap", id: name, fd: name });
    const address = (mac.match(/../g) ?? []).join(":");
    const device = { driver: "virtio-net-pci", id: `${name}-device`, netdev: name, mac: address };
    // without what starts a machine from the network, which needs a file
    this.plugDevice({ ...device, romfile: "" });
  }

  #addStream(number: number): void {
    const id = streamDevice(number);
    this.#command("chardev-add", { id, backend: { type: "null", data: {} } });
    this.#command("device_add", { driver: "virtserialport", chardev: id, name: streamPort(number) });
  }

  /** Plugs processors; the guest's agent has to use them. */
  plugProcessors(count: number): void {
    plugProcessors(this.#qmp(), count, performance.now() + MONITOR_MS);
  }

  /** The threads that run the guest's instructions, as QEMU calls them. */
  processorThreads(): number[] {
    return processorThreads(this.#qmp(), performance.now() + MONITOR_MS);
  }

  /** What QEMU or the guest's console said last; undefined if nothing is known. */
  lastWords(): string | undefined {
    try {
      const { id, size } = CONSOLE_BUFFER;
      const text = this.#qmp().ringBuffer(id, size, performance.now() + MONITOR_MS);
      logDebug(`console of the guest: ${text}`);
      return tellingLine(text);
    } catch {
      return lastLine(endOfFile(this.#files.words, MOST_WORDS));
    }
  }

  #command(name: string, values: Record<string, unknown>): unknown {
    return this.#qmp().command(name, values, performance.now() + MONITOR_MS);
  }

  #qmp(milliseconds = MONITOR_MS): Qmp {
    if (this.#monitor === undefined) {
      this.#monitor = new Qmp(connect(this.#files.monitor, milliseconds));
      this.#monitor.begin(performance.now() + milliseconds);
    }
    return this.#monitor;
  }

  /** Whoever speaks to it next speaks to the QEMU that is there then. */
  hangUp(): void {
    this.#agent?.[Symbol.dispose]();
    this.#monitor?.[Symbol.dispose]();
    this.#agent = undefined;
    this.#monitor = undefined;
  }

  [Symbol.dispose](): void {
    this.hangUp();
    this.#lock.close();
  }
}

/** A QEMU that a guest has taken over may take no connection. */
function connect(path: string, milliseconds: number): Fd {
  try {
    return unixConnectWithin(path, Math.min(milliseconds, MONITOR_MS));
  } catch (error) {
    if (!hasErrno(error, "EAGAIN")) throw error;
    throw new HakoError({ code: "system", message: "QEMU takes no connection in time" });
  }
}

/** What a file ends with: QEMU may have written any amount. */
function endOfFile(path: string, most: number): string {
  using file = openAt(undefined, path, O.RDONLY);
  const { size } = fileStatusOf(file);
  syscallOn(path, "lseek", file.number, Math.max(0, size - most), 0);
  return textOf(readAtMost(file, most));
}

/** Rises with time: a command speaks to a machine for longer than a microsecond. */
function firstRequest(): number {
  return 1000 * Date.now();
}

/** Ends QEMU, or another program of a machine's, and waits until it is gone. */
export function endProgram(name: string, { pid, startTime }: ProcessRecord): void {
  // its main thread may have ended, and others keep memory and cgroups
  using process = openProcess(pid, startTime, true);
  if (process === undefined) return;
  signalOpened(process, SIG.KILL);
  if (!waitFor(process, "read", END_MS))
    throw new HakoError({ code: "state", message: `${name}, process ${pid}, does not die` });
  // it may be this command's child
  reapChild(pid, false);
}
