import { HakoError } from "../base/errors";
import type { Fd } from "../linux/call/fd";
import { namespaceName } from "../linux/process/namespace";
import { openProcess } from "../linux/process/process";
import { type Opened, openInNamespace } from "../linux/remote/namespace-sockets";

/** A container's first process. */
export interface NetworkProcess {
  pid: number;
  startTime: number;
}

/** The network namespace of a container, for sockets of hako's in it. */
export class ContainerNetwork implements Disposable {
  readonly #process: Fd;
  /** Whether the namespace belongs to another user namespace than hako's. */
  readonly #user: boolean;

  constructor({ pid, startTime }: NetworkProcess) {
    const opened = openProcess(pid, startTime);
    if (opened === undefined)
      throw new HakoError({ code: "system", message: "the container's first process has ended" });
    this.#process = opened;
    this.#user = namespaceName(pid, "user") !== namespaceName("self", "user");
  }

  /** Opens sockets in it, or in another namespace of its user namespace. */
  open(wanted: readonly Opened[], network: "its own" | "new" | Fd = "its own"): Fd[] {
    return openInNamespace({ process: this.#process, user: this.#user, network }, wanted);
  }

  [Symbol.dispose](): void {
    this.#process.close();
  }
}
