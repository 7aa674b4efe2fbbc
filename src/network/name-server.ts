import { errnoNumber } from "../base/errno";
import { concatenated } from "../linux/call/bytes";
import { AF, MSG } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { trySyscall } from "../linux/call/syscall";
import type { Changes } from "../linux/file/epoll";
import type { Attempts } from "./attempts";
import { LABELS_V4, LABELS_V6, type LabelAddresses, numbered } from "./label-addresses";
import { answerQuery, type KnownName, TYPE_AAAA } from "./name-answers";
import type { RuleSet } from "./rule-set";

/** Where names are asked for, by UDP and TCP. */
export const NAME_PORT = 53;
/** How long the answers of one connection may be waited for, in milliseconds. */
const PATIENCE_MS = 10_000;
/** How many connections there are at once: programs ask by UDP. */
const MOST_STREAMS = 64;
/** How often a connection is read from before it is the others' turn: a program may ask faster than it is answered. */
const AT_ONCE = 4;

/** Answers what programs ask of names: those that a rule allows have an address that stands for them, others are not there. */
export class NameServer {
  readonly #streams = new Set<NameStream>();
  readonly #hasV6: boolean;

  constructor(
    private readonly changes: Changes,
    private readonly rules: RuleSet,
    private readonly labels: LabelAddresses,
    private readonly attempts: Attempts,
    families: readonly number[],
  ) {
    this.#hasV6 = families.includes(AF.INET6);
  }

  /** The answer to a query; undefined to what is none. */
  answer(query: Uint8Array): Uint8Array | undefined {
    return answerQuery(query, (name, type) => this.#known(name, type));
  }

  #known(name: string, type: number): KnownName | undefined {
    const isKnown = this.rules.knows(name);
    const number = isKnown ? this.labels.numberOf(name) : undefined;
    if (number === undefined) {
      // programs ask for both families of one name
      if (type !== TYPE_AAAA) this.attempts.unknownName(name, isKnown ? "too many names" : "no rule");
      return undefined;
    }
    return { v4: numbered(LABELS_V4, number), v6: this.#hasV6 ? numbered(LABELS_V6, number) : undefined };
  }

  /** Answers the queries of a connection, and owns it; `ended` is called when it is closed. */
  serve(socket: Fd, ended: () => void): void {
    const [oldest] = this.#streams;
    if (oldest !== undefined && this.#streams.size >= MOST_STREAMS) oldest.close();
    const stream = new NameStream(
      this.changes,
      socket,
      (query) => this.answer(query),
      () => {
        this.#streams.delete(stream);
        ended();
      },
    );
    this.#streams.add(stream);
  }
}

/** A connection with queries, each behind two bytes that say how long it is (RFC 1035 4.2.2). */
class NameStream {
  #bytes = new Uint8Array(0);
  #over = false;
  readonly #cancelTimeout: () => void;

  constructor(
    private readonly changes: Changes,
    private readonly socket: Fd,
    private readonly answer: (query: Uint8Array) => Uint8Array | undefined,
    private readonly ended: () => void,
  ) {
    this.#cancelTimeout = changes.after(PATIENCE_MS, () => this.close());
    changes.watch(socket, this.#read);
  }

  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelTimeout();
    this.changes.close(this.socket);
    this.ended();
  }

  readonly #read = (): void => {
    for (let turn = 0; turn < AT_ONCE && !this.#over; turn++) {
      const came = tryRead(this.socket);
      if (came === "nothing yet") return;
      if (came === "end") this.close();
      else {
        this.#bytes = concatenated([this.#bytes, came]);
        this.#answerWhole();
      }
    }
    if (!this.#over) this.changes.later(this.#read);
  };

  #answerWhole(): void {
    while (!this.#over) {
      const [high, low] = this.#bytes;
      if (high === undefined || low === undefined) return;
      const end = 2 + ((high << 8) | low);
      if (this.#bytes.length < end) return;
      const answer = this.answer(this.#bytes.subarray(2, end));
      this.#bytes = this.#bytes.slice(end);
      // who doesn't read the answers of so many queries gets no more
      if (answer === undefined || !tryWrite(this.socket, answer)) this.close();
    }
  }
}

function tryRead(socket: Fd): Uint8Array | "nothing yet" | "end" {
  const buffer = new Uint8Array(4096);
  const length = trySyscall("read", socket.number, buffer, buffer.length);
  if (length > 0) return buffer.subarray(0, length);
  return length === -errnoNumber("EAGAIN") ? "nothing yet" : "end";
}

/** Sends an answer whole, or not. */
function tryWrite(socket: Fd, answer: Uint8Array): boolean {
  const framed = concatenated([Uint8Array.of(answer.length >> 8, answer.length & 0xff), answer]);
  return trySyscall("sendto", socket.number, framed, framed.length, MSG.NOSIGNAL, null, 0) === framed.length;
}
