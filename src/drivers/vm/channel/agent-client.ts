import * as v from "valibot";
import { HakoError } from "../../../base/errors";
import { printable } from "../../../base/printable";
import type { Fd } from "../../../linux/call/fd";
import { pollAny } from "../../../linux/file/poll";
import { logWarning } from "../../../output/log";
import { type AgentAnswer, type AgentCall, type AgentData, ANSWERS, replySchema } from "./agent-protocol";
import { JsonLines } from "./json-lines";

/** What else is waited for beside the agent: `look` is called when there is something to read. It throws to end the waiting. */
export interface Beside {
  fd: Fd;
  look(): void;
}

/** One command at a time speaks to an agent, and few of them are killed. */
const MOST_STALE = 16;

/** Asks the agent of a machine. It may be hostile: what it says is checked, and nothing of it is used but what is returned. */
export class AgentClient implements Disposable {
  readonly #lines: JsonLines;
  /** The number of the first request, and of the last one. */
  readonly #first: number;
  #last: number;
  #stale = 0;

  /** Numbers that rise with time tell replies to others, who were killed before they read them, from ours. */
  constructor(
    socket: Fd,
    private readonly beside?: Beside,
    first = 1,
  ) {
    this.#lines = new JsonLines(socket, "the guest's agent");
    this.#first = first;
    this.#last = first - 1;
  }

  ask<Call extends AgentCall>(call: Call, data: AgentData<Call>, deadline: number): AgentAnswer<Call> {
    const id = ++this.#last;
    this.#lines.send({ id, call, data }, deadline);
    for (let message = this.#lines.take(); ; message = this.#lines.take()) {
      if (message === undefined) this.#wait(deadline);
      else if (!this.#isStale(message)) return this.#answer(call, id, message);
    }
  }

  #isStale(message: unknown): boolean {
    const reply = v.safeParse(replySchema, message);
    if (!reply.success || reply.output.id >= this.#first) return false;
    return this.#stale++ < MOST_STALE;
  }

  #wait(deadline: number): void {
    const { beside } = this;
    const fds = beside === undefined ? [this.#lines.fd] : [this.#lines.fd, beside.fd];
    const left = deadline - performance.now();
    const ready =
      left > 0
        ? pollAny(
            fds.map((fd) => ({ fd, for: "read" })),
            left,
          )
        : [];
    if (!ready.includes(true)) throw this.#lines.late();
    // the last answer of a guest that goes off may come together with its end
    if (ready[0] === true) this.#lines.fill();
    else beside?.look();
  }

  /** An answer as the protocol has it; anything else is an error. */
  #answer<Call extends AgentCall>(call: Call, id: number, message: unknown): AgentAnswer<Call> {
    const reply = v.safeParse(replySchema, message);
    if (!reply.success) throw this.#lines.broken("something that is no reply");
    if (reply.output.id !== id) throw this.#lines.broken("a reply to another request");
    for (const warning of reply.output.warnings) logWarning(printable(warning));
    if ("error" in reply.output) {
      const { code, message } = reply.output.error;
      throw new HakoError({ code, message: printable(message) });
    }
    const answer = v.safeParse(ANSWERS[call], reply.output.result);
    if (!answer.success) throw this.#lines.broken(`no answer to ${call}`);
    return answer.output as AgentAnswer<Call>;
  }

  [Symbol.dispose](): void {
    this.#lines[Symbol.dispose]();
  }
}
