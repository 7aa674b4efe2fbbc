import { asHakoError, HakoError } from "./errors";

/**
 * What must be undone, in reverse order, when an operation fails. `using undo = new UndoStack()`; on success call
 * `commit()`. Errors of the undo steps are collected and reported by `onError`, never thrown over the first error.
 */
export class UndoStack {
  #steps: { what: string; undo: () => void }[] = [];
  readonly #owned: Disposable[] = [];

  constructor(private readonly onError: (error: HakoError) => void) {}

  defer(what: string, undo: () => void): void {
    this.#steps.push({ what, undo });
  }

  /** Owns a resource that the undo steps need, and disposes of it after they ran, or at the end when nothing had to be undone. */
  own(resource: Disposable): void {
    this.#owned.push(resource);
  }

  commit(): void {
    this.#steps = [];
  }

  [Symbol.dispose](): void {
    for (const step of this.#steps.reverse()) {
      try {
        step.undo();
      } catch (thrown) {
        const cause = asHakoError(thrown);
        this.onError(new HakoError({ code: cause.code, message: `cannot undo ${step.what}`, cause }));
      }
    }
    this.#steps = [];
    for (const resource of this.#owned.splice(0)) resource[Symbol.dispose]();
  }
}

/** Hands `owned` on when `prepare` has succeeded, and disposes of it when that fails. */
export function prepared<T extends Disposable>(owned: T, prepare: (owned: T) => void): T {
  try {
    prepare(owned);
    return owned;
  } catch (error) {
    owned[Symbol.dispose]();
    throw error;
  }
}
