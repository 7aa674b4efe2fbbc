import { durationText } from "../../base/duration";
import { logFailure } from "../../output/log";

/** As timeout(1). */
export const TIMED_OUT = 124;

/** How long a program may run, in milliseconds. */
export interface TimeLimitValues {
  milliseconds: number;
  /** How long after that it may take to end by itself, when it was asked to; 0 asks nothing. */
  grace: number;
}

/** What the end of the time means. */
export interface Ends {
  ask(): void;
  kill(): void;
}

/** Asks and kills when the time is over, unless it is disposed of before. */
export class TimeLimit implements Disposable {
  over = false;
  #timer: ReturnType<typeof setTimeout>;
  readonly #failed = Promise.withResolvers<never>();

  constructor({ milliseconds, grace }: TimeLimitValues, { ask, kill }: Ends) {
    this.#timer = setTimeout(() => {
      this.over = true;
      if (grace === 0) return this.#attempt(kill);
      this.#timer = setTimeout(() => this.#attempt(kill), grace);
      this.#attempt(ask);
    }, milliseconds);
  }

  /** Is rejected where the program could not be ended: then whoever waits for its end must not wait on. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#failed.reject(error);
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** Says why a program has ended whose time, in milliseconds, was over. */
export function tellTimeLimit(milliseconds: number): void {
  logFailure(`time limit of ${durationText(milliseconds)} reached`);
}
