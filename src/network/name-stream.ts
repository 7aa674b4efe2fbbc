import { errnoNumber } from "../base/errno";
import { concatenated } from "../linux/call/bytes";
import { MSG } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { trySyscall } from "../linux/call/syscall";
import type { Changes } from "../linux/file/epoll";

/** How long the answers of one connection may be waited for, in milliseconds. */
const PATIENCE_MS = 10_000;
/** How often a connection is read from before it is the others' turn: a program may ask faster than it is answered. */
const AT_ONCE = 4;

/** Takes the answer to a query; undefined where there is none. */
export type Answered = (answer: Uint8Array | undefined) => void;

/** A connection with queries of DNS, which are answered one after the other. */
export class NameStream {
  #bytes: Uint8Array = new Uint8Array(0);
  #asked: Disposable | undefined;
  #isAsking = false;
  #over = false;
  readonly #cancelTimeout: () => void;

  /** `ask` answers a query, at once or later; then what it returns is disposed of where nobody waits any more. */
  constructor(
    private readonly changes: Changes,
    private readonly socket: Fd,
    private readonly ask: (query: Uint8Array, answered: Answered) => Disposable | undefined,
    private readonly ended: () => void,
  ) {
    this.#cancelTimeout = changes.after(PATIENCE_MS, () => this.close());
    changes.watch(socket, this.#read);
  }

  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelTimeout();
    this.#asked?.[Symbol.dispose]();
    this.changes.close(this.socket);
    this.ended();
  }

  readonly #read = (): void => {
    this.#answerWhole();
    for (let turn = 0; turn < AT_ONCE && !this.#over && !this.#isAsking; turn++) {
      const came = tryRead(this.socket);
      if (came === "nothing yet") return;
      if (came === "end") this.close();
      else {
        this.#bytes = concatenated([this.#bytes, came]);
        this.#answerWhole();
      }
    }
    if (!this.#over && !this.#isAsking) this.changes.later(this.#read);
  };

  #answerWhole(): void {
    while (!this.#over && !this.#isAsking) {
      const query = firstMessage(this.#bytes);
      if (query === undefined) return;
      this.#bytes = this.#bytes.slice(2 + query.length);
      this.#isAsking = true;
      let isLater = false;
      this.#asked = this.ask(query, (answer) => {
        this.#isAsking = false;
        // who doesn't read the answers of so many queries gets no more
        if (answer === undefined || !trySend(this.socket, answer)) this.close();
        else if (isLater) this.changes.later(this.#read);
      });
      isLater = true;
    }
  }
}

/** The first message of a stream that is there whole, each of which is behind two bytes that say how long it is (RFC 1035 4.2.2). */
export function firstMessage(bytes: Uint8Array): Uint8Array | undefined {
  const [high, low] = bytes;
  if (high === undefined || low === undefined) return undefined;
  const end = 2 + ((high << 8) | low);
  return bytes.length < end ? undefined : bytes.subarray(2, end);
}

/** What has come to a socket. */
export function tryRead(socket: Fd): Uint8Array | "nothing yet" | "end" {
  const buffer = new Uint8Array(4096);
  const length = trySyscall("read", socket.number, buffer, buffer.length);
  if (length > 0) return buffer.subarray(0, length);
  return length === -errnoNumber("EAGAIN") ? "nothing yet" : "end";
}

/** Sends a message whole, or not. */
export function trySend(socket: Fd, message: Uint8Array): boolean {
  const framed = concatenated([Uint8Array.of(message.length >> 8, message.length & 0xff), message]);
  return trySyscall("sendto", socket.number, framed, framed.length, MSG.NOSIGNAL, null, 0) === framed.length;
}
