import { errnoText } from "../../base/errno";
import { type Actor, actAs, actHere } from "../call/actor";
import { AT, CLONE, O } from "../call/constants";
import { endProcess } from "../call/end-process";
import { Fd } from "../call/fd";
import type { Step, SyscallArgument, Walk } from "../call/step";
import { syscall, syscallOn, systemError, trySyscallHere } from "../call/syscall";
import type { SyscallName } from "../call/syscall-numbers";
import { walkHere } from "../call/walk";
import { NAMESPACE_FILES, NAMESPACE_FLAGS, type NamespaceType } from "../process/namespace";

const MOST_TRIES = 3;
/** What a thread can join and leave whatever other threads there are (setns(2)). */
const JOINABLE: readonly NamespaceType[] = ["network", "ipc", "uts", "mount"];

/**
 * Acts as a process that was made for a container, by joining its namespaces with this thread: no message goes between the two
 * for each system call. Only where no user namespace lies between them. What the pid namespace decides is left to the process: a
 * procfs shows the pid namespace of the process that makes it.
 */
export class JoinedThread implements Actor, Disposable {
  readonly #flags: number;
  #home: Home | undefined;

  /**
   * `process` is a descriptor of the process (pidfd_open(2)), `remote` has it make calls, `types` are its namespaces that are
   * not hako's. `copy` has the process send a descriptor, by its number there, and returns the number here: where pidfd_getfd(2) is
   * refused, as by old kernels, a seccomp filter, or kernel.yama.ptrace_scope 3.
   */
  constructor(
    private readonly process: Fd,
    private readonly remote: Actor,
    types: ReadonlySet<NamespaceType>,
    private readonly copy: (number: number) => number,
  ) {
    this.#flags = JOINABLE.reduce(
      (flags, type) => (types.has(type) ? flags | NAMESPACE_FLAGS[type] : flags),
      0,
    );
  }

  call(name: SyscallName, args: readonly SyscallArgument[]): number {
    return name === "fsopen" && args[0] === "proc" ? this.#procfs(args) : trySyscallHere(name, ...args);
  }

  walk(steps: readonly Step[]): Walk {
    return walkHere(steps);
  }

  clone(): number {
    throw new Error("children of a container are its process's own");
  }

  /**
   * Does something in the process's namespaces, with the root directory of its mount namespace, and comes back. The action must
   * be synchronous. If the way back fails hako ends: what it did from then on would happen in the wrong place.
   */
  act<T>(action: () => T): T {
    return actHere(() => this.#joined(() => actAs(this, action)));
  }

  /** Makes a descriptor of hako's one of this actor's. */
  take(fd: Fd): Fd {
    const { name } = fd;
    const number = fd.release();
    return actAs(this, () => new Fd(number, name));
  }

  /** A copy of a descriptor of the process's. */
  fetch(number: number): Fd {
    const ours = this.#fetched(number);
    return actAs(this, () => new Fd(ours));
  }

  #fetched(number: number): number {
    const ours = trySyscallHere(
      "pidfd_getfd",
      actHere(() => this.process.number),
      number,
      0,
    );
    return ours < 0 ? this.copy(number) : ours;
  }

  /**
   * Joins, acts, and goes home. The kernel lets no thread join a mount namespace that shares root and working directory with
   * other threads, so this one gets its own first (CLONE_FS); threads that Bun makes later share them again.
   */
  #joined<T>(action: () => T): T {
    this.#home ??= openHome(this.#flags);
    const { namespaces, root, cwd } = this.#home;
    syscall("unshare", CLONE.FS);
    this.#join();
    try {
      return action();
    } finally {
      goHome("unshare", CLONE.FS);
      for (const namespace of namespaces) goHome("setns", namespace.number, 0);
      // joining a mount namespace changes both
      goHome("fchdir", root.number);
      goHome("chroot", ".");
      goHome("fchdir", cwd.number);
    }
  }

  /** It joins nothing any more. */
  [Symbol.dispose](): void {
    if (this.#home === undefined) return;
    const { namespaces, root, cwd } = this.#home;
    for (const fd of [...namespaces, root, cwd]) fd.close();
    this.#home = undefined;
  }

  #join(): void {
    const result = trySyscallHere("setns", this.process.number, this.#flags);
    if (result >= 0) return;
    // one that has ended says why
    this.remote.call("getpid", []);
    throw systemError("setns", -result, "namespaces of the container's process");
  }

  /** The process opens it, and its descriptor is fetched. */
  #procfs(args: readonly SyscallArgument[]): number {
    const theirs = this.remote.call("fsopen", args);
    if (theirs < 0) return theirs;
    try {
      return this.#fetched(theirs);
    } finally {
      this.remote.call("close", [theirs]);
    }
  }
}

/** Where this thread is at home. */
interface Home {
  namespaces: readonly Fd[];
  root: Fd;
  cwd: Fd;
}

function openHome(flags: number): Home {
  const types = JOINABLE.filter((type) => (flags & NAMESPACE_FLAGS[type]) !== 0);
  return { namespaces: types.map(openOwn), root: openHere("/"), cwd: openHere(".") };
}

function openHere(path: string): Fd {
  return new Fd(syscallOn(path, "openat", AT.FDCWD, path, O.PATH | O.CLOEXEC, 0), path);
}

function openOwn(type: NamespaceType): Fd {
  const path = `/proc/thread-self/ns/${NAMESPACE_FILES[type]}`;
  return new Fd(syscallOn(path, "openat", AT.FDCWD, path, O.CLOEXEC, 0), path);
}

/** A step of the way home, which is tried again where the kernel lacks memory for a moment. */
function goHome(call: SyscallName, ...args: SyscallArgument[]): void {
  for (let tries = 1; ; tries++) {
    const result = trySyscallHere(call, ...args);
    if (result >= 0) return;
    if (tries < MOST_TRIES) continue;
    endProcess(`cannot leave the container's namespaces: ${call}: ${errnoText(-result)}`);
  }
}
