import { HakoError } from "../base/errors";
import type { Fd } from "../linux/call/fd";
import { waitFor } from "../linux/file/poll";
import { readWaiting, writeAllWaiting } from "../linux/file/stream";
import { unixConnectWithin } from "../linux/file/unix-socket";
import type { Address } from "./address";
import { decodeMessage, encodeMessage, type Message, messageLength } from "./message";
import type { Value } from "./types";

const BUS = "org.freedesktop.DBus";
/** How long a call may take; libsystemd and libdbus have the same limit. */
const CALL_MS = 25_000;

export interface MethodCall {
  destination: string;
  path: string;
  interface: string;
  member: string;
  signature?: string;
  body?: readonly Value[];
}

/** What a method returned, or the error that it ended with, such as "org.freedesktop.systemd1.UnitExists". */
export type BusReply =
  | { body: readonly Value[]; error: undefined }
  | { body: undefined; error: { name: string; message: string } };

export interface SignalMatch {
  interface: string;
  member: string;
}

/** A connection to a bus or a peer, for the time of one command. Every call waits for its reply, at most until a deadline. */
export class Connection implements Disposable {
  readonly #socket: Fd;
  readonly #address: Address;
  #received: Buffer = Buffer.alloc(0);
  #serial = 0;
  readonly #signals: Message[] = [];

  constructor(address: Address) {
    this.#address = address;
    const deadline = Date.now() + CALL_MS;
    this.#socket = unixConnectWithin(address.socket, CALL_MS);
    try {
      this.#authenticate(deadline);
      if (!address.peer) this.#call({ ...bus("Hello"), deadline });
    } catch (error) {
      this.#socket.close();
      throw error;
    }
  }

  /** Calls a method. An error in the reply is returned, not thrown. */
  tryCall(call: MethodCall): BusReply {
    return this.#call({ ...call, deadline: Date.now() + CALL_MS });
  }

  /** From now on signals of this kind are kept for `waitForSignal`. */
  subscribe(sender: string, { interface: name, member }: SignalMatch): void {
    // a peer sends every signal without being asked
    if (this.#address.peer) return;
    const rule = `type='signal',sender='${sender}',interface='${name}',member='${member}'`;
    const answer = this.tryCall({ ...bus("AddMatch"), signature: "s", body: [rule] });
    if (answer.error !== undefined) throw this.failure(`AddMatch: ${answer.error.message}`);
  }

  /** The body of the first signal for which `wanted` holds; undefined when none has come within `milliseconds`. */
  waitForSignal(
    match: SignalMatch,
    milliseconds: number,
    wanted: (body: readonly Value[]) => boolean,
  ): readonly Value[] | undefined {
    const deadline = Date.now() + milliseconds;
    for (let next: Message | undefined = this.#signals.shift(); ; next = this.#signals.shift()) {
      const message = next ?? this.#receive(deadline);
      if (message === undefined) return undefined;
      const { kind, member, body } = message;
      if (
        kind === "signal" &&
        message.interface === match.interface &&
        member === match.member &&
        wanted(body)
      ) {
        return body;
      }
    }
  }

  /** An error of this connection. */
  failure(message: string, hint?: string): HakoError {
    return new HakoError({ code: "system", message: `D-Bus at ${this.#address.socket}: ${message}`, hint });
  }

  #call({ deadline, ...call }: MethodCall & { deadline: number }): BusReply {
    const serial = ++this.#serial;
    writeAllWaiting(this.#socket, encodeMessage({ kind: "call", serial, body: [], ...call }));
    for (;;) {
      const message = this.#receive(deadline);
      if (message === undefined) {
        throw this.failure(
          `no answer to ${call.member} within ${CALL_MS / 1000} s`,
          "is systemd busy or stuck? see systemctl list-jobs",
        );
      }
      if (message.kind === "signal") this.#signals.push(message);
      if (message.replySerial !== serial) continue;
      if (message.kind === "reply") return { body: message.body, error: undefined };
      const [text] = message.body;
      const name = message.errorName ?? "";
      return { body: undefined, error: { name, message: typeof text === "string" ? text : name } };
    }
  }

  /**
   * SASL's EXTERNAL mechanism (specification, "Authentication Protocol"). No user id is sent: the server takes the one that the kernel
   * tells of the socket's other end, for in a user namespace hako's own id is not the one that the server knows.
   * The three lines go in one write, as in libsystemd: a server of libsystemd forgets a message that it reads together with BEGIN.
   * Older servers answer OK to AUTH and to DATA.
   */
  #authenticate(deadline: number): void {
    writeAllWaiting(this.#socket, "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n");
    const lines = [this.#line(deadline)];
    if (lines[0] === "DATA" || lines[0]?.startsWith("OK ")) lines.push(this.#line(deadline));
    const answer = lines.at(-1) ?? "";
    if (!answer.startsWith("OK ")) throw this.failure(`refuses this user: ${answer}`);
  }

  /** The next line of the server, before messages begin. */
  #line(deadline: number): string {
    for (;;) {
      const end = this.#received.indexOf("\r\n");
      if (end >= 0) {
        const line = this.#received.toString("latin1", 0, end);
        this.#received = this.#received.subarray(end + 2);
        return line;
      }
      if (!this.#fill(deadline)) throw this.failure("no answer to our greeting");
    }
  }

  /** The next message; undefined when the deadline has passed. */
  #receive(deadline: number): Message | undefined {
    for (;;) {
      const length = messageLength(this.#received);
      if (length !== undefined && this.#received.length >= length) {
        const message = decodeMessage(this.#received.subarray(0, length));
        this.#received = this.#received.subarray(length);
        return message;
      }
      if (!this.#fill(deadline)) return undefined;
    }
  }

  /** Waits for data and takes what has arrived; false when the deadline has passed. */
  #fill(deadline: number): boolean {
    if (!waitFor(this.#socket, "read", Math.max(0, deadline - Date.now()))) return false;
    const data = readWaiting(this.#socket);
    if (data.length === 0) throw this.failure("the other side closed the connection");
    this.#received = Buffer.concat([this.#received, data]);
    return true;
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

function bus(member: string): MethodCall {
  return { destination: BUS, path: "/org/freedesktop/DBus", interface: BUS, member };
}
