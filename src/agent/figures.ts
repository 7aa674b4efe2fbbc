import type { OomWatch } from "../cgroup/stats/oom";
import { driverOf } from "../drivers";
import { figuresText } from "../drivers/vm/channel/figures-text";
import { Fd } from "../linux/call/fd";
import type { Changes } from "../linux/file/epoll";
import type { Container } from "../state/record";

/** What a container of the guest's has used, for the host: told when its memory ran out, and at its end. */
export class ContainerFigures implements Disposable {
  readonly #container: Container;
  readonly #changes: Changes;
  readonly #oom: OomWatch | undefined;

  constructor(changes: Changes, container: Container) {
    this.#container = container;
    this.#changes = changes;
    this.#oom = driverOf(container.record).watchOom(container);
  }

  /** Calls `tell` whenever a process was killed for lack of memory. */
  onKill(tell: () => void): void {
    const oom = this.#oom;
    const fd = oom?.watched.fd;
    if (oom !== undefined && fd instanceof Fd) this.#changes.watch(fd, () => oom.count() > 0 && tell());
  }

  /** With the signal that the first process has died of. */
  text(signal: number | undefined): string {
    const driver = driverOf(this.#container.record);
    const limit = Number(driver.memoryShortage(this.#container)?.limit);
    const memoryLimit = Number.isSafeInteger(limit) ? limit : undefined;
    const ofProgram = driver.toldEnd(this.#container)?.signal;
    return figuresText({ spent: driver.spent(this.#container), memoryLimit, signal: ofProgram ?? signal });
  }

  [Symbol.dispose](): void {
    this.#oom?.[Symbol.dispose]();
  }
}
