import type { HakoError } from "../errors";
import type { Fd } from "../linux/fd";
import { hasErrno } from "../linux/file";
import type { SeccompFilter } from "../linux/seccomp";
import { recvFds } from "../linux/socket";
import { errorMessage } from "./error-message";
import {
  type FilterMessage,
  type InitMessage,
  type InitRequest,
  receiveValue,
  type Stage,
  sendValue,
} from "./protocol";

/** The side of the parent: sends messages, and waits for its leave to go on. */
export class Parent {
  constructor(readonly socket: Fd) {}

  request(): InitRequest {
    return (receiveValue(this.socket) ?? this.#gone()) as InitRequest;
  }

  /** The filter of the program; after all descriptors. */
  filter(): SeccompFilter | undefined {
    return ((receiveValue(this.socket) ?? this.#gone()) as FilterMessage).filter;
  }

  /** The next so many of the descriptors that come after the request. */
  descriptors(count: number): Fd[] {
    const fds = recvFds(this.socket, count);
    return fds.length < count ? this.#gone() : fds;
  }

  /** The next of them, by the numbers which the request has for them. */
  numbered(numbers: readonly number[]): Map<number, Fd> {
    const fds = this.descriptors(numbers.length);
    return new Map(fds.map((fd, index) => [numbers[index] ?? -1, fd]));
  }

  /** Says how far we are, and waits. Without a parent nobody will ever start or delete this container: it ends. */
  reached(stage: Stage): void {
    this.#send({ stage });
    receiveValue(this.socket) ?? this.#gone();
  }

  warn(warning: string): void {
    this.#send({ warning });
  }

  fail(error: HakoError): void {
    this.#send({ error: errorMessage(error) });
  }

  leave(): void {
    this.socket.close();
  }

  #send(message: InitMessage): void {
    try {
      sendValue(this.socket, message);
    } catch (error) {
      // it has given up on this container, and has said why
      if (hasErrno(error, "EPIPE", "ECONNRESET")) this.#gone();
      throw error;
    }
  }

  #gone(): never {
    process.exit(1);
  }
}
