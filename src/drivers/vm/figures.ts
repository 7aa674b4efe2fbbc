import type { OomWatch } from "../../cgroup/stats/oom";
import type { MemoryShortage } from "../../cgroup/stats/shortage";
import { O } from "../../linux/call/constants";
import { Fd } from "../../linux/call/fd";
import { syscall, syscallOn } from "../../linux/call/syscall";
import { tryReadText } from "../../linux/file/file";
import { openAt } from "../../linux/file/path";
import { join } from "../../linux/file/path-text";
import type { Watched } from "../../linux/file/poll";
import { tryStatus } from "../../linux/file/stat";
import { readWaiting } from "../../linux/file/stream";
import { monotonicMs } from "../../linux/kernel/clock";
import type { ContainerId } from "../../oci/id";
import type { ProgramEnd } from "../../state/program-end";
import type { Container } from "../../state/record";
import { containerDirectory, FIGURES } from "../../state/root";
import { type Figures, readFigures } from "./channel/figures-text";
import { machineFiles, readMachineRecord } from "./machine-record";

/** inotify(7) */
const IN_MODIFY = 0x2;
/** A guest may tell any number. */
const MOST_KILLS = 1000;
/** SIGRTMAX (signal(7)). */
const LAST_SIGNAL = 64;

/** The file that the container's stand-in writes what the guest tells to: as long as the container is there, whatever has become of its machine. */
export function figuresFile(root: string, id: ContainerId): string {
  return join(containerDirectory(root, id), FIGURES);
}

/** Makes it, for the stand-in. */
export function openFigures(root: string, id: ContainerId): Fd {
  return openAt(undefined, figuresFile(root, id), O.WRONLY | O.CREAT | O.EXCL | O.CLOEXEC, 0o600);
}

export function figuresOf({ root, record }: Container): Figures {
  return readFigures(tryReadText(figuresFile(root, record.id)) ?? "");
}

/**
 * How the program ended, if it died of a signal: its stand-in, the first process of a pid namespace, can't die of one of its own (program-end.ts).
 * The time is when that has written it down.
 */
export function toldEndInMachine({ root, record }: Container): ProgramEnd | undefined {
  const file = figuresFile(root, record.id);
  const status = tryStatus(file, false);
  if (typeof status === "number") return undefined;
  const { signal } = readFigures(tryReadText(file) ?? "");
  if (signal === undefined || signal < 1 || signal > LAST_SIGNAL) return undefined;
  const [seconds, nanoseconds] = status.modified;
  const milliseconds = 1000 * Number(seconds) + nanoseconds / 1e6;
  const clock = monotonicMs() - (Date.now() - milliseconds);
  return { status: 128 + signal, signal, finished: new Date(milliseconds).toISOString(), clock };
}

/** The limit for which a process of the container was killed: its own, or there was no memory left in the machine. */
export function shortageInMachine(container: Container): MemoryShortage | undefined {
  const { spent, memoryLimit } = figuresOf(container);
  if ((spent.memoryKills ?? 0) === 0) return undefined;
  const { root, record } = container;
  const limit = memoryLimit ?? readMachineRecord(machineFiles(root, record.sandbox))?.memory;
  if (limit === undefined) return undefined;
  const of = memoryLimit === undefined ? "machine" : "container";
  return { cgroup: "", file: "memory.max", limit: String(limit), of };
}

/** Tells when the guest's kernel has killed a process of the container for lack of memory. */
export class OomInMachine implements OomWatch {
  readonly #container: Container;
  readonly #changes: Fd;
  #before: number;

  constructor(container: Container) {
    const { root, record } = container;
    this.#container = container;
    this.#changes = new Fd(syscall("inotify_init1", O.CLOEXEC), "inotify");
    const file = figuresFile(root, record.id);
    syscallOn(file, "inotify_add_watch", this.#changes.number, file, IN_MODIFY);
    this.#before = this.#kills;
  }

  get #kills(): number {
    return figuresOf(this.#container).spent.memoryKills ?? 0;
  }

  get watched(): Watched {
    return { fd: this.#changes, for: "read" };
  }

  count(): number {
    readWaiting(this.#changes);
    const now = this.#kills;
    const count = now - this.#before;
    this.#before = Math.max(now, this.#before);
    return Math.min(Math.max(0, count), MOST_KILLS);
  }

  [Symbol.dispose](): void {
    this.#changes.close();
  }
}
