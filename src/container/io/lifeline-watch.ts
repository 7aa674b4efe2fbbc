import type { Fd } from "../../linux/call/fd";
import { waitFor } from "../../linux/file/poll";

/** A descriptor that an event loop can't wait for (pidfd_open(2)) is looked at so often. */
const LOOK_MS = 100;

/** Tells when the other end of a pipe or a socket is closed, or the process of a pidfd has ended. Bytes that come are an end, too. */
export class LifelineWatch implements Disposable {
  readonly #timer: ReturnType<typeof setInterval>;

  /** Calls `end` once, later. */
  constructor(lifeline: Fd, end: () => void) {
    this.#timer = setInterval(() => {
      if (!waitFor(lifeline, "read", 0)) return;
      clearInterval(this.#timer);
      end();
    }, LOOK_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
