import { errnoNumber } from "../base/errno";
import {
  frameHeader,
  HEADER_SIZE,
  INPUT_WINDOW,
  LARGEST_DATA,
  TO_GUEST,
  TO_HOST,
} from "../drivers/vm/channel/stream-frames";
import { bytesOf, concatenated } from "../linux/call/bytes";
import type { Fd } from "../linux/call/fd";
import { trySyscall } from "../linux/call/syscall";
import type { ProgramStreams } from "./streams";

const NOTHING: Uint8Array = new Uint8Array(0);
const AGAIN = -errnoNumber("EAGAIN");
const STREAMS = ["input", "output", "error"] as const;
/** Credit is given back in parts of this size at least. */
const CREDIT = INPUT_WINDOW / 4;
/** How long the kernel may take to tell that the host has connected its end, which it did before it asked for the process. */
const CONNECT_MS = 3000;
/** How long the host may take to hang up when it was told how the process ended. */
const FAREWELL_MS = 10_000;

/** What the other side is about beside data. */
export interface RelayEvents {
  tell(type: number, number: number): void;
  /** Nobody is there any more. */
  hangUp(): void;
}

/**
 * Connects the standard streams of a process to a port of the machine (stream-frames.ts). `pump` does all that can be done without waiting, and is
 * to be called when something changes of one of the descriptors.
 */
export class StreamRelay implements Disposable {
  readonly #port: Fd;
  readonly #streams: Partial<ProgramStreams>;
  readonly #events: RelayEvents;
  readonly descriptors: readonly Fd[];
  /** A message for the port, made where it is read into: memory that is new each time would cost more than all else. */
  readonly #message = new Uint8Array(HEADER_SIZE + LARGEST_DATA);
  readonly #header = new DataView(this.#message.buffer, 0, HEADER_SIZE);
  /** What of it is to be written. */
  #unsent = NOTHING;
  readonly #arrived = new Uint8Array(INPUT_WINDOW);
  /** The beginning of a message whose end has not come yet. */
  #received = NOTHING;
  /** Data for standard input. */
  #input: Uint8Array[] = [];
  #inputEnds = false;
  #written = 0;
  #status: number | undefined;
  /** What is to be told of what the container has used. */
  #figures: Uint8Array | undefined;
  #stopped = false;
  #told = 0;
  #connected = false;
  readonly #connectsUntil: number;
  #hungUp = false;

  constructor(port: Fd, streams: ProgramStreams, events: RelayEvents, connectMs = CONNECT_MS) {
    this.#connectsUntil = performance.now() + connectMs;
    this.#port = port;
    this.#streams = { ...streams };
    this.#events = events;
    this.descriptors = [port, ...Object.values(streams).filter((fd) => fd !== undefined)];
  }

  /** Tells what the container has used up to now. */
  tellFigures(text: string): void {
    this.#figures = bytesOf(text);
    this.pump();
  }

  /** Tells that the process was stopped. */
  tellStop(): void {
    this.#stopped = true;
    this.pump();
  }

  /** The process has ended: its output goes first, then this. */
  end(status: number): void {
    this.#status = status;
    this.pump();
  }

