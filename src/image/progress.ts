import { binarySize } from "../base/size";
import { writeAllWaiting } from "../linux/file/stream";
import { isTerminal } from "../linux/terminal/pty";

const STANDARD_ERROR = 2;
const PAUSE_MS = 100;
/** What is done sooner is not worth a line. */
const FIRST_MS = 300;
const CLEAR = "\r\x1b[K";

/** One line on standard error that says how far it has come, where that is a terminal; it is gone at the end. */
export class Progress {
  readonly #what: string;
  readonly #isShown: boolean;
  #expected = 0;
  #done = 0;
  #next = performance.now() + FIRST_MS;
  #isWritten = false;

  constructor(what: string, isShown = isTerminal(STANDARD_ERROR)) {
    this.#what = what;
    this.#isShown = isShown;
  }

  /** A part of the work begins, with so many bytes. */
  expect(bytes: number): void {
    this.#expected = bytes;
    this.#done = 0;
  }

  read(bytes: number): void {
    this.#done += bytes;
    if (!this.#isShown || performance.now() < this.#next) return;
    this.#next = performance.now() + PAUSE_MS;
    this.#isWritten = true;
    const part = this.#expected === 0 ? 100 : Math.min(100, Math.floor((100 * this.#done) / this.#expected));
    writeAllWaiting(
      STANDARD_ERROR,
      `${CLEAR}unpacking ${this.#what}: ${part} % of ${binarySize(this.#expected)}`,
    );
  }

  [Symbol.dispose](): void {
    if (this.#isWritten) writeAllWaiting(STANDARD_ERROR, CLEAR);
  }
}
