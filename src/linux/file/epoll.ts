import { errnoNumber } from "../../base/errno";
import { Fd } from "../call/fd";
import { syscall, syscallOn, systemError, trySyscall } from "../call/syscall";

/** epoll_create1(2), epoll_ctl(2) */
const CLOEXEC = 0o2000000;
const [CTL_ADD, CTL_DEL] = [1, 2];
const EINTR = -errnoNumber("EINTR");
const EDGE = 0x80000000;
/** struct epoll_event is packed on x86-64 alone. */
const EVENT_SIZE = process.arch === "x64" ? 12 : 16;
/** What comes back with an event: a descriptor's number, and which watch of that number it is of. */
const [NUMBER_AT, WATCH_AT] = [EVENT_SIZE - 8, EVENT_SIZE - 4];
const MOST_AT_ONCE = 64;

/** What has changed (epoll_ctl(2)). */
export enum EPOLL {
  IN = 0x1,
  OUT = 0x4,
  ERR = 0x8,
  HUP = 0x10,
}

const NOTHING: ReadonlySet<() => void> = new Set();

interface Watch {
  /** No other has had it: a number may become another descriptor's while events of the first one are still told. */
  id: number;
  call: (events: number) => void;
}

/** A call at a time of performance.now(). */
interface Timed {
  at: number;
  call: () => void;
}

/**
 * Calls functions when something changes of their descriptors: when there is more to read, when more can be written, when the other end has
 * come or gone. Each change is told once (EPOLLET, epoll(7)), so that one whose other end is away costs nothing: who is called reads and writes
 * until it would have to wait, or asks to be called again (`later`).
 */
export class Changes implements Disposable {
  readonly #epoll = new Fd(syscall("epoll_create1", CLOEXEC), "epoll");
  readonly #watches = new Map<number, Watch>();
  #lastId = 0;
  readonly #event = new DataView(new ArrayBuffer(EVENT_SIZE));
  readonly #events = new DataView(new ArrayBuffer(MOST_AT_ONCE * EVENT_SIZE));
  #later = new Set<() => void>();
  #closing: Fd[] = [];
  readonly #timed = new Set<Timed>();
  /** The next of them is not before. */
  #notBefore = Infinity;

  watch(fd: Fd, call: (events: number) => void): void {
    this.#event.setUint32(0, (EPOLL.IN | EPOLL.OUT | EDGE) >>> 0, true);
    this.#event.setInt32(NUMBER_AT, fd.number, true);
    const id = (this.#lastId + 1) >>> 0;
    this.#event.setUint32(WATCH_AT, id, true);
    syscallOn(fd.name, "epoll_ctl", this.#epoll.number, CTL_ADD, fd.number, this.#event);
    this.#lastId = id;
    this.#watches.set(fd.number, { id, call });
  }

  /** Ends the watch of a descriptor, and closes it after the changes that there are now: nobody waits for an end as for an answer. */
  close(fd: Fd): void {
    // the kernel ends it with the descriptor, unless another process has that too: its events are not told
    this.#watches.delete(fd.number);
    this.#closing.push(fd);
  }

  /** Ends the watch of a descriptor that stays open, or is closed by others. */
  forget(fd: Fd): void {
    if (!this.#watches.delete(fd.number)) return;
    syscallOn(fd.name, "epoll_ctl", this.#epoll.number, CTL_DEL, fd.number, null);
  }

  /** Has a function called once more, after the changes that there are now: for who has more to do than others should wait for. Once, also when it asks twice. */
  later(call: () => void): void {
    this.#later.add(call);
  }

  /** Whether somebody has more to do. */
  get isBehind(): boolean {
    return this.#later.size > 0;
  }

  /** Has a function called once, by the first wait that ends after so many milliseconds, and no wait be longer; what this returns cancels it. */
  after(milliseconds: number, call: () => void): () => void {
    const timed = { at: performance.now() + milliseconds, call };
    this.#timed.add(timed);
    this.#notBefore = Math.min(this.#notBefore, timed.at);
    return () => this.#timed.delete(timed);
  }

  /** Waits for changes, at most so many milliseconds, and tells of them. */
  wait(milliseconds: number): void {
    const longest =
      this.#timed.size > 0 ? Math.min(milliseconds, this.#notBefore - performance.now()) : milliseconds;
    const limit = Number.isFinite(longest) ? Math.max(0, Math.ceil(longest)) : -1;
    const calls = this.#later.size > 0 ? this.#later : NOTHING;
    if (calls !== NOTHING) this.#later = new Set();
    const closing = this.#closing.length;
    const patience = calls.size + closing > 0 ? 0 : limit;
    const count = trySyscall(
      "epoll_pwait",
      this.#epoll.number,
      this.#events,
      MOST_AT_ONCE,
      patience,
      null,
      8,
    );
    if (count < 0 && count !== EINTR) throw systemError("epoll_pwait", -count);
    for (let start = 0; start < count * EVENT_SIZE; start += EVENT_SIZE) {
      const watch = this.#watches.get(this.#events.getInt32(start + NUMBER_AT, true));
      // one that was called before may have ended this one's watch
      if (watch?.id === this.#events.getUint32(start + WATCH_AT, true))
        watch.call(this.#events.getUint32(start, true));
    }
    if (calls !== NOTHING) for (const call of calls) call();
    if (this.#timed.size > 0) this.#callTimed(performance.now());
    if (closing > 0) for (const fd of this.#closing.splice(0, closing)) fd.close();
  }

  #callTimed(now: number): void {
    if (now < this.#notBefore) return;
    // in the order of their times, however late it is; one that is called may cancel another
    const due = [...this.#timed].filter(({ at }) => at <= now).sort((one, other) => one.at - other.at);
    for (const timed of due) if (this.#timed.delete(timed)) timed.call();
    this.#notBefore = Infinity;
    for (const { at } of this.#timed) this.#notBefore = Math.min(this.#notBefore, at);
  }

  [Symbol.dispose](): void {
    for (const fd of this.#closing) fd.close();
    this.#epoll.close();
  }
}
