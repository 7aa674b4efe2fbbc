import { asHakoError } from "../../base/errors";
import { LivingContainer } from "../../drivers/interface/living";
import { textOf } from "../../linux/call/bytes";
import type { Fd } from "../../linux/call/fd";
import { recvPacket, sendFd } from "../../linux/file/descriptor-passing";
import { changeMode, exists, makeDirectory, removeFile } from "../../linux/file/file";
import { join } from "../../linux/file/path-text";
import { Pipe } from "../../linux/file/pipe";
import { pollAny, waitFor } from "../../linux/file/poll";
import { writeAllWaiting } from "../../linux/file/stream";
import { unixBind, unixConnect } from "../../linux/file/unix-socket";
import type { Config } from "../../oci/config";
import type { EnvironmentLine } from "../../oci/environment";
import type { ContainerId } from "../../oci/id";
import { logDebug, logWarning } from "../../output/log";
import type { Container } from "../../state/record";
import { containerDirectory } from "../../state/root";

/** Where the container finds the socket: the path that runc uses, too. */
const DIRECTORY = "/run/notify";
const SOCKET = "notify.sock";
/** A message is some lines of text (sd_notify(3)). */
const MAX_MESSAGE = 64 * 1024;
/** How many messages are read in a row: about as many as a socket holds (net.unix.max_dgram_qlen). */
const MOST_AT_ONCE = 512;
const LOOK_MS = 100;
const BARRIER_MS = 5000;

function directoryOf(root: string, id: ContainerId): string {
  return join(containerDirectory(root, id), "notify");
}

/**
 * A config whose program can tell the caller's service manager that it is ready (sd_notify(3)). The container gets a socket of its own, in a
 * directory that is made here and mounted read-only. It never gets the manager's socket: the manager would believe all that it says.
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

/** A relay for a container that was made with a notify socket; undefined for other containers. */
export function relayOf(container: Container, manager: string): NotifyRelay | undefined {
  const { root, record } = container;
  return exists(directoryOf(root, record.id)) ? new NotifyRelay(container, manager) : undefined;
}

/** Reads the container's messages from its start on, and passes READY=1 on to the service manager. */
export class NotifyRelay implements Disposable {
  readonly #socket: Fd;
  readonly #path: string;

  /** `manager` is the caller's $NOTIFY_SOCKET: a path, or "@NAME". */
  constructor(
    private readonly container: Container,
    private readonly manager: string,
  ) {
    const { root, record } = container;
    this.#path = join(directoryOf(root, record.id), SOCKET);
    this.#socket = unixBind(this.#path, 0o600, "dgram");
    // any user of the container may write to it, whatever our umask is
    changeMode(this.#path, 0o777);
  }

  /** Waits until the container is ready or has ended. Does not wait where no service manager listens. */
  wait(): void {
    if (!this.#isHeard()) return;
    using living = LivingContainer.open(this.container);
    while (living !== undefined) {
      const watched = [this.#socket, living.pidfd].map((fd) => ({ fd, for: "read" as const }));
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

  /** Polls by a timer until the container is ready, or the returned object is disposed. */
  watch(): Disposable {
    const timer = setInterval(() => {
      if (this.poll()) clearInterval(timer);
    }, LOOK_MS);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  /** Reads messages that have come, and returns whether one said READY=1. Stops after some, so that a container can't keep hako here for ever. */
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

  /** The container's next message; "" for one that is too long: with an error here the container could end hako. */
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

  /** Tells the manager READY=1, with the container's pid: otherwise it would take hako's end for the service's. */
  #pass(): void {
    const pid = this.container.record.init?.pid ?? 0;
    using manager = unixConnect(this.manager, "dgram");
    writeAllWaiting(manager, `READY=1\nMAINPID=${pid}\n`);
    logDebug(`told ${this.manager} that process ${pid} is ready`);
    // the manager looks up the sender when it reads a message: hako must still exist then (sd_notify_barrier(3))
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
