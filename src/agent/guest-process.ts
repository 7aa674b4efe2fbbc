import { asHakoError, HakoError } from "../base/errors";
import { TO_GUEST, windowOf } from "../drivers/vm/channel/stream-frames";
import { SIG } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { trySyscall } from "../linux/call/syscall";
import type { Changes } from "../linux/file/epoll";
import { openChild, reapChild } from "../linux/process/process";
import { setWindowSize } from "../linux/terminal/pty";
import { logWarning } from "../output/log";
import type { ProcessRecord } from "../state/record";
import type { ContainerFigures } from "./figures";
import { StreamRelay } from "./stream-relay";
import type { ProgramStreams } from "./streams";

/** Of a terminal that is there no more, or of none, nothing comes. */
function resize(terminal: Fd, number: number): void {
  try {
    setWindowSize(terminal, windowOf(number));
  } catch (error) {
    logWarning(asHakoError(error).oneLine);
  }
}

/** What the first process of a container has beside. */
export interface OfFirst {
  figures: ContainerFigures;
  /** An eventfd(2) that counts how often the program was stopped, where hako's own first process sees that. */
  stops: Fd | undefined;
}

/** A process of a container's whose stand-in is on the host: a child of this one, its streams, and the port that they lead to. */
export class GuestProcess implements Disposable {
  readonly pid: number;
  readonly #process: Fd;
  readonly #changes: Changes;
  readonly #relay: StreamRelay;
  readonly #started: Partial<Disposable>;
  readonly #send: (signal: number) => void;
  readonly #ofFirst: OfFirst | undefined;
  /** The host has asked it to end. */
  #asked = false;
  #ended = false;

  /** It owns the process's record, streams and port. `send` sends it a signal. */
  constructor(
    changes: Changes,
    started: (ProcessRecord & Partial<Disposable>) | undefined,
    streams: ProgramStreams,
    port: Fd,
    send: (signal: number) => void,
    ofFirst?: OfFirst,
  ) {
    this.#relay = new StreamRelay(port, streams, {
      tell: (type, number) => {
        if (type === TO_GUEST.signal) this.#trySend(number);
        else if (type === TO_GUEST.windowSize) resize(streams.output, number);
      },
      hangUp: () => this.#trySend(SIG.KILL),
    });
    const process = started === undefined ? undefined : openChild(started.pid);
    if (started === undefined || process === undefined) {
      this.#relay[Symbol.dispose]();
      throw new HakoError({ code: "system", message: "the process has ended" });
    }
    this.pid = started.pid;
    this.#started = started;
    this.#process = process;
    this.#changes = changes;
    this.#send = send;
    this.#ofFirst = ofFirst;
    for (const fd of this.#relay.descriptors) changes.watch(fd, () => this.#relay.pump());
    changes.watch(process, () => this.look());
    ofFirst?.figures.onKill(() => this.#tellFigures());
    if (ofFirst?.stops !== undefined) this.#tellStops(ofFirst.stops);
    this.#relay.pump();
  }

  get ended(): boolean {
    return this.#ended;
  }

  get isOver(): boolean {
    return this.#ended && this.#relay.isOver;
  }

  /** Looks whether it has ended, and tells the host then. */
  look(): void {
    if (this.#ended) return;
    this.#relay.look();
    const ending = reapChild(this.pid, false);
    if (ending === undefined) return;
    // as on the host: what was asked with it and goes on, where that is found
    if (this.#asked && this.#ofFirst === undefined) this.#trySend(SIG.KILL);
    this.#ended = true;
    this.#changes.forget(this.#process);
    this.#tellFigures(ending.signal);
    this.#relay.end(ending.status);
  }

  #tellFigures(signal?: number): void {
    const { figures } = this.#ofFirst ?? {};
    if (figures !== undefined) this.#relay.tellFigures(figures.text(signal));
  }

  #tellStops(stops: Fd): void {
    const count = new BigInt64Array(1);
    this.#changes.watch(stops, () => {
      if (trySyscall("read", stops.number, count, 8) > 0) this.#relay.tellStop();
    });
  }

  /** Of somebody who can't be told what comes of it. */
  #trySend(signal: number): void {
    if (this.#ended) return;
    this.#asked ||= signal === SIG.TERM;
    try {
      this.#send(signal);
    } catch (error) {
      logWarning(asHakoError(error).oneLine);
    }
  }

  [Symbol.dispose](): void {
    this.#relay[Symbol.dispose]();
    this.#ofFirst?.figures[Symbol.dispose]();
    this.#ofFirst?.stops?.close();
    this.#process.close();
    this.#started[Symbol.dispose]?.();
  }
}
