import { errnoNumber } from "../../base/errno";
import { Fd } from "../call/fd";
import { syscall, syscallOn, systemError, trySyscall } from "../call/syscall";

/** epoll_create1(2), epoll_ctl(2) */
const CLOEXEC = 0o2000000;
const [CTL_ADD, CTL_DEL] = [1, 2];
const [IN, OUT, EDGE] = [0x1, 0x4, 0x80000000];
/** struct epoll_event is packed on x86-64 alone. */
const EVENT_SIZE = process.arch === "x64" ? 12 : 16;
const MOST_AT_ONCE = 32;

/**
 * Calls functions when something changes of their descriptors: when there is more to read, when more can be written, when the other end has
 * come or gone. Each change is told once (EPOLLET, epoll(7)), so that one whose other end is away costs nothing: who is called reads and writes
 * until it would have to wait.
 */
export class Changes implements Disposable {
  readonly #epoll = new Fd(syscall("epoll_create1", CLOEXEC), "epoll");
  readonly #calls = new Map<number, () => void>();

  watch(fd: Fd, call: () => void): void {
    const event = new DataView(new ArrayBuffer(EVENT_SIZE));
    event.setUint32(0, (IN | OUT | EDGE) >>> 0, true);
    event.setInt32(EVENT_SIZE - 8, fd.number, true);
    syscallOn(fd.name, "epoll_ctl", this.#epoll.number, CTL_ADD, fd.number, event);
    this.#calls.set(fd.number, call);
  }

  /** To be called before the descriptor is closed. */
  forget(fd: Fd): void {
    this.#calls.delete(fd.number);
    syscallOn(fd.name, "epoll_ctl", this.#epoll.number, CTL_DEL, fd.number, null);
  }

  /** Waits for changes, at most so many milliseconds, and tells of them. */
  wait(milliseconds: number): void {
    const events = new DataView(new ArrayBuffer(MOST_AT_ONCE * EVENT_SIZE));
    const limit = Number.isFinite(milliseconds) ? Math.max(0, Math.ceil(milliseconds)) : -1;
    const count = trySyscall("epoll_pwait", this.#epoll.number, events, MOST_AT_ONCE, limit, null, 8);
    if (count < 0) {
      if (-count === errnoNumber("EINTR")) return;
      throw systemError("epoll_pwait", -count);
    }
    const ready = Array.from({ length: count }, (_, index) =>
      events.getInt32((index + 1) * EVENT_SIZE - 8, true),
    );
    // one of them may have ended the watch of another
    for (const number of ready) this.#calls.get(number)?.();
  }

  [Symbol.dispose](): void {
    this.#epoll.close();
  }
}
