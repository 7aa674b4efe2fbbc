import { HakoError } from "../../base/errors";
import { actAs, currentActor } from "./actor";
import { syscall, trySyscall } from "./syscall";

/** A file descriptor with one owner, who closes it: `using fd = …`. It belongs to the process that acted when it was opened. */
export class Fd {
  #number: number;
  readonly #holder = currentActor();

  /** `name` is what errors call it: the path that it was opened at. */
  constructor(
    number: number,
    readonly name?: string,
  ) {
    // a process that others can get at may say that it has made such a one
    if (number < 0)
      throw new HakoError({ code: "system", message: `${name ?? "file descriptor"}: ${number}` });
    this.#number = number;
  }

  /** The number; using it after `close`, or for another process, is an error of the programmer. */
  get number(): number {
    if (this.#number < 0) throw new Error("file descriptor used after close");
    if (this.#holder !== currentActor()) throw new Error(`file descriptor of another process: ${this.name}`);
    return this.#number;
  }

  /** Its path in procfs, for calls that take only paths. */
  get path(): string {
    return `/proc/self/fd/${this.number}`;
  }

  /** Gives up ownership: the caller now closes the number. */
  release(): number {
    const number = this.number;
    this.#number = -1;
    return number;
  }

  close(): void {
    if (this.#number < 0) return;
    // Linux closes the descriptor whatever close() returns (close(2), "Dealing with error returns").
    const number = this.#number;
    this.#number = -1;
    if (this.#holder === currentActor()) trySyscall("close", number);
    else actAs(this.#holder, () => trySyscall("close", number));
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A descriptor of ours, or the number of one that somebody else owns. */
export type Descriptor = Fd | number;

export function descriptorNumber(fd: Descriptor): number {
  return typeof fd === "number" ? fd : fd.number;
}

/** What errors call a descriptor. */
export function descriptorName(fd: Descriptor): string {
  return (typeof fd === "number" ? undefined : fd.name) ?? `descriptor ${descriptorNumber(fd)}`;
}

/** Several descriptors with one owner. */
export class FdList {
  readonly all: Fd[] = [];

  add(fd: Fd): void {
    this.all.push(fd);
  }

  [Symbol.dispose](): void {
    for (const fd of this.all) fd.close();
  }
}

/** The two lowest free numbers of descriptors of whoever acts; the second is 0 unless `both` are asked for. */
export function freeDescriptors(both: boolean): [number, number] {
  const first = syscall("dup", 0);
  const second = both ? syscall("dup", 0) : 0;
  if (both) trySyscall("close", second);
  trySyscall("close", first);
  return [first, second];
}
