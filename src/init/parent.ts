import type { HakoError } from "../errors";
import type { Fd } from "../linux/fd";
import { hasErrno } from "../linux/file";
import { recvFd } from "../linux/socket";
import { errorMessage } from "./error-message";
import { type InitMessage, type InitRequest, receiveValue, type Stage, sendValue } from "./protocol";

/** The side of the parent: sends messages, and waits for its leave to go on. */
export class Parent {
  constructor(readonly socket: Fd) {}

  request(): InitRequest {
    return (receiveValue(this.socket) ?? this.#gone()) as InitRequest;
  }

  /** Descriptors that come after the request, by the numbers which it has for them. */
  descriptors(numbers: readonly number[]): Map<number, Fd> {
    return new Map(numbers.map((number) => [number, recvFd(this.socket).fd]));
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
