import { PR } from "../call/constants";
import { syscall } from "../call/syscall";

/**
 * Has memory that this process touches from now on come in small pages, until it is disposed of (PR_SET_THP_DISABLE, prctl(2)): for a process that
 * stays, and uses little of each. What it has already stays as it is; programs that are executed meanwhile inherit it.
 */
export class SmallPages implements Disposable {
  readonly #wereBefore = syscall("prctl", PR.GET_THP_DISABLE, 0, 0, 0, 0) !== 0;

  constructor() {
    this.#set(true);
  }

  #set(on: boolean): void {
    if (!this.#wereBefore) syscall("prctl", PR.SET_THP_DISABLE, Number(on), 0, 0, 0);
  }

  [Symbol.dispose](): void {
    this.#set(false);
  }
}
