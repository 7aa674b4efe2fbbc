import { HakoError } from "../base/errors";
import { createContainer } from "../container/create";
import { killContainer } from "../container/kill";
import { startContainer } from "../container/start";
import type { AgentData } from "../drivers/vm/channel/agent-protocol";
import { TO_GUEST } from "../drivers/vm/channel/stream-frames";
import { SIG, W } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { trySyscall } from "../linux/call/syscall";
import type { Changes } from "../linux/file/epoll";
import { openChild, reapChild } from "../linux/process/process";
import type { Config } from "../oci/config";
import { containerId } from "../oci/id";
import { parseJson } from "../oci/json";
import { logWarning } from "../output/log";
import { mountRootfs, prepareGuest, withTreePaths } from "./guest";
import { openPort } from "./ports";
import { StreamRelay } from "./stream-relay";
import { withStreams } from "./streams";

/** Where the guest keeps the state of its containers. */
const ROOT = "/run/hako/state";
const P_ALL = 0;
const INFO_PID = 3;

interface GuestContainer {
  pid: number;
  process: Fd;
  relay: StreamRelay;
  ended: boolean;
}

/** The containers of a machine, which hako's own code makes in it, as it does on a host. */
export class Containers {
  readonly #all = new Map<string, GuestContainer>();
  readonly #changes: Changes;

  constructor(changes: Changes) {
    this.#changes = changes;
  }

  /** Makes a container that waits for its start. */
  create({ container, config: text, filter, ownInit, noNewKeyring, port }: AgentData<"create">): void {
    prepareGuest();
    const id = containerId(container);
    const config = withTreePaths(parseJson(text, "config.json") as Config);
    const compiled = filter && {
      program: Uint8Array.fromBase64(filter.program),
      flags: filter.flags,
      passedBy: "sendmsg" as const,
    };
    const rootfs = mountRootfs(id);
    const bundle = { path: rootfs, rootfs, config, filter: compiled };
    const made = withStreams(() =>
      createContainer(
        {
          ...{
            root: ROOT,
            id,
            bundle,
            consoleSocket: undefined,
            cgroupManager: "cgroupfs",
            rootless: "auto",
          },
          ...{ noPivot: false, noNewKeyring, preserveFds: 0, notifySocket: undefined },
          ...{
            pidFile: undefined,
            pidfdSocket: undefined,
            ownInit: ownInit ? { stops: undefined } : undefined,
          },
        },
        false,
      ),
    );
    const { init } = made.result.record;
    const process = init === undefined ? undefined : openChild(init.pid);
    if (init === undefined || process === undefined)
      throw new HakoError({ code: "system", message: `container "${id}": its first process has ended` });
    const relay = new StreamRelay(openPort(port), made.streams, {
      tell: (type, number) => {
        if (type === TO_GUEST.signal) this.#trySignal(id, number);
      },
      hangUp: () => this.#trySignal(id, SIG.KILL),
    });
    const entry = { pid: init.pid, process, relay, ended: false };
    this.#all.set(id, entry);
    for (const fd of relay.descriptors) this.#changes.watch(fd, () => relay.pump());
    this.#changes.watch(process, () => this.#lookAt(entry));
    relay.pump();
  }

  start(container: string): void {
    startContainer({ root: ROOT, id: containerId(container), notifySocket: undefined });
  }

  /** Whether there was a process to send it to. */
  signal(container: string, signal: number, all: boolean): boolean {
    const entry = this.#all.get(container);
    if (entry === undefined || entry.ended) return false;
    killContainer({ root: ROOT, id: containerId(container), signal, all });
    return true;
  }

  /** Of somebody who can't be told. */
  #trySignal(container: string, signal: number): void {
    try {
      this.signal(container, signal, false);
    } catch (error) {
      logWarning((error as Error).message);
    }
  }

  /** Reaps orphans; says whether there is nothing left to be here for. */
  look(): "all have ended" | "some are there" {
    for (const entry of this.#all.values()) this.#lookAt(entry);
    this.#reapOrphans();
    const over = [...this.#all.values()].every(({ ended, relay }) => ended && relay.isOver);
    return over && this.#all.size > 0 ? "all have ended" : "some are there";
  }

  #lookAt(entry: GuestContainer): void {
    if (entry.ended) return;
    const ending = reapChild(entry.pid, false);
    if (ending === undefined) return;
    entry.ended = true;
    this.#changes.forget(entry.process);
    entry.process.close();
    entry.relay.end(ending.status);
  }

  /** Processes whose parents have ended are the guest's first process's children. */
  #reapOrphans(): void {
    const info = new Int32Array(32);
    for (;;) {
      info[INFO_PID] = 0;
      const result = trySyscall("waitid", P_ALL, 0, info, W.EXITED | W.NOHANG | W.NOWAIT, null);
      const pid = info[INFO_PID] ?? 0;
      if (result < 0 || pid === 0) return;
      // those of containers are looked at by themselves
      if ([...this.#all.values()].some((each) => each.pid === pid)) return;
      reapChild(pid, false);
    }
  }
}
