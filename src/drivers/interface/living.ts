import type { Fd } from "../../linux/call/fd";
import { isExiting, openProcess } from "../../linux/process/process";
import { namespaceRoot, processRoot } from "../../linux/remote/namespace-root";
import type { Config } from "../../oci/config";
import { hasNamespace } from "../../oci/namespaces";
import {
  type Container,
  type ContainerRecord,
  type ProcessRecord,
  readStoredConfig,
} from "../../state/record";

/** Whether the first process of a container has ended or is about to: nothing of it can be relied on. */
export function isEnding({ record: { init } }: Container): boolean {
  return init === undefined || isExiting(init.pid, init.startTime);
}

/** A container whose first process lives: that is opened once, so that its pid can't come to mean another process. */
export class LivingContainer implements Container, Disposable {
  readonly root: string;
  readonly record: ContainerRecord;
  #config: Config | undefined;
  #rootfs: Fd | undefined;

  private constructor(
    { root, record }: Container,
    readonly init: ProcessRecord,
    /** A descriptor of that process (pidfd_open(2)), readable when it has ended. */
    readonly pidfd: Fd,
  ) {
    this.root = root;
    this.record = record;
  }

  /** undefined when the first process has ended. */
  static open(container: Container): LivingContainer | undefined {
    const { init } = container.record;
    const pidfd = init === undefined ? undefined : openProcess(init.pid, init.startTime);
    return init === undefined || pidfd === undefined
      ? undefined
      : new LivingContainer(container, init, pidfd);
  }

  /** The config.json that it was made from. */
  get config(): Config {
    this.#config ??= readStoredConfig(this.root, this.record.id);
    return this.#config;
  }

  /** The root directory of its mount namespace; without one, of its first process. */
  get rootfs(): Fd {
    const { pid } = this.init;
    this.#rootfs ??= hasNamespace(this.config, "mount") ? namespaceRoot(pid, this.pidfd) : processRoot(pid);
    return this.#rootfs;
  }

  [Symbol.dispose](): void {
    this.pidfd.close();
    this.#rootfs?.close();
  }
}
