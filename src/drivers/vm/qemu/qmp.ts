import * as v from "valibot";
import { HakoError } from "../../../base/errors";
import type { Fd } from "../../../linux/call/fd";
import { sendFd } from "../../../linux/file/descriptor-passing";
import { JsonLines } from "../channel/json-lines";

const greeting = v.object({ QMP: v.looseObject({}) });
const event = v.object({ event: v.string(), data: v.optional(v.unknown()) });
const answer = v.union([
  v.object({ return: v.unknown() }),
  v.object({ error: v.object({ class: v.string(), desc: v.string() }) }),
]);
const status = v.object({ status: v.string(), running: v.boolean() });
/** An event that is kept by nobody is only counted: a machine has few. */
const MOST_EVENTS = 1000;

/** QEMU's monitor (docs/interop/qmp-spec.rst). */
export class Qmp implements Disposable {
  readonly lines: JsonLines;
  /** Names of the events that came, oldest first. */
  readonly events: string[] = [];

  constructor(socket: Fd) {
    this.lines = new JsonLines(socket, "QEMU's monitor");
  }

  /** Waits until QEMU is ready for commands. */
  begin(deadline: number): void {
    if (!v.is(greeting, this.lines.receive(deadline))) throw this.lines.broken("no greeting of QEMU's");
    this.command("qmp_capabilities", {}, deadline);
  }

  command(name: string, values: Record<string, unknown>, deadline: number): unknown {
    this.lines.send({ execute: name, arguments: values }, deadline);
    return this.#answer(name, deadline);
  }

  /** Gives QEMU a descriptor, which commands that follow know by this name. */
  give(name: string, fd: Fd, deadline: number): void {
    const request = { execute: "getfd", arguments: { fdname: name } };
    sendFd(this.lines.fd, fd, `${JSON.stringify(request)}\n`);
    this.#answer("getfd", deadline);
  }

  #answer(name: string, deadline: number): unknown {
    for (;;) {
      const message = this.lines.receive(deadline);
      if (this.#isEvent(message)) continue;
      const parsed = v.safeParse(answer, message);
      if (!parsed.success) throw this.lines.broken("something that is no answer");
      if ("return" in parsed.output) return parsed.output.return;
      throw new HakoError({ code: "system", message: `QEMU: ${name}: ${parsed.output.error.desc}` });
    }
  }

  /** Keeps the events that are there. */
  readEvents(): void {
    this.lines.fill();
    for (let message = this.lines.take(); message !== undefined; message = this.lines.take())
      if (!this.#isEvent(message)) throw this.lines.broken("an answer to nothing");
  }

  /** Waits until there is one event more. */
  awaitEvent(deadline: number): void {
    if (!this.#isEvent(this.lines.receive(deadline))) throw this.lines.broken("an answer to nothing");
  }

  #isEvent(message: unknown): boolean {
    const parsed = v.safeParse(event, message);
    if (!parsed.success) return false;
    if (this.events.length >= MOST_EVENTS) throw this.lines.broken("too many events");
    this.events.push(parsed.output.event);
    return true;
  }

  /** Whether the guest runs, in QEMU's words: "running", "shutdown", "internal-error" (qapi/run-state.json). */
  status(deadline: number): string {
    const parsed = v.safeParse(status, this.command("query-status", {}, deadline));
    if (!parsed.success) throw this.lines.broken("no status");
    return parsed.output.status;
  }

  /** The end of what came to a character device that is a ring buffer. */
  ringBuffer(device: string, size: number, deadline: number): string {
    const text = this.command("ringbuf-read", { device, size }, deadline);
    if (typeof text !== "string") throw this.lines.broken("no text");
    return text;
  }

  [Symbol.dispose](): void {
    this.lines[Symbol.dispose]();
  }
}
