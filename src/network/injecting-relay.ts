import { errnoName } from "../base/errno";
import type { Fd } from "../linux/call/fd";
import { trySyscall } from "../linux/call/syscall";
import type { Changes } from "../linux/file/epoll";
import { trySocketOption } from "../linux/network/inet-socket";
import type { Why } from "./attempts";
import { cutOffBy, type RequestHeads } from "./request-heads";

const CHUNK = 65_536;
const SHUT_WR = 1;
/** How often one direction reads before it is others' turn. */
const AT_ONCE = 16;

/** One direction of a connection. */
class Direction {
  held: Uint8Array = new Uint8Array(0);
  bytes = 0;
  ended = false;
  done = false;

  constructor(
    readonly from: Fd,
    readonly to: Fd,
    /** What goes on of bytes that have come; none are the end. */
    readonly changed: (bytes: Uint8Array) => Uint8Array,
  ) {}
}

const buffer = new Uint8Array(CHUNK);

/** A connection of two sockets whose first one's requests get headers; `ended` is called when both are closed. */
export class InjectingRelay implements Disposable {
  readonly #directions: readonly Direction[];
  #over = false;

  constructor(
    private readonly changes: Changes,
    private readonly first: Fd,
    private readonly second: Fd,
    private readonly requests: RequestHeads,
    private readonly ended: (sent: number, received: number, error: Why | undefined) => void,
  ) {
    this.#directions = [
      new Direction(first, second, (bytes) => requests.push(bytes)),
      new Direction(second, first, (bytes) => {
        this.#letGo(requests.answered(bytes));
        return bytes;
      }),
    ];
    for (const socket of [first, second]) changes.watch(socket, () => this.#move());
    changes.later(() => this.#move());
  }

  /** Whether the first one has said something that the second one doesn't have yet, or may still say something. */
  get isSending(): boolean {
    return this.#directions[0]?.done === false;
  }

  #move(): void {
    for (const direction of this.#directions) {
      if (this.#over) return;
      const error = this.#moveOne(direction);
      if (error !== undefined) this.#end(error);
    }
    if (!this.#over && this.#directions.every(({ done }) => done)) this.#end();
  }

  /** What has waited for an answer goes on, and is read on. */
  #letGo(freed: Uint8Array | undefined): void {
    const [requests] = this.#directions;
    if (freed === undefined || requests === undefined) return;
    requests.held = Buffer.concat([requests.held, freed]);
    this.changes.later(() => this.#move());
  }

  /** Moves what can be moved without waiting; an error ends the connection. */
  #moveOne(direction: Direction): Why | undefined {
    for (let turn = 0; turn < AT_ONCE && !direction.done; turn++) {
      while (direction.held.length > 0) {
        const written = trySyscall("write", direction.to.number, direction.held, direction.held.length);
        if (written < 0) return errnoName(-written) === "EAGAIN" ? undefined : errnoName(-written);
        direction.held = direction.held.subarray(written);
      }
      if (direction.ended) {
        trySyscall("shutdown", direction.to.number, SHUT_WR);
        direction.done = true;
        return undefined;
      }
      if (direction.from === this.first && this.requests.isHolding) return undefined;
      const read = trySyscall("read", direction.from.number, buffer, CHUNK);
      if (read < 0) return errnoName(-read) === "EAGAIN" ? undefined : errnoName(-read);
      direction.ended = read === 0;
      direction.bytes += read;
      try {
        direction.held = direction.changed(buffer.slice(0, read));
      } catch (error) {
        // what is no clear request can't be given a header, and is not passed on without one
        return cutOffBy(error);
      }
    }
    if (!direction.done) this.changes.later(() => this.#move());
    return undefined;
  }

  [Symbol.dispose](): void {
    this.#end("ECONNABORTED");
  }

  #end(error?: Why): void {
    if (this.#over) return;
    this.#over = true;
    for (const socket of [this.first, this.second]) {
      // a transfer that was cut off must not look like a whole one
      if (error !== undefined) trySocketOption(socket, "SO_LINGER", 1, 0);
      this.changes.close(socket);
    }
    const [sent = 0, received = 0] = this.#directions.map(({ bytes }) => bytes);
    this.ended(sent, received, error);
  }
}
