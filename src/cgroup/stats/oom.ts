import { prepared } from "../../base/undo";
import { O } from "../../linux/call/constants";
import { Fd } from "../../linux/call/fd";
import { syscall } from "../../linux/call/syscall";
import { openAt } from "../../linux/file/path";
import type { Watched } from "../../linux/file/poll";
import { readWaiting } from "../../linux/file/stream";
import { Target } from "../controllers/target";
import { readTable, writeValue } from "../hierarchy/files";
import { directoryOf } from "../hierarchy/node";
import type { CgroupRecord } from "../hierarchy/record";

/** Tells when the kernel killed a process of a cgroup for lack of memory. */
export interface OomWatch extends Disposable {
  readonly watched: Watched;
  /** How many kills there were since the last call. To be asked when `watched` is ready. */
  count(): number;
}

/** Watches a container's memory; undefined without a memory controller. */
export function watchOomOf(record: CgroupRecord): OomWatch | undefined {
  const node = new Target(record).find("memory");
  if (node === undefined) return undefined;
  return node.unified ? new OomWatchV2(directoryOf(node)) : new OomWatchV1(directoryOf(node));
}

/** On v1: an eventfd for memory.oom_control (admin-guide/cgroup-v1/memory.rst, "OOM Control"). */
class OomWatchV1 implements OomWatch {
  readonly #event: Fd;
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
    this.#event = prepared(new Fd(syscall("eventfd2", 0, O.CLOEXEC)), ({ number }) => {
      using control = openAt(undefined, `${dir}/memory.oom_control`, O.RDONLY | O.CLOEXEC);
      writeValue(`${dir}/cgroup.event_control`, `${number} ${control.number}`);
    });
  }

  get watched(): Watched {
    return { fd: this.#event, for: "read" };
  }

  count(): number {
    const events = Number(new DataView(readWaiting(this.#event, 8).buffer).getBigUint64(0, true));
    // the eventfd also becomes ready when the cgroup is removed
    return Object.keys(readTable(`${this.#dir}/memory.oom_control`)).length === 0 ? 0 : events;
  }

  [Symbol.dispose](): void {
    this.#event.close();
  }
}

/** On v2: memory.events tells when it changes, and its oom_kill is the count (admin-guide/cgroup-v2.rst). */
class OomWatchV2 implements OomWatch {
  readonly #file: Fd;
  readonly #path: string;
  #before: number;

  constructor(dir: string) {
    this.#path = `${dir}/memory.events`;
    this.#file = openAt(undefined, this.#path, O.RDONLY | O.CLOEXEC);
    this.#before = this.#kills();
  }

  get watched(): Watched {
    return { fd: this.#file, for: "change" };
  }

  count(): number {
    // reading through this descriptor makes it wait for the next change
    syscall("lseek", this.#file.number, 0, 0);
    try {
      readWaiting(this.#file);
    } catch {
      return 0; // the cgroup has been removed
    }
    const now = this.#kills();
    const count = now - this.#before;
    this.#before = Math.max(now, this.#before);
    return Math.max(0, count);
  }

  #kills(): number {
    return readTable(this.#path).oom_kill ?? 0;
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}
