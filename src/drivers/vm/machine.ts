import { asHakoError, HakoError } from "../../base/errors";
import { shortened } from "../../base/printable";
import { textOf } from "../../linux/call/bytes";
import { SIG } from "../../linux/call/constants";
import type { Fd } from "../../linux/call/fd";
import { syscallOn } from "../../linux/call/syscall";
import { readAtMost } from "../../linux/file/file";
import { memoryFile } from "../../linux/file/memfd";
import { waitFor } from "../../linux/file/poll";
import { socketPair } from "../../linux/file/unix-socket";
import { openChild, reapChild, signalOpened } from "../../linux/process/process";
import { logDebug } from "../../output/log";
import { AgentClient } from "./channel/agent-client";
import type { AgentAnswer, AgentCall, AgentData } from "./channel/agent-protocol";
import type { FoundQemu } from "./qemu/find-qemu";
import { CONSOLE_BUFFER, type MachinePlan } from "./qemu/qemu-arguments";
import { startQemuProgram } from "./qemu/qemu-program";
import { Qmp } from "./qemu/qmp";
import { saveState } from "./qemu/saved-state";

/** States of a machine whose guest goes on (qapi/run-state.json). */
const GOING_ON = ["running", "prelaunch"];
/** How long QEMU has to answer about a guest that has failed. */
const LAST_WORDS_MS = 2000;
/** How long QEMU may take to end when it has closed its sockets. */
const END_MS = 200;
const MOST_WORDS = 4096;
const SEEK_SET = 0;

/** Calls without data. */
type PlainCall = {
  [Call in AgentCall]: Record<string, never> extends AgentData<Call> ? Call : never;
}[AgentCall];

/** A machine that runs: QEMU, as a child that ends with this process. Nothing of it is on disk: its sockets have no names. */
export class Machine implements Disposable {
  readonly #qmp: Qmp;
  readonly #agent: AgentClient;
  /** What QEMU writes itself. */
  readonly #words: Fd;
  readonly #pid: number;
  readonly #process: Fd | undefined;

  constructor(qemu: FoundQemu, plan: Omit<MachinePlan, "controlFd" | "qmpFd">) {
    const [control, controlOfQemu] = socketPair("control port");
    const [qmp, qmpOfQemu] = socketPair("QEMU's monitor");
    using _ = controlOfQemu;
    using __ = qmpOfQemu;
    this.#qmp = new Qmp(qmp);
    this.#agent = new AgentClient(control, { fd: this.#qmp.lines.fd, look: () => this.#checkGuest() });
    this.#words = memoryFile("words of QEMU");
    const sockets = { controlFd: controlOfQemu.number, qmpFd: qmpOfQemu.number };
    const output = this.#words;
    const descriptors = [controlOfQemu, qmpOfQemu];
    try {
      this.#pid = startQemuProgram(
        qemu,
        { ...plan, ...sockets },
        { output, descriptors, endsWithMaker: true },
      );
      this.#process = openChild(this.#pid);
    } catch (error) {
      this.#close();
      throw error;
    }
  }

  /** Waits until QEMU has made the machine. */
  begin(deadline: number): void {
    this.#explaining(() => this.#qmp.begin(deadline));
  }

  /** Asks the guest's agent. The end of the guest or of QEMU is an error at once. */
  ask<Call extends PlainCall>(call: Call, deadline: number): AgentAnswer<Call> {
    return this.#explaining(() => this.#agent.ask(call, {}, deadline));
  }

  /** Stops the guest and writes the machine's state. */
  save(file: Fd, deadline: number): void {
    this.#explaining(() => saveState(this.#qmp, file, deadline));
  }

  /** Waits until the guest is off, as it was asked to be. */
  awaitEnd(deadline: number): void {
    this.#explaining(() => {
      while (!this.#qmp.events.includes("SHUTDOWN")) this.#qmp.awaitEvent(deadline);
    });
  }

  /** Throws if the guest has ended, or can't go on. */
  #checkGuest(): void {
    this.#qmp.readEvents();
    const status = this.#qmp.status(performance.now() + LAST_WORDS_MS);
    if (GOING_ON.includes(status)) return;
    const what =
      status === "internal-error"
        ? "the processor can't run the guest: internal error of KVM"
        : `the guest has ended (${status})`;
    throw new HakoError({ code: "system", message: what });
  }

  /** Does something; its failure gets what QEMU said when it ended, or what the guest said on its console. */
  #explaining<T>(action: () => T): T {
    try {
      return action();
    } catch (thrown) {
      const error = asHakoError(thrown);
      const ended = this.#process === undefined || waitFor(this.#process, "read", END_MS);
      if (ended) throw error.with({ message: `QEMU has ended: ${this.#lastWord() ?? error.message}` });
      const line = tellingLine(this.#console());
      throw line === undefined ? error : error.with({ message: `${error.message}; on its console: ${line}` });
    }
  }

  #lastWord(): string | undefined {
    syscallOn(this.#words.name, "lseek", this.#words.number, 0, SEEK_SET);
    return lastLine(textOf(readAtMost(this.#words, MOST_WORDS)));
  }

  /** The end of what was written to the guest's console; "" where that can't be known any more. */
  #console(): string {
    try {
      const { id, size } = CONSOLE_BUFFER;
      const text = this.#qmp.ringBuffer(id, size, performance.now() + LAST_WORDS_MS);
      logDebug(`console of the guest: ${text}`);
      return text;
    } catch (error) {
      logDebug(`console of the guest: ${asHakoError(error).oneLine}`);
      return "";
    }
  }

  #close(): void {
    this.#agent[Symbol.dispose]();
    this.#qmp[Symbol.dispose]();
    this.#words.close();
  }

  [Symbol.dispose](): void {
    if (this.#process !== undefined) {
      signalOpened(this.#process, SIG.KILL);
      reapChild(this.#pid, true);
      this.#process.close();
    }
    this.#close();
  }
}

/** What tells most of a console: a word of hako's own, or why the kernel has ended, or the last line. */
export function tellingLine(console: string): string | undefined {
  const [own] = /^hako: .+$/m.exec(console) ?? [];
  const [panic] = /Kernel panic.+$/m.exec(console) ?? [];
  return lastLine(own ?? panic ?? console);
}

/** The last line with something in it, as a person may see it. */
export function lastLine(text: string): string | undefined {
  const lines = text.split("\n").map((line) => line.trim());
  const line = lines.findLast((each) => each !== "");
  return line === undefined ? undefined : shortened(line, 300);
}
