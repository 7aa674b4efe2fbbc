import type { Outcome, Question, Questions } from "./decisions";
import {
  and,
  answer,
  FAR,
  half,
  type Instruction,
  ifAtLeast,
  ifEqual,
  ifGreater,
  jump,
  load,
} from "./instructions";

/** Where a piece of code begins, counted from the end of the program. Jumps lead forward, so what a jump leads to is made first. */
interface Entry {
  at: number;
  /** Where it begins for code that has already loaded the same half with the same mask. */
  loaded?: { at: number; half: number; mask: number };
}

const ALL = 0xffffffff;
const TESTS = {
  equal: ifEqual,
  "masked equal": ifEqual,
  greater: ifGreater,
  "at least": ifAtLeast,
} as const satisfies Record<Question["test"], unknown>;

/** The code that asks the questions of a call. It gives `otherwise` where no rule answers. */
export function decisionCode(questions: Questions, otherwise: number): Instruction[] {
  return new Backwards().whole(questions, otherwise);
}

/** The instructions, in reverse order. */
class Backwards {
  readonly #made: Instruction[] = [];
  /** The pieces that were made, by what they do: where ways come together, the code is made once. */
  readonly #entries = new Map<string, Entry>();

  whole(questions: Questions, otherwise: number): Instruction[] {
    const entry = this.#ask(questions, 0, this.#answer(otherwise));
    if (entry.at !== this.#made.length - 1) this.#push(jump(this.#distance(entry.at)));
    return this.#made.toReversed();
  }

  /** The code of these questions, from one of them on; without an answer it goes on at `next`. */
  #ask(questions: Questions, from: number, next: Entry): Entry {
    const question = questions[from];
    if (question === undefined) return next;
    const following = this.#ask(questions, from + 1, next);
    if (question.mask === 0) return this.#outcome(question.yes, following);
    const no = this.#outcome(question.no, following);
    const yes = this.#outcome(question.yes, following);
    return this.#question(question, yes, no);
  }

  #outcome(outcome: Outcome, following: Entry): Entry {
    if (outcome === undefined) return following;
    return Array.isArray(outcome) ? this.#ask(outcome, 0, following) : this.#answer(outcome.answer);
  }

  #answer(value: number): Entry {
    return this.#once(`${value}`, () => ({ at: this.#push(answer(value)) }));
  }

  #question({ half: word, test, mask, datum }: Question, yes: Entry, no: Entry): Entry {
    // of two entries at one place one may be entered behind its load
    const [ifYes, ifNo] = [yes, no].map(({ at, loaded }) =>
      loaded?.half === word && loaded.mask === mask ? loaded.at : at,
    ) as [number, number];
    return this.#once(`${word} ${test} ${mask} ${datum} ${ifYes} ${ifNo}`, () => {
      const [nearNo, nearYes] = [this.#near(ifNo, 2), this.#near(ifYes, 1)];
      const tested = this.#push(TESTS[test](datum, this.#distance(nearYes), this.#distance(nearNo)));
      if (mask !== ALL) this.#push(and(mask));
      const at = this.#push(load(half(word >> 1, word & 1 ? "high" : "low")));
      return { at, loaded: { at: tested, half: word, mask } };
    });
  }

  /** A place that a conditional jump can reach, also with up to `more` instructions in between. */
  #near(at: number, more: number): number {
    if (this.#distance(at) + more <= FAR) return at;
    return this.#push(jump(this.#distance(at)));
  }

  #distance(at: number): number {
    return this.#made.length - 1 - at;
  }

  #push(instruction: Instruction): number {
    return this.#made.push(instruction) - 1;
  }

  #once(what: string, make: () => Entry): Entry {
    const known = this.#entries.get(what);
    if (known !== undefined) return known;
    const entry = make();
    this.#entries.set(what, entry);
    return entry;
  }
}