  /** Whether the process has ended, and the host has been told of it and has hung up. */
  get isOver(): boolean {
    if (this.#status === undefined) return false;
    return this.#hungUp || (this.#told > 0 && performance.now() - this.#told > FAREWELL_MS);
  }

  /** Finds that the host has gone before it was seen. */
  look(): void {
    if (!this.#connected && !this.#hungUp && performance.now() > this.#connectsUntil) this.#lose();
  }

  /** Gives the port back. */
  [Symbol.dispose](): void {
    for (const name of STREAMS) this.#close(name);
    this.#port.close();
  }

  pump(): void {
    // what is written makes room, and what was read may be written
    while (this.#receive() || this.#feed() || this.#send());
  }

  /** Writes to the port what is to be written; true if something was. */
  #send(): boolean {
    if (this.#unsent.length === 0 && !this.#next()) return false;
    // a port takes 32 KiB at once (drivers/char/virtio_console.c, port_fops_write)
    for (const { number } = this.#port; this.#unsent.length > 0; ) {
      const written = trySyscall("write", number, this.#unsent, this.#unsent.length);
      if (written <= 0) return false;
      this.#unsent = this.#unsent.subarray(written);
    }
    return true;
  }

  /** What is to be sent next; false if there is nothing. */
  #next(): boolean {
    if (this.#told > 0 || this.#hungUp) return false;
    if (this.#written >= CREDIT) {
      this.#frame(TO_HOST.credit, this.#written, 0);
      this.#written = 0;
      return true;
    }
    if (this.#figures !== undefined) {
      this.#message.set(this.#figures, HEADER_SIZE);
      this.#frame(TO_HOST.figures, this.#figures.length, this.#figures.length);
      this.#figures = undefined;
      return true;
    }
    if (this.#stopped) {
      this.#frame(TO_HOST.stopped, 0, 0);
      this.#stopped = false;
      return true;
    }
    for (const [name, type] of [
      ["output", TO_HOST.output],
      ["error", TO_HOST.error],
    ] as const) {
      const length = this.#read(name);
      if (length === 0) continue;
      this.#frame(type, length, length);
      return true;
    }
    if (this.#status === undefined) return false;
    this.#frame(TO_HOST.ended, this.#status, 0);
    this.#told = performance.now();
    return true;
  }

  #frame(type: number, number: number, size: number): void {
    this.#header.setBigUint64(0, frameHeader(type, number), true);
    this.#unsent = this.#message.subarray(0, HEADER_SIZE + size);
  }

  /** Reads into the message; how much. */
  #read(name: "output" | "error"): number {
    const fd = this.#streams[name];
    if (fd === undefined) return 0;
    const length = trySyscall("read", fd.number, this.#message.subarray(HEADER_SIZE), LARGEST_DATA);
    if (length > 0) return length;
    if (length !== AGAIN) this.#close(name);
    return 0;
  }

  /** Reads from the port; true if something came. */
  #receive(): boolean {
    if (this.#hungUp) return false;
    const length = trySyscall("read", this.#port.number, this.#arrived, this.#arrived.length);
    if (length > 0) {
      this.#connected = true;
      const arrived = this.#arrived.subarray(0, length);
      this.#take(this.#received.length === 0 ? arrived : concatenated([this.#received, arrived]));
      return true;
    }
    if (length === AGAIN) this.#connected = true;
    // before it is connected it looks like one that has hung up
    else if (this.#connected) this.#lose();
    return false;
  }

  #lose(): void {
    this.#hungUp = true;
    this.#unsent = NOTHING;
    for (const name of STREAMS) this.#close(name);
    if (this.#status === undefined) this.#events.hangUp();
  }

  #take(bytes: Uint8Array): void {
    let rest = bytes;
    for (;;) {
      if (rest.length < HEADER_SIZE) break;
      const word = new DataView(rest.buffer, rest.byteOffset).getBigUint64(0, true);
      const [type, number] = [Number(word & 0xffn), Number(word >> 8n)];
      const size = type === TO_GUEST.input ? number : 0;
      if (rest.length < HEADER_SIZE + size) break;
      if (type === TO_GUEST.input) {
        if (size === 0) this.#inputEnds = true;
        else this.#input.push(rest.slice(HEADER_SIZE, HEADER_SIZE + size));
      } else if (type === TO_GUEST.outputClosed) this.#close("output");
      else if (type === TO_GUEST.errorClosed) this.#close("error");
      else this.#events.tell(type, number);
      rest = rest.subarray(HEADER_SIZE + size);
    }
    this.#received = rest.length === 0 ? NOTHING : rest.slice();
  }

  /** Writes to standard input; true if something was. */
  #feed(): boolean {
    const fd = this.#streams.input;
    const [first] = this.#input;
    if (fd === undefined || first === undefined) {
      if (fd !== undefined && this.#inputEnds) this.#close("input");
      // nobody reads it: what comes is dropped, and more may come
      const dropped = fd === undefined ? this.#input.splice(0) : [];
      this.#written += dropped.reduce((sum, { length }) => sum + length, 0);
      return dropped.length > 0;
    }
    const written = trySyscall("write", fd.number, first, first.length);
    if (written === AGAIN) return false;
    if (written < 0) {
      this.#close("input");
      return true;
    }
    this.#written += written;
    if (written === first.length) this.#input.shift();
    else this.#input[0] = first.subarray(written);
    return true;
  }

  #close(name: keyof ProgramStreams): void {
    this.#streams[name]?.close();
    delete this.#streams[name];
  }
}
