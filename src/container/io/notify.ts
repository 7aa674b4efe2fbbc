import { asHakoError } from "../../base/errors";
import { textOf } from "../../linux/call/bytes";
import type { Fd } from "../../linux/call/fd";
import { recvPacket, sendFd } from "../../linux/file/descriptor-passing";
import { changeMode, exists, makeDirectory, removeFile } from "../../linux/file/file";
import { join } from "../../linux/file/path-text";
import { Pipe } from "../../linux/file/pipe";
import { pollAny, waitFor } from "../../linux/file/poll";
import { writeAllWaiting } from "../../linux/file/stream";
import { unixBind, unixConnect } from "../../linux/file/unix-socket";
import { openProcess } from "../../linux/process/process";
import type { Config } from "../../oci/config";
import type { EnvironmentLine } from "../../oci/environment";
import type { ContainerId } from "../../oci/id";
import { logDebug, logWarning } from "../../output/log";
import type { Container } from "../../state/record";
import { containerDirectory } from "../../state/root";

/** Where the container finds the socket; runc's place. */
const DIRECTORY = "/run/notify";
const SOCKET = "notify.sock";
/** A message is some lines of text (sd_notify(3)). */
const MAX_MESSAGE = 64 * 1024;
/** Messages; a socket holds about as many (net.unix.max_dgram_qlen). */
const MOST_AT_ONCE = 512;
const LOOK_MS = 100;
const BARRIER_MS = 5000;

function directoryOf(root: string, id: ContainerId): string {
  return join(containerDirectory(root, id), "notify");
}

/**
 * A config whose program can tell the caller's service manager that it is ready (sd_notify(3)): by a socket of the
 * container's own, whose directory, made here, is mounted read-only in it. Never the manager's: it believes what it is told.
 */
export function withNotifySocket(root: string, id: ContainerId, config: Config): Config {
  const directory = directoryOf(root, id);
  makeDirectory(directory, 0o755);
  const mount = {
    destination: DIRECTORY,
    type: "bind",
    source: directory,
    options: ["bind", "nosuid", "noexec", "nodev", "ro"],
  };
  const line: EnvironmentLine = `NOTIFY_SOCKET=${DIRECTORY}/${SOCKET}`;
  const process = config.process && { ...config.process, env: [...(config.process.env ?? []), line] };
  return { ...config, process, mounts: [...(config.mounts ?? []), mount] };
}

/** Listens for a container that was made with a socket of its own; undefined for others. */
export function relayOf(container: Container, manager: string): NotifyRelay | undefined {
  const { root, record } = container;
  return exists(directoryOf(root, record.id)) ? new NotifyRelay(container, manager) : undefined;
}

/** Takes the container's messages from its start on, and passes the one that counts to the service manager. */
export class NotifyRelay implements Disposable {
  readonly #socket: Fd;
  readonly #path: string;
  readonly #pid: number;
  readonly #startTime: number;

  /** `manager` is the caller's $NOTIFY_SOCKET: a path, or "@NAME". */
  constructor(
    { root, record: { id, init } }: Container,
    private readonly manager: string,
  ) {
    this.#path = join(directoryOf(root, id), SOCKET);
    this.#pid = init?.pid ?? 0;
    this.#startTime = init?.startTime ?? 0;
    this.#socket = unixBind(this.#path, 0o600, "dgram");
    // any user of the container may write to it, whatever our umask is
    changeMode(this.#path, 0o777);
  }

  /** Waits until the container is ready, or has ended; not where nobody is there to be told. */
  wait(): void {
    if (!this.#isHeard()) return;
    using init = openProcess(this.#pid, this.#startTime);
    while (init !== undefined) {
      const watched = [this.#socket, init].map((fd) => ({ fd, for: "read" as const }));
      const [, ended] = pollAny(watched, 10 * LOOK_MS);
      if (this.poll() || ended) return;
    }
  }

  /** Whether a service manager listens: NOTIFY_SOCKET may name one that has gone. */
  #isHeard(): boolean {
    try {
      unixConnect(this.manager, "dgram").close();
      return true;
    } catch (error) {
      logWarning(`NOTIFY_SOCKET ${this.manager}: ${asHakoError(error).oneLine}`);
      return false;
    }
  }

  /** Looks now and then without waiting, until the container is ready, or what is returned is disposed. */
  watch(): Disposable {
    const timer = setInterval(() => {
      if (this.poll()) clearInterval(timer);
    }, LOOK_MS);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  /** Reads messages that have come, at most some: a container that writes without end must not keep us here. Whether it is ready. */
  poll(): boolean {
    for (let taken = 0; taken < MOST_AT_ONCE && waitFor(this.#socket, "read", 0); taken++) {
      if (!this.#receive().split("\n").includes("READY=1")) continue;
      try {
        this.#pass();
      } catch (error) {
        logWarning(`NOTIFY_SOCKET ${this.manager}: ${asHakoError(error).oneLine}`);
      }
      return true;
    }
    return false;
  }

  /** The container's next message. One that is too long is empty: an error here would let the container end hako. */
  #receive(): string {
    try {
      const { data, fds } = recvPacket(this.#socket, MAX_MESSAGE);
      for (const fd of fds) fd.close();
      return textOf(data);
    } catch (error) {
      logWarning(`a message of the container to NOTIFY_SOCKET: ${asHakoError(error).oneLine}`);
      return "";
    }
  }

  /** The manager is told whose readiness it is: our own end would be taken for the service's. */
  #pass(): void {
    using manager = unixConnect(this.manager, "dgram");
    writeAllWaiting(manager, `READY=1\nMAINPID=${this.#pid}\n`);
    logDebug(`told ${this.manager} that process ${this.#pid} is ready`);
    // it looks up who sent a message when it reads it: we must still be there (sd_notify_barrier(3))
    using barrier = new Pipe("barrier");
    sendFd(manager, barrier.write, "BARRIER=1");
    barrier.write.close();
    waitFor(barrier.read, "read", BARRIER_MS);
  }

  [Symbol.dispose](): void {
    this.#socket.close();
    removeFile(this.#path);
  }
}
