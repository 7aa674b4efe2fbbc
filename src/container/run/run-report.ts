import type { InferOutput } from "valibot";
import { asHakoError, during, type HakoError } from "../../base/errors";
import type { Fd } from "../../linux/call/fd";
import { writeAllWaiting } from "../../linux/file/stream";
import { POLICY_ANNOTATION } from "../../oci/annotations";
import type { ContainerId } from "../../oci/id";
import type { reportDocument } from "../../output/documents";
import { logFailure } from "../../output/log";
import { endingAs } from "../ended";
import { openForCaller } from "../io/caller-target";
import type { RunEnd } from "../io/run-end";
import { unheldFiles, unprotectedOf } from "./guarded-files";

export type Reported = InferOutput<typeof reportDocument>;

const NOTHING_KNOWN: Reported = {
  ...{ id: null, exitCode: null, signal: null, timedOut: false, oomKilled: null, started: null },
  ...{ wallMs: null, cpuUserMs: null, cpuSystemMs: null, memoryPeakBytes: null, pidsPeak: null, weaker: [] },
  landlock: null,
  ...{ policy: null, unprotected: [], unheld: [], refused: null },
  hakoError: null,
};

/** What is known at the end of a program. */
export function reportedOf(end: RunEnd): Reported {
  const { container, about, spent, ending, timedOut, started, wallMs, refused } = end;
  return {
    ...NOTHING_KNOWN,
    id: container?.record.id ?? null,
    ...endingAs(ending?.status, ending?.signal, spent.memoryKills),
    timedOut,
    started: started.toISOString(),
    wallMs: Math.round(wallMs * 1000) / 1000,
    cpuUserMs: spent.cpuUserMs ?? ending?.time.userMs ?? null,
    cpuSystemMs: spent.cpuSystemMs ?? ending?.time.systemMs ?? null,
    memoryPeakBytes: spent.memoryPeakBytes ?? null,
    pidsPeak: spent.pidsPeak ?? null,
    weaker: [...(about.weaker ?? [])],
    landlock: about.landlock ?? null,
    policy: about.annotations[POLICY_ANNOTATION] ?? null,
    unprotected: [...unprotectedOf(about)],
    unheld: unheldFiles(about),
    refused: refused === undefined ? null : [...refused],
  };
}

/** Where `run --report FILE|FD` writes one line of JSON when the run is over. */
export class RunReport implements Disposable {
  readonly #target: string;
  #reported: Reported = NOTHING_KNOWN;
  #file: Fd | undefined;
  #refused = false;

  /** `target`: a number is a descriptor that the caller has opened. `file` is what this command had open before it was started again. */
  constructor(target: string, file?: Fd) {
    this.#target = target;
    this.#file = file;
  }

  /** Does what is to be reported of; a failure is in the report too. */
  async of(run: () => Promise<number>): Promise<number> {
    let status: number;
    try {
      status = await run();
    } catch (thrown) {
      this.#writeFailure(asHakoError(thrown));
      throw thrown;
    }
    this.#write(null);
    return status;
  }

  /**
   * Opens it, so that nothing runs whose end can't be reported. To be called when it is known which descriptors are the caller's: the file
   * takes a number.
   */
  open(): Fd {
    try {
      this.#file ??= during(`--report ${this.#target}`, () => openForCaller(this.#target));
      return this.#file;
    } catch (error) {
      this.#refused = true;
      throw error;
    }
  }

  /** The container has this id. */
  named(id: ContainerId): void {
    this.#reported = { ...this.#reported, id };
  }

  /** The program has ended so. */
  ended(end: RunEnd): void {
    this.#reported = reportedOf(end);
  }

  #write(hakoError: Reported["hakoError"]): void {
    const line = `${JSON.stringify({ ...this.#reported, hakoError })}\n`;
    const file = this.open();
    during(`--report ${this.#target}`, () => writeAllWaiting(file, line));
  }

  #writeFailure({ code, reason, advice }: HakoError): void {
    // then that is the failure
    if (this.#refused) return;
    try {
      this.#write({ code, message: reason, hint: advice ?? null });
    } catch (error) {
      logFailure(asHakoError(error).oneLine);
    }
  }

  [Symbol.dispose](): void {
    this.#file?.close();
  }
}
