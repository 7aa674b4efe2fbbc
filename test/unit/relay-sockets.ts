// Pairs of connected sockets for tests of relays, and what comes to them while a relay serves.
import { expect } from "bun:test";
import type { Fd } from "../../src/linux/call/fd";
import { trySyscall } from "../../src/linux/call/syscall";
import { Changes } from "../../src/linux/file/epoll";
import {
  acceptAt,
  listenAt,
  localEndpoint,
  startConnection,
  takeSocketError,
} from "../../src/linux/network/inet-socket";

export const LOOPBACK = { address: Uint8Array.of(127, 0, 0, 1), port: 0 };
export const [ECONNRESET, EAGAIN] = [-104, -11];

/** Two sockets of TCP that are connected with each other. */
export function tcpPair(): [Fd, Fd] {
  using listener = listenAt(LOOPBACK);
  const one = startConnection(localEndpoint(listener));
  const other = acceptAt(listener);
  if (other === undefined) throw new Error("nobody came");
  expect(takeSocketError(one)).toBe(0);
  return [one, other];
}

/** A listener whose queue is full: who connects gets no answer. */
export class FullListener implements Disposable {
  readonly #listener = listenAt(LOOPBACK, 0);
  readonly #queued: readonly Fd[] = Array.from({ length: 4 }, () => startConnection(this.place));

  get place() {
    return localEndpoint(this.#listener);
  }

  [Symbol.dispose](): void {
    for (const socket of [this.#listener, ...this.#queued]) socket.close();
  }
}

/** How many bytes were taken, or -errno. */
export function send(socket: Fd, data: string | Uint8Array): number {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  return trySyscall("write", socket.number, bytes, bytes.length);
}

export function noMore(socket: Fd): void {
  expect(trySyscall("shutdown", socket.number, 1)).toBe(0);
}

/** What a relay does goes on while something is waited for. */
export class Serving {
  readonly changes = new Changes();

  /** Serves until something is so. */
  until<T>(what: () => T | undefined): T {
    for (const deadline = performance.now() + 20_000; performance.now() < deadline; this.changes.wait(5)) {
      const result = what();
      if (result !== undefined) return result;
    }
    throw new Error("it took too long");
  }

  /** What a socket receives next: bytes, none at the end, or -errno. */
  received(socket: Fd): Uint8Array | number {
    const buffer = new Uint8Array(1 << 16);
    return this.until(() => {
      const length = trySyscall("read", socket.number, buffer, buffer.length);
      if (length === EAGAIN) return undefined;
      return length < 0 ? length : buffer.slice(0, length);
    });
  }

  text(socket: Fd): string | number {
    const received = this.received(socket);
    return typeof received === "number" ? received : new TextDecoder().decode(received);
  }
}
