import { type ErrnoName, errnoName } from "../base/errno";
import { asHakoError } from "../base/errors";
import type { Fd } from "../linux/call/fd";
import { type Changes, EPOLL } from "../linux/file/epoll";
import type { InetAddress, InetEndpoint } from "../linux/network/inet-address";
import { startConnection, takeSocketError } from "../linux/network/inet-socket";

/** How long an address may take to answer before the next one is tried too (RFC 8305 5, "Connection Attempt Delay"). */
const NEXT_MS = 250;
/** How long all of them may take. */
const ALL_MS = 30_000;

/** What has become of a dial: a connected socket, or why there is none. */
export type Dialled = { socket: Fd; address: InetAddress } | { failure: ErrnoName };

/** Who is dialled. */
export interface DialledPlace {
  addresses: readonly InetAddress[];
  port: number;
  /** Begins a connection; without it that is one of hako's own network namespace. */
  open?: ((to: InetEndpoint) => Fd) | undefined;
}

/** Connects to the first of several addresses that answers, families in turns (RFC 8305). */
export class Dial implements Disposable {
  readonly #rest: InetAddress[];
  readonly #tried = new Map<Fd, InetAddress>();
  readonly #cancelDeadline: () => void;
  #cancelNext: (() => void) | undefined;
  #failure: ErrnoName = "EHOSTUNREACH";
  #over = false;

  constructor(
    private readonly changes: Changes,
    private readonly place: DialledPlace,
    private readonly done: (dialled: Dialled) => void,
  ) {
    this.#rest = inTurns(place.addresses);
    this.#cancelDeadline = changes.after(ALL_MS, () => this.#end({ failure: "ETIMEDOUT" }));
    this.#tryNext();
  }

  #tryNext(): void {
    if (this.#over) return;
    this.#cancelNext?.();
    for (let address = this.#rest.shift(); address !== undefined; address = this.#rest.shift()) {
      const socket = this.#begun(address);
      if (socket === undefined) continue;
      this.#tried.set(socket, address);
      this.changes.watch(socket, (events) => this.#look(socket, address, events));
      if (this.#rest.length > 0) this.#cancelNext = this.changes.after(NEXT_MS, () => this.#tryNext());
      return;
    }
    if (this.#tried.size === 0) this.#end({ failure: this.#failure });
  }

  #begun(address: InetAddress): Fd | undefined {
    try {
      const { port, open = startConnection } = this.place;
      return open({ address, port });
    } catch (error) {
      this.#failure = asHakoError(error).errno ?? this.#failure;
      return undefined;
    }
  }

  /** What has become of a connection that was begun. */
  #look(socket: Fd, address: InetAddress, events: number): void {
    if (this.#over || (events & (EPOLL.OUT | EPOLL.ERR | EPOLL.HUP)) === 0) return;
    const error = takeSocketError(socket);
    if (error === 0) {
      this.#tried.delete(socket);
      this.changes.forget(socket);
      this.#end({ socket, address });
      return;
    }
    this.#failure = errnoName(error);
    this.#close(socket);
    this.#tryNext();
  }

  #close(socket: Fd): void {
    this.#tried.delete(socket);
    this.changes.close(socket);
  }

  /** Gives up, if it isn't over. */
  [Symbol.dispose](): void {
    this.#end({ failure: "ECANCELED" });
  }

  #end(dialled: Dialled): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelNext?.();
    this.#cancelDeadline();
    for (const socket of [...this.#tried.keys()]) this.#close(socket);
    this.done(dialled);
  }
}

/** Addresses in their order, but those of the two families in turns: where one family leads nowhere the other one is tried soon. */
function inTurns(addresses: readonly InetAddress[]): InetAddress[] {
  const first = addresses.filter(({ length }) => length === addresses[0]?.length);
  const second = addresses.filter(({ length }) => length !== addresses[0]?.length);
  const most = Math.max(first.length, second.length);
  return Array.from({ length: most }, (_, at) => [first[at], second[at]])
    .flat()
    .filter((address) => address !== undefined);
}
