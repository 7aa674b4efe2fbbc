import { errnoNumber } from "../../../base/errno";
import { HakoError } from "../../../base/errors";
import { bytesOf, concatenated, textOf } from "../../../linux/call/bytes";
import { F, O } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import { syscallOn, systemError, trySyscall } from "../../../linux/call/syscall";
import { waitFor } from "../../../linux/file/poll";

const NEWLINE = 0x0a;
const READ_AT_ONCE = 65536;
/** No peer of the host's has anything to say that is longer. */
export const LONGEST_LINE = 1 << 20;
/** What the host says may be longer: an environment alone can have some MiB (execve(2)). */
export const LONGEST_REQUEST = 32 << 20;

/**
 * Messages in both directions, each a line of JSON. The peer may be hostile: its lines have a limit, and nothing waits for it longer than up to
 * a deadline, which is a time of `performance.now()`.
 */
export class JsonLines implements Disposable {
  #parts: Uint8Array[] = [];
  #length = 0;
  readonly #lines: Uint8Array[] = [];

  constructor(
    readonly fd: Fd,
    /** What errors call the peer. */
    readonly peer: string,
    /** Bytes of a line of the peer's, at most. */
    private readonly longest = LONGEST_LINE,
  ) {
    const flags = syscallOn(fd.name, "fcntl", fd.number, F.GETFL, 0);
    syscallOn(fd.name, "fcntl", fd.number, F.SETFL, flags | O.NONBLOCK);
  }

  send(message: unknown, deadline: number): void {
    const bytes = bytesOf(`${JSON.stringify(message)}\n`);
    // nothing of it has been sent: the peer goes on
    if (bytes.length > LONGEST_REQUEST)
      throw new HakoError({
        code: "unsupported",
        message: `a message to ${this.peer} of more than ${LONGEST_REQUEST} bytes`,
      });
    for (let done = 0; done < bytes.length; ) {
      const rest = bytes.subarray(done);
      const length = trySyscall("write", this.fd.number, rest, rest.length);
      if (length >= 0) done += length;
      else if (-length !== errnoNumber("EAGAIN")) throw systemError("write", -length, this.peer);
      else this.#wait("write", deadline);
    }
  }

  /** Waits for the next message. */
  receive(deadline: number): unknown {
    for (;;) {
      const message = this.take();
      if (message !== undefined) return message;
      this.#wait("read", deadline);
      this.fill();
    }
  }

  /** Whether a line was read already that was not taken. */
  get has(): boolean {
    return this.#lines.length > 0;
  }

  /** A message that was read already; undefined if there is none. */
  take(): unknown {
    const line = this.#lines.shift();
    if (line === undefined) return undefined;
    try {
      return JSON.parse(textOf(line)) ?? null;
    } catch {
      throw this.broken("a line that is no JSON");
    }
  }

  /** Reads once, without waiting. */
  fill(): void {
    if (this.read() === "end") throw this.broken("the end of its messages");
  }

  /** Reads once, without waiting; what came of it. */
  read(): "something" | "nothing" | "end" {
    const buffer = new Uint8Array(READ_AT_ONCE);
    const length = trySyscall("read", this.fd.number, buffer, buffer.length);
    if (-length === errnoNumber("EAGAIN")) return "nothing";
    if (length < 0) throw systemError("read", -length, this.peer);
    if (length === 0) return "end";
    this.#add(buffer.subarray(0, length));
    return "something";
  }

  /** Drops what was read: the peer is another one from now on. */
  forget(): void {
    this.#parts = [];
    this.#length = 0;
    this.#lines.length = 0;
  }

  #add(bytes: Uint8Array): void {
    let from = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, from)) {
      this.#keep(bytes.subarray(from, end));
      this.#lines.push(concatenated(this.#parts));
      this.#parts = [];
      this.#length = 0;
      from = end + 1;
    }
    this.#keep(bytes.subarray(from));
  }

  #keep(part: Uint8Array): void {
    this.#length += part.length;
    if (this.#length > this.longest) throw this.broken(`a line of more than ${this.longest} bytes`);
    if (part.length > 0) this.#parts.push(part);
  }

  #wait(what: "read" | "write", deadline: number): void {
    const left = deadline - performance.now();
    if (left > 0 && waitFor(this.fd, what, left)) return;
    throw this.late();
  }

  /** The error of a peer that has let a deadline pass. */
  late(): HakoError {
    return new HakoError({ code: "system", message: `${this.peer} does not answer in time` });
  }

  /** The error of a message that the peer should not have sent. */
  broken(what: string): HakoError {
    return new HakoError({ code: "system", message: `${this.peer} sent ${what}` });
  }

  [Symbol.dispose](): void {
    this.fd.close();
  }
}
