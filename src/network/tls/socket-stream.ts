import { Duplex } from "node:stream";
import { errnoName } from "../../base/errno";
import type { Fd } from "../../linux/call/fd";
import { trySyscall } from "../../linux/call/syscall";
import type { Changes } from "../../linux/file/epoll";
import { trySocketOption } from "../../linux/network/inet-socket";

const CHUNK = 65_536;
const SHUT_WR = 1;

const buffer = new Uint8Array(CHUNK);

/**
 * A connected socket of hako's as a stream of the engine's, which its TLS reads and writes: the engine takes no descriptor that it hasn't made.
 * `engineTurn` is called when the engine's own loop has something to do for it. The engine's TLS reads whether or not what it has read is taken:
 * so nothing is read while `isFull` says that enough is on its way; `wrote` is called when some of that may have left.
 */
export class SocketStream extends Duplex {
  /** Bytes that were read from the socket, and written to it. */
  bytesRead = 0;
  bytesWritten = 0;
  #isWaitingToRead = false;
  #unwritten: { bytes: Uint8Array; done: (error?: Error) => void } | undefined;

  constructor(
    private readonly changes: Changes,
    private readonly socket: Fd,
    private readonly engineTurn: () => void,
    private readonly flow: { isFull: () => boolean; wrote: () => void },
  ) {
    super({ allowHalfOpen: true });
    changes.watch(socket, () => this.#changed());
  }

  #changed(): void {
    if (this.#unwritten !== undefined) this.#flush();
    this.readOn();
  }

  /** Reads, if that was wanted and could not be done. */
  readOn(): void {
    this.engineTurn();
    if (this.#isWaitingToRead && !this.destroyed) this._read();
  }

  override _read(): void {
    if (this.flow.isFull()) {
      this.#isWaitingToRead = true;
      return;
    }
    const read = trySyscall("read", this.socket.number, buffer, CHUNK);
    this.#isWaitingToRead = read < 0 && errnoName(-read) === "EAGAIN";
    if (this.#isWaitingToRead) return;
    if (read < 0) {
      this.destroy(failure(-read));
      return;
    }
    this.bytesRead += read;
    this.push(read === 0 ? null : Buffer.from(buffer.subarray(0, read)));
  }

  override _write(bytes: Uint8Array, _: unknown, done: (error?: Error) => void): void {
    this.#unwritten = { bytes, done };
    this.#flush();
  }

  #flush(): void {
    const unwritten = this.#unwritten;
    if (unwritten === undefined) return;
    const { done } = unwritten;
    while (unwritten.bytes.length > 0) {
      const { bytes } = unwritten;
      const written = trySyscall("write", this.socket.number, bytes, bytes.length);
      if (written < 0 && errnoName(-written) === "EAGAIN") return;
      if (written < 0) {
        this.#unwritten = undefined;
        done(failure(-written));
        return;
      }
      this.bytesWritten += written;
      unwritten.bytes = bytes.subarray(written);
    }
    this.#unwritten = undefined;
    done();
    this.flow.wrote();
  }

  override _final(done: () => void): void {
    trySyscall("shutdown", this.socket.number, SHUT_WR);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    // a transfer that was cut off must not look like a whole one
    if (error !== null) trySocketOption(this.socket, "SO_LINGER", 1, 0);
    this.changes.close(this.socket);
    done(error);
  }
}

/** An error as the engine's own sockets have it. */
function failure(errno: number): Error {
  const code = errnoName(errno);
  return Object.assign(new Error(code), { code });
}
