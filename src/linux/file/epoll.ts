import { errnoNumber } from "../../base/errno";
import { Fd } from "../call/fd";
import { syscall, syscallOn, systemError, trySyscall } from "../call/syscall";

/** epoll_create1(2), epoll_ctl(2) */
const CLOEXEC = 0o2000000;
const [CTL_ADD, CTL_DEL] = [1, 2];
const EDGE = 0x80000000;
/** struct epoll_event is packed on x86-64 alone. */
const EVENT_SIZE = process.arch === "x64" ? 12 : 16;
const MOST_AT_ONCE = 64;

/** What has changed (epoll_ctl(2)). */
export enum EPOLL {
  IN = 0x1,
  OUT = 0x4,
  ERR = 0x8,
  HUP = 0x10,
}

/**
 * Calls functions when something changes of their descriptors: when there is more to read, when more can be written, when the other end has
 * come or gone. Each change is told once (EPOLLET, epoll(7)), so that one whose other end is away costs nothing: who is called reads and writes
 * until it would have to wait, or asks to be called again (`later`).
 */
export class Changes implements Disposable {
  readonly #epoll = new Fd(syscall("epoll_create1", CLOEXEC), "epoll");
  readonly #calls = new Map<number, (events: number) => void>();
  readonly #event = new DataView(new ArrayBuffer(EVENT_SIZE));
  readonly #events = new DataView(new ArrayBuffer(MOST_AT_ONCE * EVENT_SIZE));
  #later = new Set<() => void>();

  watch(fd: Fd, call: (events: number) => void): void {
    this.#event.setUint32(0, (EPOLL.IN | EPOLL.OUT | EDGE) >>> 0, true);
    this.#event.setInt32(EVENT_SIZE - 8, fd.number, true);
    syscallOn(fd.name, "epoll_ctl", this.#epoll.number, CTL_ADD, fd.number, this.#event);
    this.#calls.set(fd.number, call);
  }

  /** To be called before the descriptor is closed. */
  forget(fd: Fd): void {
    if (!this.#calls.delete(fd.number)) return;
    syscallOn(fd.name, "epoll_ctl", this.#epoll.number, CTL_DEL, fd.number, null);
  }

  /** Has a function called once more, after the changes that there are now: for who has more to do than others should wait for. Once, also when it asks twice. */
  later(call: () => void): void {
    this.#later.add(call);
  }

  /** Waits for changes, at most so many milliseconds, and tells of them. */
  wait(milliseconds: number): void {
    const limit = Number.isFinite(milliseconds) ? Math.max(0, Math.ceil(milliseconds)) : -1;
    const calls = this.#later;
    this.#later = new Set();
    const patience = calls.size > 0 ? 0 : limit;
    const count = trySyscall(
      "epoll_pwait",
      this.#epoll.number,
      this.#events,
      MOST_AT_ONCE,
      patience,
      null,
      8,
    );
    if (count < 0 && -count !== errnoNumber("EINTR")) throw systemError("epoll_pwait", -count);
    // a call may end the watch of another, and its number may become that of something new
    const ready: [((events: number) => void) | undefined, number, number][] = [];
    for (let at = 0; at < count; at++) {
      const events = this.#events.getUint32(at * EVENT_SIZE, true);
      const number = this.#events.getInt32((at + 1) * EVENT_SIZE - 8, true);
      ready.push([this.#calls.get(number), number, events]);
    }
    for (const [call, number, events] of ready) if (call === this.#calls.get(number)) call?.(events);
    for (const call of calls) call();
  }

  [Symbol.dispose](): void {
    this.#epoll.close();
  }
}
